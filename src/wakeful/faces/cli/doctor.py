"""``wakeful doctor``: whether what a node stands on is sound."""

from collections.abc import Sequence
from pathlib import Path

from cyclopts import App

from wakeful.core.errors import WakefulError
from wakeful.faces.cli import text
from wakeful.faces.cli.calls import FAILURE, OK, WHERE, Where, loop
from wakeful.faces.cli.doors import Doors

_NOTHING_YET = "there is no such file yet: the first node or job makes it"


def add_to(app: App, doors: Doors) -> None:
    """Adds the command."""

    @app.command
    def doctor(*, where: Where = WHERE) -> int:
        """Look whether the store opens and its ledger adds up, and which versions are in use.

        Exit code 1 if anything is wrong. A file that does not exist yet is not made.
        """
        facts = doors.facts(where.store)
        new = not Path(facts["store"]).exists()
        findings = [] if new else _findings(doors, where.store)
        if where.json:
            print(text.as_json({"ok": not findings, **facts, "new": new, "findings": findings}))
        else:
            for name, value in facts.items():
                print(text.printable(f"{name:<9}{value}"))
            for line in findings or [_NOTHING_YET if new else "all is well: the store opens, and its ledger adds up"]:
                print(text.printable(f"wrong: {line}" if findings else line))
        return FAILURE if findings else OK


def _findings(doors: Doors, store: str | None) -> Sequence[str]:
    async def audited() -> Sequence[str]:
        async with doors.open_scheduler(store) as scheduler:
            return await scheduler.audit()

    try:
        return list(loop(audited()))
    except WakefulError as error:
        return [error.message]
