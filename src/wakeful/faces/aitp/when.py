"""When a schedule is due, in the words of this face: exactly one of a cron expression, an instant, or a recurrence."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from wakeful.faces.aitp.errors import WrongFieldError
from wakeful.faces.aitp.forms import Fields, flag, integer, moment, one_of, read_fields, small_list, text

_KINDS = ("cron", "once", "interval", "daily", "weekly", "monthly")
_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_CENTURY_S = 3_155_760_000


class Trigger(NamedTuple):
    """One form of a schedule: its text, or its instant, and what of it is shown again.

    ``cron`` is the crontab line, where there is one; ``recurrence`` the caller's own words, as JSON.
    """

    kind: str
    schedule: str | None = None
    run_at: str | None = None
    cron: str | None = None
    recurrence: str | None = None

    @property
    def field(self) -> str:
        """The field that said it."""
        return {"cron": "cron_expression", "once": "run_at"}.get(self.kind, "recurrence")


def time_of_day(raw: Any) -> tuple[int, int, int]:
    """Hours, minutes and seconds of ``09:00`` or ``09:00:30``."""
    match = _TIME.fullmatch(text(8)(raw))
    if match is None:
        raise WrongFieldError("must be a time of day such as 09:00 or 09:00:30")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def day_of_week(raw: Any) -> int:
    """A weekday by its English name, or as crontab numbers it: 0 and 7 are Sunday."""
    if isinstance(raw, str):
        short = raw[:2].upper()
        full = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
        if short in _DAYS and full[_DAYS.index(short)].startswith(raw.lower()) and len(raw) >= 2:
            return _DAYS.index(short)
        if not raw.isdigit():
            raise WrongFieldError("must be weekdays such as monday or 1")
    return int(integer(0, 7)(raw)) % 7


def day_of_month(raw: Any) -> int:
    """A day from 1 to 31, or ``last``, which is -1."""
    return -1 if raw == "last" else int(integer(1, 31)(raw))


_RECURRENCE: Fields = {
    "type": one_of(*_KINDS[2:]),
    "time": time_of_day,
    "day_of_week": small_list(day_of_week, 7, commas=True),
    "day_of_month": small_list(day_of_month, 31, commas=True),
    "last_day": flag,
    "interval": integer(1, 10_000),
    "interval_seconds": integer(1, _CENTURY_S),
}


def recurrence(raw: Any) -> dict[str, Any]:
    """``{"type": "weekly", "day_of_week": "monday", "time": "09:00"}``, read; with its own text beside it."""
    given = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {**read_fields(given, _RECURRENCE), "given": bytes(raw).decode()}


FIELDS: Fields = {
    "schedule_type": one_of(*_KINDS),
    "cron_expression": text(1024, least=1),
    "run_at": moment,
    "recurrence": recurrence,
    **{name: reader for name, reader in _RECURRENCE.items() if name != "type"},
}
# The fields of a recurrence may stand beside `schedule_type` instead.
_FLAT = tuple(name for name in _RECURRENCE if name != "type")


def trigger_of(said: Mapping[str, Any]) -> Trigger | None:
    """The one form that is there; ``None`` if there is none.

    Raises:
        WrongFieldError: there are several, or it is not whole.
    """
    kind = said.get("schedule_type")
    flat = {name: said[name] for name in _FLAT if name in said}
    forms = [name for name in ("cron_expression", "run_at", "recurrence") if name in said]
    if flat or kind in _KINDS[2:]:
        forms.append("schedule_type" if kind else next(iter(flat)))
        if kind is None:
            raise WrongFieldError("needs a schedule_type beside it", forms[-1])
    if "recurrence" in forms and kind is not None and said["recurrence"].get("type", kind) == kind and not flat:
        forms = [form for form in forms if form != "schedule_type"]
    if len(forms) > 1:
        raise WrongFieldError(f"exactly one of these says when: {', '.join(forms)}", forms[-1])
    if not forms:
        if kind is not None:
            raise WrongFieldError("Field required", "cron_expression" if kind == "cron" else "run_at")
        return None
    if forms[0] in ("cron_expression", "run_at"):
        return _plain(forms[0], kind, said)
    return _recurring({"type": kind, **(said.get("recurrence") or flat)})


def _plain(form: str, kind: str | None, said: Mapping[str, Any]) -> Trigger:
    means = "cron" if form == "cron_expression" else "once"
    if kind not in (None, means):
        raise WrongFieldError(f"{kind} does not go with {form}", "schedule_type")
    if form == "run_at":
        return Trigger("once", run_at=said["run_at"])
    return Trigger("cron", said["cron_expression"], cron=said["cron_expression"])


def _recurring(said: dict[str, Any]) -> Trigger:
    kind = said["type"]
    if kind not in _MAKERS:
        raise WrongFieldError(f"must have a type: one of {', '.join(_MAKERS)}", "recurrence")
    allowed, make = _MAKERS[kind]
    extra = next((name for name in said if name not in {*allowed, "type", "given"}), None)
    if extra is not None:
        raise WrongFieldError(f"does not go with {kind}", extra)
    schedule, is_cron = make(said)
    given = said.get("given") or _as_json(said)
    return Trigger(kind, schedule, cron=schedule if is_cron else None, recurrence=given)


def _as_json(said: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in said.items() if name not in ("given", "time")}
    if "time" in said:
        shown["time"] = ":".join(f"{part:02}" for part in said["time"][: 3 if said["time"][2] else 2])
    if "day_of_week" in said:
        shown["day_of_week"] = [_DAYS[day] for day in said["day_of_week"]]
    if "day_of_month" in said:
        shown["day_of_month"] = ["last" if day == -1 else day for day in said["day_of_month"]]
    return msgspec.json.encode(shown).decode()


def _interval(said: Mapping[str, Any]) -> tuple[str, bool]:
    if "interval_seconds" not in said:
        raise WrongFieldError("Field required", "interval_seconds")
    return f"@every {said['interval_seconds']}s", False


def _daily(said: Mapping[str, Any]) -> tuple[str, bool]:
    return _line(said, "* * *") if _every_one(said) else _rule(said, "DAILY")


def _weekly(said: Mapping[str, Any]) -> tuple[str, bool]:
    if "day_of_week" not in said:
        raise WrongFieldError("Field required", "day_of_week")
    days = sorted(said["day_of_week"])
    if _every_one(said):
        return _line(said, f"* * {','.join(map(str, days))}")
    return _rule(said, "WEEKLY", f"BYDAY={','.join(_DAYS[day] for day in days)}")


def _monthly(said: Mapping[str, Any]) -> tuple[str, bool]:
    """A day that a month does not have is left out, or, with ``last_day``, is that month's last."""
    days, to_last = sorted(said.get("day_of_month", ())), said.get("last_day", False)
    if not days and not to_last:
        raise WrongFieldError("Field required", "day_of_month")
    if len(days) > 1 and (to_last or -1 in days):
        raise WrongFieldError("goes with one day of the month only", "last_day" if to_last else "day_of_month")
    if not days or (days in ([-1], [31]) and (to_last or days == [-1])):
        return _line(said, "L * *") if _every_one(said) else _rule(said, "MONTHLY", "BYMONTHDAY=-1")
    if to_last and days[0] > 28:
        shorter = ",".join(map(str, range(28, days[0] + 1)))
        return _rule(said, "MONTHLY", f"BYMONTHDAY={shorter}", "BYSETPOS=-1")
    listed = ",".join(map(str, days))
    return _line(said, f"{listed} * *") if _every_one(said) else _rule(said, "MONTHLY", f"BYMONTHDAY={listed}")


