"""The desktop: what a notification service on the bus is asked to show."""

from collections.abc import Callable
from typing import Any

import pytest

from wakeful.core.run import Failed, Succeeded
from wakeful.targets.notices import desktop as desktop_module

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


async def test_s3_86_a_desktop_notification_is_shown(sink: Open, desktop: Any, notice: Open) -> None:
    assert await sink(None, desktop.address).deliver(notice("desktop")) == Succeeded()
    ((app, replaces, icon, title, text, actions, hints, expires),) = desktop.shown
    assert (app, replaces, icon) == ("wakeful", 0, "dialog-information")
    assert title == "Scheduled Job: daily_standup succeeded"
    assert text == "All is well.\nTwo MRs."
    assert actions == []
    assert {name: (hint.signature, hint.value) for name, hint in hints.items()} == {"urgency": ("y", 1)}
    assert expires == 10_000


async def test_c2_9_2_a_failure_is_critical_and_stays(sink: Open, desktop: Any, failure: Open) -> None:
    assert await sink(None, desktop.address).deliver(failure("desktop")) == Succeeded()
    (shown,) = desktop.shown
    assert shown[2] == "dialog-error"
    assert shown[6]["urgency"].value == 2
    assert shown[7] == 0


async def test_c2_9_2_a_text_is_short_and_no_markup(sink: Open, desktop: Any, notice: Open) -> None:
    await sink(None, desktop.address).deliver(notice("desktop", output="<b>a</b> & b"))
    await sink(None, desktop.address).deliver(notice("desktop", output="x" * 300))
    assert [shown[4] for shown in desktop.shown] == ["&lt;b&gt;a&lt;/b&gt; &amp; b", "x" * 199 + "…"]


async def test_no_session_bus_is_a_failure(sink: Open, notice: Open) -> None:
    outcome = await sink().deliver(notice("desktop"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("desktop: no session bus: ")


async def test_a_wrong_address_is_a_failure(sink: Open, notice: Open) -> None:
    outcome = await sink(None, "nonsense").deliver(notice("desktop"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("desktop: no session bus: ")


async def test_a_bus_without_a_notification_service_is_a_failure(sink: Open, bus: Any, notice: Open) -> None:
    outcome = await sink(None, bus.address).deliver(notice("desktop"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("desktop: org.freedesktop.DBus.Error.ServiceUnknown: ")


async def test_a_service_that_refuses_is_a_failure(sink: Open, desktop: Any, notice: Open) -> None:
    desktop.error = "org.freedesktop.Notifications.Error.ExcessNotificationGeneration"
    assert await sink(None, desktop.address).deliver(notice("desktop")) == Failed(f"desktop: {desktop.error}: not now")


async def test_no_answer_in_time_is_a_failure(
    sink: Open, desktop: Any, notice: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desktop_module, "_TIMEOUT_S", 0.3)
    desktop.silent = True
    assert await sink(None, desktop.address).deliver(notice("desktop")) == Failed("desktop: no answer within 0.3 s")
