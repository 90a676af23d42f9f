"""Public holidays, from the package ``holidays``, which not everybody needs."""

from collections.abc import Sequence
from datetime import date

from wakeful.core.errors import ErrorCode, WakefulError


def holiday_dates(country: str, subdivision: str | None, years: range) -> Sequence[date]:
    """The public holidays of a country, or of a part of it, in these years.

    Raises:
        WakefulError: ``INVALID_JOB``: nobody knows them, or the package is not installed.
    """
    try:
        import holidays  # noqa: PLC0415 - it is optional, and large
    except ImportError:
        raise WakefulError(
            ErrorCode.INVALID_JOB, "holidays come from a package that is not installed: pip install 'wakeful[calendar]'"
        ) from None
    where = country if subdivision is None else f"{country}-{subdivision}"
    # The package looks a country up among all that it holds: only what it calls a country reaches it.
    known = holidays.list_supported_countries(include_aliases=True).get(country)
    found: list[date] = []
    if known is not None and (subdivision is None or subdivision in known):
        found = sorted(holidays.country_holidays(country, subdiv=subdivision, years=years))
    if not found:
        raise WakefulError(
            ErrorCode.INVALID_JOB, f"no holidays are known for {where!r}; a country is written US, a part of it CA"
        )
    return found
