"""One HTTP request in, one JSON answer out, over ASGI; nothing here knows what a task is."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from wakeful.faces.aitp.errors import Refused
from wakeful.faces.asgi import BODY_LIMIT, BodyTooLargeError, whole_body

if TYPE_CHECKING:
    from wakeful.faces.aitp.access import Caller

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Call:
    """One request: its path's variable part, who asks, and the rest on demand."""

    scope: Scope
    receive: Receive
    part: str
    caller: "Caller"

    def query(self) -> Mapping[str, str]:
        """The parameters of the query; of one that is there twice, the last."""
        text = self.scope["query_string"].decode("ascii", "replace")
        return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()} if text else {}

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            Refused: 413.
            ClientGone: it never became complete.
        """
        try:
            return await whole_body(self.receive)
        except BodyTooLargeError:
            raise Refused(413, f"the body is larger than {BODY_LIMIT} bytes") from None


Handler = Callable[[Call], Awaitable[Any]]


class Presence:
    """Whether the caller is still there, while its answer takes long; the body must have been read."""

    def __init__(self, call: Call) -> None:
        self._watch = asyncio.ensure_future(self._until_gone(call.receive))

    @property
    def gone(self) -> bool:
        """It has hung up."""
        return self._watch.done()

    async def aclose(self) -> None:
        """Looks no more."""
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch

    @staticmethod
    async def _until_gone(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


async def respond(send: Send, status: int, body: Any, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Sends ``body`` as JSON."""
    content = _encode(body)
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content})
