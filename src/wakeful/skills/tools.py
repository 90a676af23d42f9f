"""The tools that are there without being registered; each does what it does through what it was given."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wakeful.skills.command_tool import Environment, command_tool
from wakeful.skills.errors import ToolError
from wakeful.skills.http_tool import Fetch, http_tool
from wakeful.skills.memory import entry_of, session_log
from wakeful.skills.results import Session, Tool

# Sends a text to a channel; what it raises is told to the reader.
Send = Callable[[str, str], Awaitable[object]]

LONGEST_MESSAGE = 40_000


@dataclass(frozen=True, slots=True)
class Tools:
    """What the tools work with. A tool whose service is missing is there, and says so when it is used.

    Args:
        send: sends to Slack: channel and text.
        fetch: does an HTTP request.
        memory: the folder of the memory.
        now: the time, in the zone in which people read it.
        programs: the names of programs that ``run_command`` may start; it is looked at each time.
        environment: what they find in their environment.
    """

    send: Send | None = None
    fetch: Fetch | None = None
    memory: Path | None = None
    now: Callable[[], datetime] | None = None
    programs: Collection[str] = ()
    environment: Environment = lambda _: {}


def built_in(tools: Tools) -> dict[str, Tool]:
    """The built-in tools by name, without ``skill_run``, which is the engine's own."""
    return {
        "slack_send_message": _slack(tools.send),
        "memory_session_log": _memory(tools.memory, tools.now),
        "http_request": http_tool(tools.fetch),
        "run_command": command_tool(tools.programs, tools.environment),
    }


def _slack(send: Send | None) -> Tool:
    async def slack_send_message(args: Mapping[str, Any], _: Session) -> str:
        channel, text = args.get("channel"), args.get("text", args.get("message"))
        if not isinstance(channel, str) or not channel.strip() or not isinstance(text, str) or not text.strip():
            raise ToolError("it needs channel and text (or message), both texts")
        if len(text) > LONGEST_MESSAGE:
            raise ToolError(f"a text of {len(text)} characters, and at most {LONGEST_MESSAGE} are allowed")
        if send is None:
            raise ToolError("there is no Slack to send to: the configuration names none")
        await send(channel, text)
        return f"sent to {channel}"

    return slack_send_message


def _memory(folder: Path | None, now: Callable[[], datetime] | None) -> Tool:
    async def memory_session_log(args: Mapping[str, Any], _: Session) -> str:
        try:
            action, details = entry_of(args)
            if folder is None or now is None:
                raise ToolError("there is no memory to log to: the configuration names none")
            await asyncio.to_thread(session_log, folder, action, details, now())
        except (OSError, ValueError) as error:
            raise ToolError(str(error)) from error
        return f"logged: {action}"

    return memory_session_log
