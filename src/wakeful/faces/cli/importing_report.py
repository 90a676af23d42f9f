"""What an importer found: what it takes over, what it can't, and what will be different; and the files it reads."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.cli import text

FileArgument = Annotated[str, Parameter(name="FILE", help="The file to read; - is stdin.", allow_leading_hyphen=True)]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Wishes:
    """How an import goes."""

    dry_run: bool = False
    """Print what would be done, and do nothing."""
    skip_bad: bool = False
    """Leave out what can't be taken over; else nothing is written then."""
    replace: bool = False
    """Replace what is there under the same names and says something else; else nothing is written then."""


WISHES = Wishes()


@dataclass(slots=True)
class Report:
    """Sentences for the reader: ``bad`` begin with where they are about, ``notes`` are what will be different."""

    bad: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Adds a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def tell(self) -> None:
        """Prints all of it: what is bad on stderr."""
        for kind, sentences in (("left alone", self.others), ("note", self.notes)):
            for sentence in sentences:
                print(text.printable(f"{kind}: {sentence}"))
        for sentence in self.bad:
            print(text.printable(f"can't be taken over: {sentence}"), file=sys.stderr)

    def check(self, wishes: Wishes) -> None:
        """Ends the import where something can't be taken over, unless that is to be left out.

        Raises:
            WakefulError: ``INVALID_JOB``.
        """
        if self.bad and not wishes.skip_bad:
            count = f"{len(self.bad)} of them" if len(self.bad) > 1 else "one"
            raise WakefulError(
                ErrorCode.INVALID_JOB, f"nothing was written: {count} can't be taken over; --skip-bad leaves it out"
            )


def read_text(file: str, limit: int) -> str:
    """The text of a file, or of stdin.

    Raises:
        WakefulError: ``INVALID_JOB``: it can't be read, is larger than ``limit`` bytes, or is no UTF-8.
    """
    name = "stdin" if file == "-" else file
    try:
        if file == "-":
            content = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(file).expanduser().open("rb") as opened:
                content = opened.read(limit + 1)
    except OSError as error:
        raise _unreadable(name, str(error.strerror)) from None
    if len(content) > limit:
        raise _unreadable(name, f"it is longer than {limit} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(name, f"line {line} is no UTF-8") from None


def refuse_taken(names: Sequence[str], where: str) -> None:
    """Ends the import, as these names are taken.

    Raises:
        WakefulError: ``JOB_EXISTS``, unless there are none.
    """
    if names:
        listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise WakefulError(
            ErrorCode.JOB_EXISTS,
            f"nothing was written: {where} has something else under these names: {listed}; use --replace",
        )


def _unreadable(name: str, why: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_JOB, f"can't read {name}: {why}")
