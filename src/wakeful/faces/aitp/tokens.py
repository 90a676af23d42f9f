"""Tokens of clients and agents: documents of the kind ``token``, which hold their SHA-256 and never themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

import msgspec

from wakeful.core.ports import Entropy, Records

TOKEN = "token"  # noqa: S105 - the kind of the documents
# What a token may be allowed; `admin` sees and changes what is everybody's. Who may write may read.
SCOPES = ("schedule:read", "schedule:write", "task:read", "task:write", "agent:read", "agent:write", "admin")
USUAL_SCOPES = tuple(scope for scope in SCOPES if scope != "admin")
_PREFIX = "wakeful"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. ``client_id`` is the client, or the agent, that it speaks for."""

    id: str
    client_id: str
    scopes: tuple[str, ...]
    created_at: datetime
    sha256: str
    name: str | None = None
    expires_at: datetime | None = None

    def allows(self, scope: str) -> bool:
        """Whether it may do what needs ``scope``."""
        kind, _, what = scope.partition(":")
        return "admin" in self.scopes or scope in self.scopes or (what == "read" and f"{kind}:write" in self.scopes)


async def create_token(
    documents: Records, token: tuple[str, Sequence[str], str | None], now: datetime, entropy: Entropy
) -> tuple[Token, str]:
    """Makes a token of (client or agent id, scopes, name); what is known of it, and the token itself, shown only now.

    Raises:
        ValueError: a scope is not known.
        WakefulError: ``STORE_UNAVAILABLE``.
    """
    client_id, scopes, name = token
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise ValueError(f"there is no scope {unknown[0]!r}: {', '.join(SCOPES)} are known")
    token_id, secret = entropy(6).hex(), entropy(24).hex()
    text = f"{_PREFIX}_{token_id}_{secret}"
    made = Token(token_id, client_id, tuple(scopes or USUAL_SCOPES), now, _digest(text), name)
    await documents.put(TOKEN, token_id, msgspec.json.encode(made).decode(), 0)
    return made, text


async def list_tokens(documents: Records) -> Sequence[Token]:
    """All of them, the oldest first."""
    found = [msgspec.json.decode(record.value, type=Token) for record in await documents.list(TOKEN)]
    return sorted(found, key=lambda token: token.created_at)


async def revoke_token(documents: Records, token_id: str) -> bool:
    """Forgets a token: within a second nobody accepts it any more. Whether there was one."""
    return await documents.delete(TOKEN, token_id)


def matching(tokens: "dict[str, Token]", text: str) -> Token | None:
    """The one of these tokens, by id, that ``text`` is."""
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    token = tokens.get(token_id)
    if prefix != _PREFIX or token is None or not secret:
        return None
    return token if compare_digest(token.sha256, _digest(text)) else None


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
