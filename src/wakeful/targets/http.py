"""An app that is called over HTTP, whatever its version: one POST a run."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from wakeful.core.job import Data
from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded, Unavailable
from wakeful.targets.http_client import HttpClient, NoAnswerError, NotSentError, Response
from wakeful.targets.telling import run_metadata, told

_BODY_READ = 4096
_BODY_TOLD = 200
_ADDRESS_TOLD = 100
_FIRST_POLL_S = 0.05
_SLOWEST_POLL_S = 0.5
_POLL_GROWTH = 1.5
_PROBE_TIMEOUT_S = 3.0

# unicode.IsSpace of Go. Python's own strip() would take the separators U+001C to U+001F as well.
_GO_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


class Client(Protocol):
    """What sends requests to one origin, over HTTP/1.1, TLS or HTTP/2."""

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response:
        """Sends one request and waits for its answer; raises ``NotSentError`` or ``NoAnswerError``."""
        ...

    async def connect(self, timeout_s: float) -> None:
        """Returns when the next request has a connection; raises ``NotSentError``."""
        ...

    async def aclose(self) -> None:
        """Closes what is idle, and what is busy once it has its answers."""
        ...


def open_client(protocol: str, host: str, port: int, api_token: str | None = None) -> Client:
    """The client of an app that speaks ``http``, ``https`` or ``h2c``; the token goes with every request.

    Raises:
        ValueError: no header can carry the token.
    """
    headers = {"content-type": "application/json"}
    if api_token:
        headers["dapr-api-token"] = api_token
    if protocol == "h2c":
        from wakeful.targets.h2_client import H2Client  # noqa: PLC0415 - few apps need it, and it takes 50 ms

        return H2Client(host, port, headers)
    return HttpClient(host, port, headers, tls=protocol == "https")


class HttpApp:
    """The sink of an app that listens on a port: the target's address is the path that is posted to.

    What the app says about a failure is kept, but never ``api_token``.
    """

    def __init__(self, client: Client, timeout: timedelta, api_token: str | None = None) -> None:
        self._client = client
        self._timeout_s = timeout.total_seconds()
        self._secret = api_token.encode("ascii") if api_token else None

    async def deliver(self, claim: Claim) -> Outcome:
        """Posts the run to the app and waits for its answer. Cancelling ends the request."""
        target = claim.job.target
        if target.kind != "app":
            return Rejected(f"an app can't be the target of kind {target.kind!r}")
        answer = await self.call("POST", target.address, claim, app_body(claim.job.data))
        return outcome_of(answer, target.address) if isinstance(answer, Response) else answer

    async def call(self, method: str, path: str, claim: Claim, body: bytes) -> Response | Failed | Unavailable:
        """Sends a run as one request: the app's answer, or what its absence means for the run."""
        try:
            response = await self._client.request(
                method, path, dict(run_metadata(claim)), body, self._timeout_of(claim)
            )
        except NotSentError as error:
            return Unavailable(str(error))
        except NoAnswerError as error:
            return Failed(f"{request_line(method, path)}: {error}")
        if self._secret is not None:
            # An app that answers with a dump of the request must not bring the token into the history of runs.
            response.body = response.body.replace(self._secret, b"***")
        return response

    def _timeout_of(self, claim: Claim) -> float:
        timeout = claim.job.timeout
        return self._timeout_s if timeout is None else min(timeout.total_seconds(), self._timeout_s)

    async def ask(self, path: str, headers: Mapping[str, str], timeout_s: float) -> Response:
        """Gets what the app itself has to say at a path.

        Raises:
            NotSentError: it can't be reached.
            NoAnswerError: it does not answer, or not in time.
        """
        return await self._client.request("GET", path, headers, b"", timeout_s)

    async def healthy(self, path: str, timeout_s: float) -> bool:
        """Whether a GET of the path is answered, in time, with a 2xx (dapr pkg/channel/http/http_channel.go)."""
        try:
            return 200 <= (await self.ask(path, {}, timeout_s)).status < 300
        except (NotSentError, NoAnswerError):
            return False

    async def available(self) -> None:
        """Returns once the app's port takes connections; the one that showed it is kept for the next run."""
        pause_s = _FIRST_POLL_S
        while True:
            try:
                return await self._client.connect(_PROBE_TIMEOUT_S)
            except NotSentError:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * _POLL_GROWTH, _SLOWEST_POLL_S)

    async def aclose(self) -> None:
        """Closes the idle connections, and the busy ones once they have their answers."""
        await self._client.aclose()


def outcome_of(response: Response, address: str) -> Outcome:
    """What an app's answer means for the run."""
    if 200 <= response.status < 300:
        return Succeeded()
    error = failure("POST", address, response)
    # 404 is not tried again: the app has no such handler (dapr pkg/runtime/scheduler/internal/cluster/streamer.go,
    # invokeApp). Everything else, redirects included, is a failure (pkg/runtime/channels/channels.go, appHTTPClient).
    return Rejected(error) if response.status == 404 else Failed(error)


def failure(method: str, path: str, response: Response) -> str:
    """An answer that is no success, in one short line."""
    said = told(response.body[:_BODY_READ].decode("utf-8", "replace"), _BODY_TOLD)
    return f"HTTP {response.status} from {request_line(method, path)}" + (f": {said}" if said else "")


def request_line(method: str, path: str) -> str:
    """A request, for a person."""
    return f"{method} /" + told(path.removeprefix("/"), _ADDRESS_TOLD)


def app_body(data: Data | None) -> bytes:
    """The body that Dapr would post: JSON as it is, the bytes of any other message without the space around them."""
    if data is None:
        return b""
    return data.body if data.type == "json" else trim_space(data.body)


def trim_space(data: bytes) -> bytes:
    """Go's ``bytes.TrimSpace``: no Unicode white space at either end; bytes that are not UTF-8 stay as they are."""
    return data.decode("utf-8", "surrogateescape").strip(_GO_SPACE).encode("utf-8", "surrogateescape")
