"""``wakeful token``: who may use the AITP face. While there is no token, anybody may who reaches its port."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from wakeful.faces.aitp.tokens import SCOPES, Token, create_token, list_tokens, revoke_token
from wakeful.faces.cli import text
from wakeful.faces.cli.calls import NOT_FOUND, OK, USAGE, WHERE, Where, answer, call, complain
from wakeful.faces.cli.doors import Doors
from wakeful.scheduler import Scheduler

# What an agent needs; it makes no schedules.
_AGENT_SCOPES = ("task:read", "task:write", "agent:read", "agent:write")
_FIRST = "This was the first token: from now on every caller of this store's nodes needs one."


def commands(doors: Doors) -> App:
    """The group of commands."""
    app = App(name="token", help="Decide who may make schedules and tasks, and do them.")
    _add_create(app, doors)
    _add_list_and_revoke(app, doors)
    return app


def _add_create(app: App, doors: Doors) -> None:
    @app.command
    def create(
        *,
        client: str | None = None,
        agent: str | None = None,
        scope: Annotated[tuple[str, ...], Parameter(negative=())] = (),
        name: str | None = None,
        where: Where = WHERE,
    ) -> int:
        """Make a token of a client or of an agent; it is shown this once.

        From the first one on, the nodes of this store answer nobody without a token.

        Parameters
        ----------
        client
            The client that it speaks for: its schedules and tasks.
        agent
            The agent that it speaks for: it claims as nobody else.
        scope
            What it may do; may be given several times. Without any: all but admin; an agent, tasks and agents.
        name
            What you call it.
        """
        if (client is None) == (agent is None):
            return complain("token create: for whom? Give either --client or --agent", USAGE)
        unknown = [one for one in scope if one not in SCOPES]
        if unknown:
            return complain(f"there is no scope {unknown[0]!r}: {', '.join(SCOPES)} are known", USAGE)
        scopes = scope or (_AGENT_SCOPES if agent is not None else ())
        return call(doors, where.store, lambda it: _create(doors, it, (client or agent or "", scopes, name), where))


def _add_list_and_revoke(app: App, doors: Doors) -> None:
    @app.command(name="list")
    def listed(*, where: Where = WHERE) -> int:
        """Print what is known of all tokens, which is not they themselves."""

        async def work(scheduler: Scheduler) -> int:
            tokens = await list_tokens(scheduler.documents)
            return answer(where.json, [_fields(token) for token in tokens], _table(tokens))

        return call(doors, where.store, work)

    @app.command
    def revoke(token_id: str, *, where: Where = WHERE) -> int:
        """Let a token be accepted no more, within a second.

        Parameters
        ----------
        token_id
            As list shows it. After the last token, everybody is let in again.
        """

        async def work(scheduler: Scheduler) -> int:
            if not await revoke_token(scheduler.documents, token_id):
                return complain(f"there is no token {token_id!r}", NOT_FOUND)
            return answer(where.json, {"id": token_id, "revoked": True}, f"revoked {token_id}")

        return call(doors, where.store, work)


async def _create(
    doors: Doors, scheduler: Scheduler, wanted: tuple[str, Sequence[str], str | None], where: Where
) -> int:
    first = not await list_tokens(scheduler.documents)
    token, secret = await create_token(scheduler.documents, wanted, scheduler.now(), doors.entropy)
    if where.json:
        print(text.as_json({**_fields(token), "token": secret}))
        return OK
    print(secret)
    complain(f"token {token.id} of {token.client_id} may do: {', '.join(token.scopes)}", OK)
    if first:
        complain(_FIRST, OK)
    return OK


def _fields(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "client_id": token.client_id,
        "name": token.name,
        "scopes": token.scopes,
        "created_at": text.rfc3339(token.created_at),
        "expires_at": text.rfc3339(token.expires_at),
    }


def _table(tokens: Sequence[Token]) -> str:
    rows = [
        (token.id, token.client_id, token.name or "-", " ".join(token.scopes), text.short(token.created_at))
        for token in tokens
    ]
    return text.table(
        ("ID", "SPEAKS FOR", "NAME", "SCOPES", "CREATED"), rows, "there are no tokens: everybody is let in"
    )
