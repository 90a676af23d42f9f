"""A command that does tasks: a process for each, its input on stdin, its result on stdout."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from wakeful.agent.api import Completed, Failed, Outcome, Task
from wakeful.children import Ended, Limits, NotStartedError, run_child

# sysexits.h: the input data was incorrect in some way.
EX_DATAERR = 65
RESULT_LIMIT = 1024 * 1024
STDERR_KEPT = 8 * 1024
# How long a command may take to end once it was asked to.
TERM_GRACE_S = 5.0


class Command:
    """Runs ``argv`` for each task, without a shell; what it prints on stderr goes to the agent's own, too.

    Exit code 0 completes the task with what was printed on stdout; 65 fails it for good; any other fails it.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = environment

    async def perform(self, task: Task) -> Outcome:
        """Does one task. Cancelled, it ends the command with all that it started."""
        limits = Limits(grace_s=TERM_GRACE_S, out=RESULT_LIMIT, err=STDERR_KEPT)
        environment = {**self._environment, **_about(task)}
        try:
            ended = await run_child(
                self._argv, environment, bytes(task.input_data), limits=limits, on_output=_copy_stderr
            )
        except NotStartedError as error:
            return Failed(str(error))
        return _outcome(ended)


def _copy_stderr(stream: int, piece: bytes) -> None:
    if stream == 2:
        with suppress(OSError):
            os.write(sys.stderr.fileno(), piece)


def _about(task: Task) -> dict[str, str]:
    """What the command finds in its environment."""
    about = {
        "WAKEFUL_TASK_ID": task.task_id,
        "WAKEFUL_ATTEMPT": str(task.attempt),
        "WAKEFUL_CAPABILITY": task.capability_required,
        "WAKEFUL_TASK_TYPE": task.task_type,
        "WAKEFUL_CLIENT_ID": task.client_id,
        "WAKEFUL_SCHEDULE_ID": task.schedule_id or "",
        "WAKEFUL_SCHEDULED_FOR": task.scheduled_for or "",
    }
    return {name: value.replace("\0", "") for name, value in about.items()}


def _outcome(ended: Ended) -> Outcome:
    if ended.code == 0:
        return Completed(_result(ended))
    said = ended.err.decode("utf-8", "replace").strip()
    error = f"{ended.how}: {said}" if said else ended.how
    return Failed(error, retryable=ended.code != EX_DATAERR)


def _result(ended: Ended) -> bytes:
    """What was printed, if that is JSON; else an object with its text."""
    text = ended.out.decode("utf-8", "replace")
    if ended.out_cut:
        return msgspec.json.encode({"output": text, "truncated": True})
    if not ended.out.strip():
        return b"null"
    try:
        msgspec.json.decode(ended.out)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode({"output": text})
    return ended.out.strip()
