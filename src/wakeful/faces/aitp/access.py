"""Who asks, and what they may."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

from wakeful.core.job import JobRecord
from wakeful.core.run import Run
from wakeful.faces.aitp.errors import Refused, clip
from wakeful.faces.aitp.ids import client_of
from wakeful.faces.aitp.tokens import Token, list_tokens, matching
from wakeful.faces.asgi import header
from wakeful.scheduler import Scheduler

# A token that was made or revoked elsewhere is known here after so long.
LOOK_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the holder of a token, or, while there are no tokens at all, anybody."""

    token: Token | None = None

    @property
    def restricted_to(self) -> str | None:
        """The one client whose things this caller sees and changes; ``None``: everybody's."""
        return None if self.token is None or self.token.allows("admin") else self.token.client_id

    def check_scope(self, scope: str) -> None:
        """Lets a caller with that scope pass.

        Raises:
            Refused: 403.
        """
        if self.token is not None and not self.token.allows(scope):
            raise Refused(403, f"this token lacks the scope {scope}")

    def check_client(self, client_id: str) -> None:
        """Lets a caller pass that may speak for this client or agent.

        Raises:
            Refused: 403.
        """
        if self.restricted_to not in (None, client_id):
            raise Refused(403, f"this token speaks for {self.restricted_to!r}, not for {client_id!r}")

    def sees(self, record: JobRecord, run: Run | None = None) -> bool:
        """Whether a job, or this run of it, is this caller's: as its client, or as the agent that holds it."""
        mine = self.restricted_to
        return mine is None or client_of(record) == mine or (run is not None and run.holder == mine)


class Access:
    """The tokens as they are now, within a second."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._tokens: dict[str, Token] = {}
        self._looked_at: datetime | None = None
        self._anybody = Caller()

    async def caller(self, scope: Scope) -> Caller:
        """Who asks: by ``X-API-Key``, or ``Authorization: Bearer``.

        Raises:
            Refused: 401; 403.
            WakefulError: ``STORE_UNAVAILABLE``.
        """
        now = self._scheduler.now()
        # A clock that was set back must not keep a revoked token alive. Until it is known whether there are tokens at
        # all, everybody waits.
        if self._looked_at is None or abs(now - self._looked_at) >= LOOK_AGAIN:
            self._tokens = {token.id: token for token in await list_tokens(self._scheduler.documents)}
            self._looked_at = now
        if not self._tokens:
            if not _from_this_machine(scope):
                refusal = "there are no tokens, so only this machine may use it: make one with `wakeful token create`"
                raise Refused(401, refusal, ((b"www-authenticate", b"Bearer"),))
            _check_named(scope)
            return self._anybody
        token = matching(self._tokens, _token_text(scope))
        if token is None or (token.expires_at is not None and token.expires_at <= now):
            refusal = "this needs a token that is known and has not expired, as X-API-Key or Authorization: Bearer"
            raise Refused(401, refusal, ((b"www-authenticate", b"Bearer"),))
        return Caller(token)


def _from_this_machine(scope: Scope) -> bool:
    """Whether the address that was called is one that nobody else reaches."""
    host: str = (scope.get("server") or ("",))[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # A socket in the file system; and a test's client, which has no address.
        return not host or host.startswith("/")


def _check_named(scope: Scope) -> None:
    """Refuses what a browser asks for a page of somebody else's: it can reach this machine, but names another.

    A page's own name may lead here (DNS rebinding), which ``Host`` tells, or it calls a name of ours, which ``Origin``
    tells. Other programs send no origin; and no browser reaches a socket in the file system.
    """
    if not scope.get("server") or scope["server"][1] is None:
        return
    host, origin = header(scope, b"host"), header(scope, b"origin")
    for named, start in ((host, "//"), (origin, "")):
        text = None if named is None else named.decode("latin-1")
        if text is not None and not _is_this_machine(start + text):
            refusal = f"without tokens only this machine may use it, as localhost or by its address, not {clip(text)!r}"
            raise Refused(403, f"{refusal}: make one with `wakeful token create`")


def _is_this_machine(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def _token_text(scope: Scope) -> str:
    key = header(scope, b"x-api-key")
    if key is None:
        kind, _, key = (header(scope, b"authorization") or b"").partition(b" ")
        key = key if kind.lower() == b"bearer" else b""
    return key.strip().decode("ascii", "replace")
