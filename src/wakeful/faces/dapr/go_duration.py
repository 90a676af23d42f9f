"""Durations as Go prints them."""

from datetime import timedelta

_MICROSECOND = timedelta(microseconds=1)


def go_duration(duration: timedelta) -> str:
    """A duration as Go's ``String`` has it: ``1h30m0s``, ``-1.5s``, ``500ms``, ``0s``.

    https://pkg.go.dev/time#Duration.String
    """
    micros = duration // _MICROSECOND
    if micros < 0:
        return "-" + go_duration(-duration)
    if micros < 1000:
        return f"{micros}\u00b5s" if micros else "0s"
    if micros < 1_000_000:
        return f"{_decimal(micros, 1000)}ms"
    minutes, micros = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(micros, 1_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(number: int, unit: int) -> str:
    """A number of parts of a unit as a decimal of units, without zeros at its end."""
    whole, rest = divmod(number, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}}".rstrip("0").rstrip(".") if rest else str(whole)
