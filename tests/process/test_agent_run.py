"""``wakeful agent run`` and the Python agent: real agents of a real node."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from support.aitp import Aitp, AitpNode, Started, gone
from support.processes import WAKEFUL, eventually, free_port

pytestmark = pytest.mark.slow

# Tells the test its process and its child's, then does what it is told by the input: nothing else ends it.
HANGING = """#!/bin/sh
trap '' TERM
sleep 1000 & echo "$$ $!" > "$HOME/pids"
wait; wait; wait
"""
PYTHON_AGENT = """
import asyncio, sys
from wakeful.agent import Agent, Rejected

agent = Agent(sys.argv[1], limit=4, lease_s=5)

@agent.task("double-v1")
def double(input):
    return {"twice": input["n"] * 2}

@agent.task("greet-v1")
async def greet(input, task):
    await asyncio.sleep(0.01)
    return f"{input['name']}, attempt {task.attempt} of {task.capability_required}"

@agent.task("fail-v1")
def fail(input):
    raise KeyError(input["n"])

@agent.task("reject-v1")
def reject(input):
    raise Rejected("such a thing can't be")

@agent.task("strange-v1")
def strange(input):
    return object()

agent.run()
"""


@pytest.fixture(scope="module")
def aitp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aitp]:
    started = Aitp(tmp_path_factory.mktemp("aitp"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def node(aitp: Aitp) -> AitpNode:
    return aitp.node()


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def shell(aitp: Aitp, node: AitpNode, capability: str, line: str, *flags: str) -> Started:
    """An agent of its own capability that does each task by a line for sh."""
    return aitp.agent(node.url, "sh", "-c", line, flags=(f"--capability={capability}", *flags))


def test_a_task_comes_on_stdin_and_its_result_is_what_was_printed(aitp: Aitp, node: AitpNode) -> None:
    agent = shell(aitp, node, "echo-v1", 'echo "$WAKEFUL_ATTEMPT $WAKEFUL_CAPABILITY $WAKEFUL_TASK_ID" >&2; cat')
    task_id = node.make("echo-v1", input_data={"n": [1, 2.5, "ü"]})
    done = node.wait_status(task_id, "COMPLETED")
    assert done["result_data"] == {"n": [1, 2.5, "ü"]}
    assert f"1 echo-v1 {task_id}" in agent.said
    assert agent.end() == 0


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("echo plain words", {"output": "plain words\n"}),
        ("echo 007", {"output": "007\n"}),
        ("true", None),
        ("echo ' [1, null] '", [1, None]),
        (r"printf 'caf\351'", {"output": "caf�"}),
        ("exec <&-; echo '\"read nothing\"'", "read nothing"),
    ],
)
def test_what_is_no_json_is_an_output(aitp: Aitp, node: AitpNode, line: str, result: object) -> None:
    capability = f"out-{crc32(line.encode())}"
    agent = shell(aitp, node, capability, line)
    done = node.wait_status(node.make(capability, input_data="x" * 200_000), "COMPLETED")
    assert done["result_data"] == result
    assert agent.end() == 0


def test_too_much_output_is_cut(aitp: Aitp, node: AitpNode) -> None:
    agent = shell(aitp, node, "much-v1", "yes | head -c 5000000")
    done = node.wait_status(node.make("much-v1"), "COMPLETED")
    assert done["result_data"]["truncated"] is True
    assert len(done["result_data"]["output"]) == 1024 * 1024
    assert agent.end() == 0


def test_a_failure_is_tried_again_and_its_error_is_the_end_of_stderr(aitp: Aitp, node: AitpNode) -> None:
    line = 'printf "\\033[31mno paper %s\\033[0m" "$WAKEFUL_ATTEMPT" >&2; exit 3'
    agent = shell(aitp, node, "fails-v1", line)
    task_id = node.make("fails-v1", max_retries=1, retry_policy={"backoff": "fixed", "delay_seconds": 0.1})
    failed = node.wait_status(task_id, "FAILED")
    assert "exit code 3" in failed["error_message"]
    assert "no paper 2" in failed["error_message"]
    assert failed["retry_count"] == 1
    assert agent.end() == 0


def test_wrong_data_is_not_tried_again(aitp: Aitp, node: AitpNode) -> None:
    agent = shell(aitp, node, "rejects-v1", "echo no such report >&2; exit 65")
    failed = node.wait_status(node.make("rejects-v1", max_retries=5), "FAILED")
    assert failed["error_message"] == "exit code 65: no such report"
    assert failed["retry_count"] == 0
    assert agent.end() == 0


def test_a_command_that_is_killed_has_failed(aitp: Aitp, node: AitpNode) -> None:
    agent = shell(aitp, node, "killed-v1", "kill -9 $$")
    failed = node.wait_status(node.make("killed-v1", max_retries=0), "FAILED")
    assert failed["error_message"] == "ended by signal 9"
    assert agent.end() == 0


def test_long_work_keeps_its_lease(aitp: Aitp, node: AitpNode) -> None:
    agent = shell(aitp, node, "long-v1", "sleep 3; echo 1", "--lease=1")
    task_id = node.make("long-v1", max_retries=0)
    node.wait_status(task_id, "ACTIVE")
    done = node.wait_status(task_id, "COMPLETED")
    assert (done["result_data"], done["retry_count"]) == (1, 0)
    assert agent.end() == 0


def test_as_many_tasks_at_a_time_as_was_said(aitp: Aitp, node: AitpNode) -> None:
    folder = aitp.home / "limited"
    folder.mkdir()
    # Each waits until three are there, so fewer than three at a time would never end.
    line = f'touch {folder}/$WAKEFUL_TASK_ID; while [ "$(ls {folder} | wc -l)" -lt 3 ]; do sleep 0.01; done'
    agent = shell(aitp, node, "limited-v1", line, "--limit=3")
    for task_id in [node.make("limited-v1") for _ in range(3)]:
        node.wait_status(task_id, "COMPLETED")
    assert agent.end() == 0


def test_sigterm_lets_work_end_within_the_grace(aitp: Aitp, node: AitpNode) -> None:
    agent = shell(aitp, node, "graceful-v1", "echo begun >&2; sleep 1; echo '\"finished\"'")
    task_id = node.make("graceful-v1")
    agent.wait_said("begun")
    assert agent.end() == 0
    assert node.task(task_id)["result_data"] == "finished"


def test_what_can_not_be_finished_is_given_back_and_costs_no_attempt(aitp: Aitp, node: AitpNode) -> None:
    command = script(aitp.home, "hanging.sh", HANGING)
    pids = aitp.home / "pids"
    pids.unlink(missing_ok=True)
    agent = aitp.agent(node.url, command, flags=("--capability=hang-v1", "--grace=0.2"))
    task_id = node.make("hang-v1", max_retries=0)
    leader, child = map(int, eventually(lambda: pids.exists() and pids.read_text().split(), "the command to begin"))
    assert agent.end(deadline_s=15) == 0
    for pid in (leader, child):
        gone(pid)
    waiting = node.task(task_id)
    assert (waiting["status"], waiting["retry_count"]) == ("PENDING", 0)
    other = aitp.agent(node.url, "true", flags=("--capability=hang-v1",))
    node.wait_status(task_id, "COMPLETED")
    assert other.end() == 0


def test_a_task_that_is_cancelled_ends_the_command_with_all_it_started(aitp: Aitp, node: AitpNode) -> None:
    command = script(aitp.home, "hanging.sh", HANGING)
    pids = aitp.home / "pids"
    pids.unlink(missing_ok=True)
    agent = aitp.agent(node.url, command, flags=("--capability=cancel-v1", "--lease=1"))
    task_id = node.make("cancel-v1")
    leader, child = map(int, eventually(lambda: pids.exists() and pids.read_text().split(), "the command to begin"))
    node.ask("DELETE", f"/aitp/tasks/{task_id}?client_id=client-1")
    for pid in (leader, child):
        gone(pid, 15)
    agent.wait_said("was lost")
    assert node.task(task_id)["status"] == "CANCELLED"
    assert agent.end() == 0


def test_an_agent_that_is_killed_loses_its_task_to_another(aitp: Aitp, node: AitpNode) -> None:
    first = shell(aitp, node, "taken-v1", "echo begun >&2; sleep 60", "--lease=1")
    task_id = node.make("taken-v1", max_retries=1)
    first.wait_said("begun")
    first.kill()
    second = shell(aitp, node, "taken-v1", "echo $WAKEFUL_ATTEMPT")
    done = node.wait_status(task_id, "COMPLETED")
    assert done["result_data"] == 2
    assert second.end() == 0


def test_an_agent_outlives_its_node(aitp: Aitp, tmp_path: Path) -> None:
    own = Aitp(tmp_path)
    try:
        node = own.node()
        agent = own.agent(node.url, "sh", "-c", "echo begun >&2; sleep 2; echo 1", flags=("--lease=20",))
        task_id = node.make()
        agent.wait_said("begun")
        node.kill()
        again = own.node(port=node.port)
        done = again.wait_status(task_id, "COMPLETED", 30)
        assert (done["result_data"], done["retry_count"]) == (1, 0)
        task_id = again.make()
        again.wait_status(task_id, "COMPLETED", 30)
        assert agent.end() == 0
    finally:
        own.close()


def test_an_agent_without_an_id_is_forgotten_and_one_with_an_id_is_inactive(aitp: Aitp, node: AitpNode) -> None:
    named = aitp.agent(node.url, "true", flags=("--capability=named-v1", "--agent-id=agent-7"))
    nameless = aitp.agent(node.url, "true", flags=("--capability=named-v1",))
    search = "/ains/search?capability=named-v1"
    eventually(lambda: node.ask("GET", search)["total"] == 2, "both to be registered")
    assert node.ask("GET", "/ains/agents/agent-7")["status"] == "AVAILABLE"
    assert (named.end(), nameless.end()) == (0, 0)
    (left,) = node.ask("GET", search)["agents"]
    assert (left["agent_id"], left["status"]) == ("agent-7", "INACTIVE")
    again = aitp.agent(node.url, "true", flags=("--capability=named-v1", "--agent-id=agent-7"))
    eventually(lambda: node.ask("GET", "/ains/agents/agent-7")["status"] == "AVAILABLE", "it to be back")
    assert again.end() == 0


def test_with_a_token_an_agent_is_whom_the_token_names(aitp: Aitp, tmp_path: Path) -> None:
    own = Aitp(tmp_path)
    try:
        node = own.node()
        tokens = []
        for whose in (("--client", "client-1"), ("--agent", "agent-1")):
            made = own.program([WAKEFUL, "token", "create", *whose, f"--store={own.store}", "--json"])
            assert made.process.wait(20) == 0
            tokens.append(json.loads(made.said)["token"])
        node.client.headers["x-api-key"] = tokens[0]
        eventually(lambda: node.client.get("/aitp/tasks").status_code == 200, "the token to be known")
        task_id = node.make()
        stranger = own.agent(node.url, "true", WAKEFUL_API_KEY=tokens[1])
        assert stranger.process.wait(20) == 1
        assert "403" in stranger.said
        assert own.agent(node.url, "true").process.wait(20) == 1
        agent = own.agent(node.url, "true", flags=("--agent-id=agent-1",), WAKEFUL_API_KEY=tokens[1])
        node.wait_status(task_id, "COMPLETED")
        assert agent.end() == 0
        assert tokens[1] not in agent.said
    finally:
        own.close()


def test_functions_do_tasks(aitp: Aitp, node: AitpNode) -> None:
    agent = aitp.python(PYTHON_AGENT, node.url)
    once = {"max_retries": 0}
    made = {
        "double": node.make("double-v1", input_data={"n": 21}),
        "greet": node.make("greet-v1", input_data={"name": "Ann"}),
        "fail": node.make("fail-v1", **once),
        "reject": node.make("reject-v1", max_retries=5),
        "strange": node.make("strange-v1", **once),
    }
    assert node.wait_status(made["double"], "COMPLETED")["result_data"] == {"twice": 42}
    assert node.wait_status(made["greet"], "COMPLETED")["result_data"] == "Ann, attempt 1 of greet-v1"
    assert node.wait_status(made["fail"], "FAILED")["error_message"] == "KeyError: 1"
    rejected = node.wait_status(made["reject"], "FAILED")
    assert (rejected["error_message"], rejected["retry_count"]) == ("such a thing can't be", 0)
    assert "object" in node.wait_status(made["strange"], "FAILED")["error_message"]
    assert agent.end() == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--capability=a", "--url=ftp://x", "--", "true"), "ftp://x"),
        (("--capability=a", "--", "no-such-command-at-all"), "no-such-command-at-all"),
        (("--capability=a", "--lease=0", "--", "true"), "lease"),
        (("--capability=a",), "which command"),
        (("--", "true"), "capability"),
    ],
)
def test_wrong_settings_are_told(aitp: Aitp, flags: tuple[str, ...], told: str) -> None:
    agent = aitp.program([WAKEFUL, "agent", "run", *flags])
    assert agent.process.wait(20) == 2
    assert told in agent.said
    assert "Traceback" not in agent.said


def test_an_agent_waits_for_a_node_that_is_not_there_yet(aitp: Aitp) -> None:
    agent = aitp.agent(f"http://127.0.0.1:{free_port()}", "true")
    agent.wait_said("no tasks can be claimed")
    assert agent.end(signal.SIGINT) == 0
    assert "Traceback" not in agent.said
    assert not os.path.exists(f"/proc/{agent.pid}")
