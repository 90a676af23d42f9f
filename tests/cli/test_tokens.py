"""``wakeful token``: who is let in."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Result
from wakeful.faces.aitp.tokens import list_tokens, matching
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

Wakeful = Callable[..., Result]


def accepted(path: Path, text: str) -> str | None:
    """Whose token that is, as a node would see it."""

    async def looked() -> str | None:
        store = SqliteStore(path, load_zone, os.urandom)
        try:
            tokens = {token.id: token for token in await list_tokens(store.records)}
            found = matching(tokens, text)
            return None if found is None else found.client_id
        finally:
            await store.close()

    return asyncio.run(looked())


def test_a_new_token_is_printed_alone_and_what_it_may_do_beside_it(wakeful: Wakeful, path: Path) -> None:
    made = wakeful("token", "create", "--client", "client-1")
    assert made.code == 0
    (token,) = made.out.splitlines()
    assert accepted(path, token) == "client-1"
    assert "schedule:write" in made.err
    assert "admin" not in made.err
    assert "first token" in made.err
    assert "first token" not in wakeful("token", "create", "--client", "client-2").err


def test_an_agents_token_makes_no_schedules(wakeful: Wakeful) -> None:
    made = wakeful("token", "create", "--agent", "agent-1", "--name", "builder", "--json").json
    assert (made["client_id"], made["name"]) == ("agent-1", "builder")
    assert made["scopes"] == ["task:read", "task:write", "agent:read", "agent:write"]


def test_scopes_are_those_that_were_said(wakeful: Wakeful) -> None:
    made = wakeful("token", "create", "--client", "c", "--scope", "task:read", "--scope", "admin", "--json").json
    assert made["scopes"] == ["task:read", "admin"]


def test_the_list_shows_no_token(wakeful: Wakeful) -> None:
    assert "everybody is let in" in wakeful("token", "list").out
    made = wakeful("token", "create", "--client", "client-1", "--json").json
    listed = wakeful("token", "list")
    assert made["id"] in listed.out
    assert made["token"] not in listed.out
    (shown,) = wakeful("token", "list", "--json").json
    assert shown == {name: value for name, value in made.items() if name != "token"}


def test_a_revoked_token_is_none(wakeful: Wakeful, path: Path) -> None:
    made = wakeful("token", "create", "--client", "client-1", "--json").json
    assert wakeful("token", "revoke", made["id"]).code == 0
    assert accepted(path, made["token"]) is None
    again = wakeful("token", "revoke", made["id"])
    assert (again.code, made["id"] in again.err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--client or --agent"),
        (("--client", "c", "--agent", "a"), "--client or --agent"),
        (("--client", "c", "--scope", "everything"), "everything"),
    ],
)
def test_what_can_not_be_is_told_and_makes_nothing(wakeful: Wakeful, arguments: tuple[str, ...], told: str) -> None:
    refused = wakeful("token", "create", *arguments)
    assert (refused.code, told in refused.err) == (2, True)
    assert wakeful("token", "list", "--json").json == []
