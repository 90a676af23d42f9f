"""Functions that do tasks."""

import asyncio
import contextvars
import inspect
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from wakeful.agent.api import Api, Completed, Failed, GivenBack, Outcome, Rejected, Task
from wakeful.agent.http import HttpClient
from wakeful.agent.running import DEFAULT_URL, TOKEN_VARIABLE, checked, new_agent_id, stop_on_signals
from wakeful.agent.worker import Terms, Worker

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
_MOST_REMEMBERED = 1_000


class Agent:
    """Does tasks by functions, those of up to ``limit`` at a time.

    Where the node wants a token, it is ``token``, or what the environment has as ``WAKEFUL_API_KEY``; its agent is
    ``agent_id`` then. Without an ``agent_id`` it is a new one each time. After ``lease_s`` without a renewal, another
    agent may take the task. Told to stop, it goes on with its tasks for ``grace_s``, then gives them back.

    Raises:
        ValueError: the URL, or the token, can't be.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        agent_id: str | None = None,
        token: str | None = None,
        limit: int = 1,
        lease_s: float = 60.0,
        grace_s: float = 30.0,
    ) -> None:
        self._functions: dict[str, Function] = {}
        self._id = agent_id or new_agent_id()
        self._http = HttpClient(url, token or os.environ.get(TOKEN_VARIABLE) or None)
        self._limit, self._lease_s, self._grace_s = limit, lease_s, grace_s
        self._temporary = agent_id is None
        self._worker: Worker | None = None
        # Tasks that came here although there is no function for them.
        self._strange: set[str] = set()

    def task(self, capability: str) -> Callable[[F], F]:
        """Lets a function do the tasks of a capability.

        It gets the task's input, and the ``Task`` too if it takes two arguments. What it returns is the result. An
        exception fails the task, which is then tried again as its client wants; ``Rejected`` is never tried again. A
        plain function runs in a thread of its own, and can't be stopped when its task is lost.
        """

        def add(function: F) -> F:
            self._functions[capability] = function
            return function

        return add

    def run(self) -> None:
        """Works until SIGTERM or SIGINT; a second one gives back at once what is under way.

        Raises:
            ValueError: there is no function yet, or a setting can't be.
            AgentError: the node refuses this agent.
        """
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        with suppress(asyncio.CancelledError):
            asyncio.run(self._run_until_told())

    async def serve(self) -> None:
        """Works until ``stop`` is called.

        Raises:
            ValueError: there is no function yet, or a setting can't be.
            AgentError: the node refuses this agent.
        """
        capabilities = tuple(self._functions)
        terms = Terms(capabilities, self._limit, self._lease_s, grace_s=self._grace_s, temporary=self._temporary)
        self._worker = Worker(Api(self._http, self._id), checked(terms), self._perform)
        try:
            await self._worker.run()
        finally:
            self._worker = None
            await self._http.aclose()

    def stop(self) -> None:
        """Takes no more tasks and ends; asked again, gives back at once what is under way. Of the loop's thread."""
        if self._worker is not None:
            self._worker.stop()

    async def _run_until_told(self) -> None:
        stop_on_signals(self.stop)
        await self.serve()

    async def _perform(self, task: Task) -> Outcome:
        function = self._functions.get(task.capability_required)
        if function is None:
            return self._not_for_us(task)
        try:
            arguments = (task.input, task) if _takes_two(function) else (task.input,)
            if inspect.iscoroutinefunction(function):
                result = await function(*arguments)
            else:
                result = await _in_thread(function, arguments)
            return Completed(msgspec.json.encode(result))
        except Rejected as error:
            return Failed(str(error) or "rejected", retryable=False)
        except (Exception, SystemExit) as error:
            # An exit would end the agent, and cost whatever else it is at an attempt.
            logging.getLogger("wakeful.agent").exception("%s: %s failed", task.task_id, task.capability_required)
            return Failed(f"{type(error).__name__}: {error}")

    def _not_for_us(self, task: Task) -> Outcome:
        """Another agent may do it; once it has come back here, its client's policy says when it is tried again."""
        reason = f"this agent has no function for {task.capability_required!r}, only for "
        reason += ", ".join(map(repr, self._functions))
        if task.task_id in self._strange:
            return Failed(reason)
        if len(self._strange) >= _MOST_REMEMBERED:
            self._strange.clear()
        self._strange.add(task.task_id)
        return GivenBack(reason)


def _takes_two(function: Function) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds for one in inspect.signature(function).parameters.values()) > 1


def _in_thread(function: Function, arguments: tuple[Any, ...]) -> Awaitable[Any]:
    """The function's result, from a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            # A future takes any exception but this one, which it would take for its own.
            done.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)

    def call() -> None:
        result, failed = None, None
        try:
            result = context.run(function, *arguments)
        except BaseException as error:
            failed = error if isinstance(error, Exception) else RuntimeError(repr(error))
        # The loop may be gone: then nobody waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, result, failed)

    context = contextvars.copy_context()
    threading.Thread(target=call, name="wakeful-task", daemon=True).start()
    return done
