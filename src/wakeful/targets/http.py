"""An app that is called over HTTP: one POST a run."""

import asyncio
from datetime import UTC, datetime, timedelta

from wakeful.core.job import Data
from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded, Unavailable
from wakeful.targets.http_client import HttpClient, NoAnswerError, NotSentError, Response

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


class HttpApp:
    """The sink of an app that listens on a port: the target's address is the path that is posted to."""

    def __init__(self, host: str, port: int, timeout: timedelta, api_token: str | None = None) -> None:
        headers = {"content-type": "application/json"}
        if api_token:
            headers["dapr-api-token"] = api_token
        self._client = HttpClient(host, port, headers)
        self._timeout_s = timeout.total_seconds()
        self._secret = api_token.encode("ascii") if api_token else None

    async def deliver(self, claim: Claim) -> Outcome:
        """Posts the run to the app and waits for its answer. Cancelling closes the connection."""
        target = claim.job.target
        if target.kind != "app":
            return Rejected(f"an app can't be the target of kind {target.kind!r}")
        try:
            response = await self._client.request(
                "POST", target.address, _run_headers(claim), app_body(claim.job.data), self._timeout_of(claim)
            )
        except NotSentError as error:
            return Unavailable(str(error))
        except NoAnswerError as error:
            return Failed(f"{_request(target.address)}: {error}")
        if self._secret is not None:
            # An app that answers with a dump of the request must not bring the token into the history of runs.
            response.body = response.body.replace(self._secret, b"***")
        return outcome_of(response, target.address)

    def _timeout_of(self, claim: Claim) -> float:
        timeout = claim.job.timeout
        return self._timeout_s if timeout is None else min(timeout.total_seconds(), self._timeout_s)

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
    said = _told(response.body.decode("utf-8", "replace"), _BODY_TOLD)
    error = f"HTTP {response.status} from {_request(address)}" + (f": {said}" if said else "")
    # 404 is not tried again: the app has no such handler (dapr pkg/runtime/scheduler/internal/cluster/streamer.go,
    # invokeApp). Everything else, redirects included, is a failure (pkg/runtime/channels/channels.go, appHTTPClient).
    return Rejected(error) if response.status == 404 else Failed(error)


def app_body(data: Data | None) -> bytes:
    """The body that Dapr would post: JSON as it is, the bytes of any other message without the space around them."""
    if data is None:
        return b""
    return data.body if data.type == "json" else trim_space(data.body)


def trim_space(data: bytes) -> bytes:
    """Go's ``bytes.TrimSpace``: no Unicode white space at either end; bytes that are not UTF-8 stay as they are."""
    return data.decode("utf-8", "surrogateescape").strip(_GO_SPACE).encode("utf-8", "surrogateescape")


def _run_headers(claim: Claim) -> dict[str, str]:
    return {
        "wakeful-run-id": str(claim.run.id),
        "wakeful-attempt": str(claim.run.attempt),
        "wakeful-scheduled-for": _rfc3339(claim.run.scheduled_for),
    }


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _request(address: str) -> str:
    return "POST /" + _told(address.removeprefix("/"), _ADDRESS_TOLD)


def _told(text: str, limit: int) -> str:
    """Text from outside, for a person: on one line, without control characters, and short."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[:limit] + "…"
