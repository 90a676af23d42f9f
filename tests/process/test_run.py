"""``wakeful run``: the app's output, its environment, and whose end ends whom."""

import json
import signal
import socket
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from support.processes import Processes, alive, eventually, free_port

pytestmark = pytest.mark.slow

PYTHON = sys.executable
# Prints its process id and that of a child that would outlive it, then waits for its end.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def test_the_apps_output_is_prefixed_line_by_line_on_both_streams(processes: Processes) -> None:
    script = "import sys; print('to out'); print('to err', file=sys.stderr); sys.stdout.write('no newline')"
    node = processes.run(PYTHON, "-c", script)

    assert node.exit_code() == 0
    assert "== APP == to out\n" in node.out
    assert "== APP == no newline\n" in node.out
    assert "== APP == to err\n" in node.err
    assert "You're up and running!" in node.out
    assert node.out.index("HTTP Port") < node.out.index("You're up and running!")
    assert "Traceback" not in node.err


def test_long_lines_and_lines_that_are_no_text_come_through(processes: Processes) -> None:
    script = "import os; os.write(1, b'x' * 200_000 + b'\\n' + b'caf\\xe9\\n'); os.write(1, b'last\\n')"
    node = processes.run(PYTHON, "-c", script)

    assert node.exit_code() == 0
    lines = (node.home / "stdout").read_bytes().splitlines()
    assert b"== APP == caf\xe9" in lines
    assert b"== APP == last" in lines
    assert sum(line.count(b"x") for line in lines if line.startswith(b"== APP == x")) == 200_000


def test_the_app_learns_its_ports_and_its_id(processes: Processes) -> None:
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    port = free_port()
    node = processes.run(PYTHON, "-c", script, app_id="shop", app_port=port, environment={"MINE": "kept"})

    assert node.exit_code() == 0
    (line,) = [line for line in node.out.splitlines() if line.startswith("== APP == {")]
    environment = json.loads(line.removeprefix("== APP == "))
    assert environment["APP_ID"] == "shop"
    assert environment["APP_PORT"] == str(port)
    assert environment["DAPR_HTTP_PORT"] == str(node.http_port)
    assert environment["MINE"] == "kept"


def test_what_stands_after_the_dashes_reaches_the_app_untouched(processes: Processes) -> None:
    given = ["--app-port", "99", "--version", "--help", "-h", "--store=x", "--", "", "two words", "$HOME", "-", "*"]
    node = processes.run(PYTHON, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *given)

    assert node.exit_code() == 0
    (line,) = [line for line in node.out.splitlines() if line.startswith("== APP == [")]
    assert json.loads(line.removeprefix("== APP == ")) == given


@pytest.mark.parametrize("code", [0, 3])
def test_the_apps_end_ends_wakeful_with_the_same_exit_code(processes: Processes, code: int) -> None:
    node = processes.run(PYTHON, "-c", f"raise SystemExit({code})")
    assert node.exit_code() == code
    assert "Traceback" not in node.err


def test_an_app_that_a_signal_ended_is_told_by_the_exit_code(processes: Processes) -> None:
    node = processes.run(PYTHON, "-c", "import os; os.kill(os.getpid(), 9)")
    assert node.exit_code() == 128 + 9
    assert "signal 9" in node.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_wakeful_ends_the_app_with_all_it_started(processes: Processes, number: signal.Signals) -> None:
    node = processes.run(PYTHON, "-c", PARENT)
    node.wait_out("== APP == pids")
    pids = [int(pid) for pid in node.out.split("pids")[1].split("\n")[0].split()]
    processes.strays.extend(pids)
    assert all(alive(pid) for pid in pids)

    assert node.end(number) == 0

    eventually(lambda: not any(alive(pid) for pid in pids), "the end of the app and its child", 1)
    assert "Traceback" not in node.err


def test_children_that_an_app_leaves_behind_end_with_it(processes: Processes) -> None:
    node = processes.run(PYTHON, "-c", PARENT.replace("time.sleep(600)\n", "sys.exit(4)\n"))

    assert node.exit_code() == 4
    child = int(node.out.split("pids")[1].split()[1])
    processes.strays.append(child)
    eventually(lambda: not alive(child), "the end of the app's child", 2)


