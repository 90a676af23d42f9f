"""What a request says, field by field: every unknown, read-only, missing or wrong one is named in the answer."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from wakeful.core.errors import WakefulError
from wakeful.core.job import DATA_LIMIT
from wakeful.core.moments import in_range, parse_instant
from wakeful.faces.aitp.errors import Refused, WrongFieldError, clip, problem, problems, within

Reader = Callable[[Any], Any]
Fields = Mapping[str, Reader]

_ID = re.compile(r"[^\s/\\?#\x00-\x1f\x7f\ud800-\udfff]{1,128}")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SMALL_JSON = 16 * 1024
# What is meant as an instant or a local time, and how these are written.
_LIKE_A_DATE = re.compile(r"[0-9]{4}-[0-9]|[0-9]{8}T")
_DATE_AND_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}((\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))?)?"
)

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


# What a field's reader gets: its JSON text.
def _value(raw: Any) -> Any:
    return _decode(raw) if isinstance(raw, msgspec.Raw) else raw


def identifier(raw: Any) -> str:
    """The id of a client or an agent, or the name of a capability: up to 128 characters without blanks and slashes."""
    value = _value(raw)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise WrongFieldError("must be a text of 1 to 128 characters, without blanks, slashes, '?' and '#'")
    return value


def text(limit: int, *, least: int = 0) -> Reader:
    """A text of so many characters, without control characters except line breaks and tabs."""

    def read(raw: Any) -> str:
        value = _value(raw)
        if not isinstance(value, str) or not least <= len(value) <= limit or _NOT_TEXT.search(value):
            raise WrongFieldError(f"must be a text of {least} to {limit} characters, none of them a control character")
        return value

    return read


def printable(raw: Any) -> str:
    """Any text; control characters, of which the output of programs is full, become blanks."""
    value = _value(raw)
    if not isinstance(value, str):
        raise WrongFieldError("must be a text")
    return _NOT_TEXT.sub(" ", value)


def integer(low: int, high: int) -> Reader:
    """A whole number from ``low`` to ``high``; a text of digits is one too, as FastAPI has it."""

    def read(raw: Any) -> int:
        value = _value(raw)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise WrongFieldError(f"must be a whole number from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Reader:
    """A number from ``low`` to ``high``."""

    def read(raw: Any) -> float:
        value = _value(raw)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise WrongFieldError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return read


def flag(raw: Any) -> bool:
    """True or false."""
    value = _value(raw)
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    if not isinstance(value, bool):
        raise WrongFieldError("must be true or false")
    return value


def one_of(*names: str, fold: bool = False) -> Reader:
    """One of these texts; with ``fold``, in any case."""

    def read(raw: Any) -> str:
        value = _value(raw)
        if isinstance(value, str) and fold:
            value = next((name for name in names if name.lower() == value.lower()), value)
        if not isinstance(value, str) or value not in names:
            raise WrongFieldError(f"must be one of {', '.join(names)}")
        return value

    return read


def instant(raw: Any) -> datetime:
    """An instant: ISO 8601 with an offset."""
    value = _value(raw)
    try:
        found = parse_instant(value, "it") if isinstance(value, str) else None
        if found is not None:
            return in_range(found.astimezone(UTC), "it")
    except WakefulError as error:
        raise WrongFieldError(error.message) from None
    raise WrongFieldError("must be an instant such as 2030-01-31T09:00:00Z")


def moment(raw: Any) -> str:
    """The text of an instant, a local time or a duration; what it means is for others to say."""
    value = str(text(64, least=1)(raw))
    if _LIKE_A_DATE.match(value) and not _DATE_AND_TIME.fullmatch(value):
        raise WrongFieldError("must be written as 2030-01-31T09:00:00Z, or as a local time as 2030-01-31T09:00:00")
    return value


def anything(raw: Any) -> bytes:
    """Any JSON value but null, as its text."""
    body = bytes(raw)
    if len(body) > DATA_LIMIT:
        raise WrongFieldError(f"is {len(body)} bytes long: at most {DATA_LIMIT} are allowed")
    return body


def small_object(raw: Any) -> str:
    """A JSON object of up to 16 KiB, as its text."""
    body = bytes(raw)
    if not body.startswith(b"{") or len(body) > _SMALL_JSON:
        raise WrongFieldError(f"must be an object of at most {_SMALL_JSON} bytes")
    return body.decode()


def small_list(reader: Reader, most: int, *, least: int = 1, commas: bool = False) -> Reader:
    """One value or a list of ``least`` to ``most``, none of them twice.

    In a query there are commas between them; with ``commas``, where they can't be part of one, in a text of JSON, too.
    """

    def read(raw: Any) -> list[Any]:
        value = _value(raw)
        if isinstance(value, str) and (commas or isinstance(raw, str)):
            value = value.split(",")
        value = value if isinstance(value, list) else [value]
        if not least <= len(value) <= most:
            raise WrongFieldError(f"must be a list of {least} to {most}")
        return list(dict.fromkeys(reader(each.strip() if isinstance(each, str) else each) for each in value))

    return read


def list_of(reader: Reader, most: int) -> Reader:
    """A list of up to ``most``; what is wrong in it is told with its place."""

    def read(raw: Any) -> list[Any]:
        given = _decode_list(raw)
        if len(given) > most:
            raise WrongFieldError(f"must be a list of at most {most}")
        found: dict[Any, Any] = {}
        wrong: list[dict[str, Any]] = []
        for place, each in enumerate(given):
            _read(found, wrong, ("body", place, reader, each))
        if wrong:
            raise problems(wrong)
        return list(found.values())

    return read


def read_object(
    body: bytes, fields: Fields, required: Collection[str] = (), read_only: Collection[str] = ()
) -> dict[str, Any]:
    """What a JSON object says in these fields; null is the same as nothing.

    Raises:
        Refused: 422, with all that is wrong with it.
    """
    return read_fields(decode_object(body), fields, required, read_only)


def decode_object(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, as their texts.

    Raises:
        Refused: 422, it is none.
    """
    try:
        # The decoder looks into strings only where it needs them.
        body.decode()
        return _decode_object(body)
    except UnicodeDecodeError as error:
        reason = f"invalid UTF-8 at byte {error.start}"
    except RecursionError:
        reason = "nested too deeply"
    except (msgspec.DecodeError, ValueError) as error:
        reason = str(error)
    raise Refused(422, [{"type": "json_invalid", "loc": ["body"], "msg": f"must be a JSON object: {reason}"}])


