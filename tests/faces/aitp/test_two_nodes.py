"""Claims whose reports come twice, at once, or on another node than the claim; over HTTP, in real time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def nodes(
    running: Callable[[Path], AbstractContextManager[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Any]]:
    """Two nodes on one file."""
    path = tmp_path_factory.mktemp("store") / "wakeful.db"
    with running(path) as first, running(path) as second:
        yield first, second


def said(node: Any, task: dict[str, Any], what: str, **more: Any) -> Any:
    """The node's answer to a report of agent-1's."""
    said = {"agent_id": "agent-1", "fence": task["fence"], **more}
    return node.client.post(f"/aitp/tasks/{task['task_id']}/{what}", json=said)


def until(answer: Any) -> datetime:
    """How long the task is the agent's."""
    return datetime.fromisoformat(answer.json()["lease_expires_at"])


def test_two_completions_of_one_claim_at_once_are_both_right(nodes: tuple[Any, Any]) -> None:
    node, _ = nodes
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            node.made(capability_required="twice")
            (task,) = node.claim(capability="twice")
            answers = [pool.submit(said, node, task, "complete", result_data=1) for _ in range(4)]
            assert [answer.result().status_code for answer in answers] == [200] * 4


def test_who_completes_again_on_another_node_has_completed_it(nodes: tuple[Any, Any]) -> None:
    first, second = nodes
    made = first.made(capability_required="again")
    (task,) = second.claim(capability="again")
    assert said(first, task, "complete", result_data="the first").status_code == 200
    assert said(second, task, "complete", result_data="the second").status_code == 200
    assert first.task(made)["result_data"] == "the first"
    # Other reports, and those of others, come too late.
    assert said(second, task, "fail").status_code == 409
    assert said(second, task, "complete", agent_id="agent-2").status_code == 403


def test_what_was_cancelled_elsewhere_can_not_be_completed(nodes: tuple[Any, Any]) -> None:
    first, second = nodes
    made = first.made(capability_required="cancelled")
    (task,) = second.claim(capability="cancelled")
    first.client.delete(f"/aitp/tasks/{made}")
    assert said(second, task, "complete").status_code == 409


def test_a_timeout_that_was_changed_elsewhere_counts_for_who_renews_by_it(nodes: tuple[Any, Any]) -> None:
    first, second = nodes
    made = first.made(capability_required="patient", timeout_seconds=100)
    (task,) = second.claim(capability="patient")
    before = until(said(second, task, "renew"))
    assert first.client.put(f"/aitp/tasks/{made}/timeout", params={"timeout_seconds": 5_000}).status_code == 200
    assert until(said(second, task, "renew")) - before > timedelta(hours=1)
    status = second.client.put(f"/aitp/tasks/{made}/status", params={"agent_id": "agent-1"}, json={"status": "ACTIVE"})
    assert until(status) - before > timedelta(hours=1)