_Maker = Callable[[Mapping[str, Any]], tuple[str, bool]]
# What each kind takes, and how its schedule is written: whether that is a crontab line stands beside it.
_MAKERS: Mapping[str, tuple[frozenset[str], _Maker]] = {
    "interval": (frozenset({"interval_seconds"}), _interval),
    "daily": (frozenset({"time", "interval"}), _daily),
    "weekly": (frozenset({"time", "interval", "day_of_week"}), _weekly),
    "monthly": (frozenset({"time", "interval", "day_of_month", "last_day"}), _monthly),
}


def _every_one(said: Mapping[str, Any]) -> bool:
    return bool(said.get("interval", 1) == 1)


def _line(said: Mapping[str, Any], days: str) -> tuple[str, bool]:
    hour, minute, second = said.get("time", (0, 0, 0))
    return f"{second} {minute} {hour} {days}" if second else f"{minute} {hour} {days}", True


def _rule(said: Mapping[str, Any], freq: str, *days: str) -> tuple[str, bool]:
    hour, minute, second = said.get("time", (0, 0, 0))
    parts = [f"FREQ={freq}", f"INTERVAL={said.get('interval', 1)}", *days]
    return ";".join([*parts, f"BYHOUR={hour}", f"BYMINUTE={minute}", f"BYSECOND={second}"]), False