def read_fields(
    given: Mapping[str, Any], fields: Fields, required: Collection[str] = (), read_only: Collection[str] = ()
) -> dict[str, Any]:
    """As ``read_object``, of fields that are texts already."""
    found: dict[str, Any] = {}
    wrong: list[dict[str, Any]] = []
    for name, raw in given.items():
        reader = fields.get(name)
        if reader is None:
            kind = "read_only" if name in read_only else "extra_forbidden"
            wrong.append(problem("body", name, kind, f"Field is {'read-only' if name in read_only else 'not known'}"))
        elif bytes(raw) != b"null":
            _read(found, wrong, ("body", name, reader, raw))
    missing = [name for name in required if name not in given or bytes(given[name]) == b"null"]
    wrong += [problem("body", name, "missing", "Field required") for name in missing]
    if wrong:
        raise problems(wrong)
    return found


def read_query(given: Mapping[str, str], fields: Fields, required: Collection[str] = ()) -> dict[str, Any]:
    """What the parameters of a query say; one that is not known is named, too.

    Raises:
        Refused: 422, with all that is wrong with them.
    """
    found: dict[str, Any] = {}
    wrong: list[dict[str, Any]] = []
    for name, value in given.items():
        reader = fields.get(name)
        if reader is None:
            wrong.append(problem("query", name, "extra_forbidden", "Parameter is not known"))
        else:
            _read(found, wrong, ("query", name, reader, value))
    wrong += [problem("query", name, "missing", "Parameter required") for name in required if name not in given]
    if wrong:
        raise problems(wrong)
    return found


def _read(found: dict[Any, Any], wrong: list[dict[str, Any]], what: tuple[str, str | int, Reader, Any]) -> None:
    place, name, reader, raw = what
    try:
        found[name] = reader(raw)
    except Refused as refused:
        if not isinstance(refused.detail, list):
            raise
        wrong += within((name,), refused.detail)
    except WrongFieldError as error:
        wrong.append(problem(place, name, "value_error", clip(str(error), 300)))
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        wrong.append(problem(place, name, "json_invalid", clip(str(error), 300)))