def test_an_app_that_ignores_sigterm_is_killed(processes: Processes) -> None:
    node = processes.run(PYTHON, "-c", STUBBORN)
    node.wait_out("== APP == deaf")
    assert node.end(deadline_s=10) == 0


def test_a_second_signal_does_no_harm(processes: Processes) -> None:
    node = processes.run(PYTHON, "-c", STUBBORN)
    node.wait_out("== APP == deaf")
    node.process.send_signal(signal.SIGINT)
    node.process.send_signal(signal.SIGTERM)
    assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.err


@pytest.mark.parametrize("command", ["/no/such/program", "no-such-program-anywhere", "/etc/passwd"])
def test_a_command_that_can_not_be_started_is_an_error_in_one_line(processes: Processes, command: str) -> None:
    node = processes.run(command, "--flag")
    assert node.exit_code() == 1
    assert command in node.err
    assert "Traceback" not in node.err


def test_run_without_a_command_is_a_usage_error(processes: Processes) -> None:
    node = processes.start("run", "app", ())
    assert node.exit_code() == 2
    assert "--" in node.err
    assert "Traceback" not in node.err


@pytest.mark.parametrize("which", ["http_port", "own_port"])
def test_a_taken_port_is_an_error_in_one_line_and_the_app_is_not_started(processes: Processes, which: str) -> None:
    witness = processes.home / "started"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = processes.run("touch", str(witness), **{which: port})
        assert node.exit_code() == 2
    assert str(port) in node.err
    assert "Traceback" not in node.err
    assert not witness.exists()


def _garbage(home: Path) -> str:
    (home / "garbage.db").write_bytes(b"this is no database, whatever its name says\n" * 100)
    return f"sqlite:///{home}/garbage.db"


def _no_folder(home: Path) -> str:
    return f"sqlite:///{home}/missing/wakeful.db"


def _a_folder(home: Path) -> str:
    return f"sqlite:///{home}"


def _other_scheme(home: Path) -> str:
    return "redis://127.0.0.1/0"


def _read_only(home: Path) -> str:
    # Not even root can create a file here.
    return "sqlite:////proc/wakeful.db"


def _others_database(home: Path) -> str:
    with sqlite3.connect(home / "other.db") as db:
        db.execute("CREATE TABLE jobs(id INTEGER PRIMARY KEY, name TEXT)")
    return f"sqlite:///{home}/other.db"


@pytest.mark.parametrize("store", [_garbage, _no_folder, _a_folder, _other_scheme, _read_only, _others_database])
@pytest.mark.parametrize("verb", ["serve", "run"])
def test_a_store_that_can_not_be_used_is_an_error_in_one_line(processes: Processes, store, verb: str) -> None:  # type: ignore[no-untyped-def]
    url = store(processes.home)
    witness = processes.home / "started"
    node = processes.start(verb, "app", ("--", "touch", str(witness)) if verb == "run" else (), store=url)

    assert node.exit_code() not in (0, -signal.SIGKILL)
    assert node.err.strip()
    assert "Traceback" not in node.err
    assert not witness.exists()


def test_a_wider_bind_without_a_token_is_refused(processes: Processes) -> None:
    node = processes.serve(flags=["--listen-address=0.0.0.0"])
    assert node.exit_code() == 2
    assert "DAPR_API_TOKEN" in node.err
    assert "Traceback" not in node.err


def test_a_wider_bind_with_a_token_is_served(processes: Processes) -> None:
    node = processes.serve(flags=["--listen-address=0.0.0.0"], environment={"DAPR_API_TOKEN": "secret-7f3a"})
    node.wait_ready()
    assert node.end() == 0
    assert "secret-7f3a" not in node.out + node.err


def test_wakeful_is_ready_soon(processes: Processes) -> None:
    node = processes.serve().wait_ready()
    assert time.monotonic() - node.began < 10


def test_a_signal_while_it_starts_ends_it_quietly(processes: Processes) -> None:
    node = processes.run(PYTHON, "-c", PARENT)
    node.wait_out("HTTP Port")
    assert node.end() == 0
    pids = [int(word) for line in node.out.splitlines() if "pids" in line for word in line.split()[4:]]
    processes.strays.extend(pids)
    assert not any(alive(pid) for pid in pids)
    assert "Traceback" not in node.err
