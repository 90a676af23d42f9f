"""Durations as Go prints them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakeful.core.duration import parse_go_duration
from wakeful.faces.dapr.go_duration import go_duration


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0s"),
        (1, "1\u00b5s"),
        (1_500, "1.5ms"),
        (500_000, "500ms"),
        (1_000_000, "1s"),
        (1_500_000, "1.5s"),
        (60_000_001, "1m0.000001s"),
        (3_600_000_000, "1h0m0s"),
        (-5_000_000, "-5s"),
    ],
)
def test_are_written_as_go_writes_them(microseconds: int, text: str) -> None:
    assert go_duration(timedelta(microseconds=microseconds)) == text


@given(st.timedeltas(min_value=timedelta(days=-36_500), max_value=timedelta(days=36_500)))
def test_are_read_back_as_they_were(duration: timedelta) -> None:
    assert parse_go_duration(go_duration(duration)) == duration
