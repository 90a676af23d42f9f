"""Services that apprise knows."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from support.far_sides import Reply
from wakeful.core.run import Failed, Succeeded
from wakeful.targets.notices import apprise_urls

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
PASSWORD = "correct-horse-7"


@pytest.fixture
def by_apprise(web: Open, sink: Open) -> Open:
    """A sink with a service of apprise's, and the other end."""

    async def make(*answers: Any) -> Any:
        side = await web(*answers)
        url = f"json://me:{PASSWORD}@127.0.0.1:{side.port}/a1b2c3d4e5"
        return sink({"apprise": {"ops": url}}), side

    return make


@pytest.mark.parametrize("target", ["apprise", "apprise:ops"])
async def test_any_service_of_apprises_can_be_told(by_apprise: Open, notice: Open, target: str) -> None:
    sink, side = await by_apprise(Reply(200, b"ok"))
    assert await sink.deliver(notice(target)) == Succeeded()
    (received,) = side.received
    assert received.line.startswith("POST /a1b2c3d4e5")
    said = side.said()
    assert said["title"] == "Scheduled Job: daily_standup succeeded"
    assert said["message"] == "All is well.\nTwo MRs."
    assert said["type"] == "success"


async def test_a_failure_is_told_as_one(by_apprise: Open, failure: Open) -> None:
    sink, side = await by_apprise(Reply(200))
    assert await sink.deliver(failure("apprise")) == Succeeded()
    assert side.said()["type"] == "failure"


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_what_apprise_can_not_send_is_tried_again(by_apprise: Open, notice: Open, status: int) -> None:
    sink, side = await by_apprise(Reply(status, b"no"))
    outcome = await sink.deliver(notice("apprise"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("apprise: Failed to send JSON POST notification: ")
    assert f"error={status}" in outcome.error
    assert len(side.received) == 1


async def test_no_answer_in_time_is_a_failure(by_apprise: Open, notice: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_urls, "_TIMEOUT_S", 0.3)
    sink, _ = await by_apprise(None)
    outcome = await sink.deliver(notice("apprise"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("apprise: ")


async def test_no_secret_is_told(by_apprise: Open, failure: Open, caplog: Any, capfd: Any) -> None:
    caplog.set_level(1)
    logging.getLogger("apprise").handlers.clear()
    sink, side = await by_apprise(Reply(200), Reply(500, f"no {PASSWORD}".encode()))
    outcomes = [await sink.deliver(failure("apprise", error=f"{PASSWORD} is wrong")) for _ in range(2)]
    side.server.close()
    await side.server.wait_closed()
    outcomes.append(await sink.deliver(failure("apprise")))
    assert side.said()["message"] == "Failed after 3 attempts: [redacted] is wrong"
    seen = f"{outcomes} {caplog.text} {capfd.readouterr()}"
    assert isinstance(outcomes[2], Failed)
    assert PASSWORD not in seen
    assert "a1b2c3d4e5" not in seen
