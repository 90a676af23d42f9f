"""A private PostgreSQL for one measurement, with its commits on disk."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import BenchError, Child, cpu_s, free_port

START_LIMIT_S = 60
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "60",
}


def programs() -> Path:
    """The folder with PostgreSQL's programs."""
    folders = [Path(found).parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise BenchError("PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql")


def _as_user(folder: Path) -> list[str]:
    """How to run as somebody who may run PostgreSQL, which root may not; the folder becomes theirs."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    raise BenchError("PostgreSQL must not run as root, and there is no user postgres or nobody")


class Cluster:
    """A running server."""

    def __init__(self, server: Child, port: int, user: str) -> None:
        self.dsn = f"postgresql://{user}@127.0.0.1:{port}/postgres"
        self._pid = server.process.pid

    def cpu_s(self) -> float:
        """CPU seconds of the server and its backends, those that ended among them."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()
        ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return ended + cpu_s(self._pid) + sum(cpu_s(int(pid)) for pid in children)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server on a free port, in a folder that goes with it."""
    bin_folder = programs()
    with tempfile.TemporaryDirectory(prefix="wakeful-bench-pg-") as name:
        folder = Path(name)
        prefix, data = _as_user(folder), folder / "data"
        made = subprocess.run(
            [*prefix, bin_folder / "initdb", "-D", data, "-U", "bench", "--auth=trust", "-E", "UTF8", "--locale=C"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
        )
        if made.returncode:
            raise BenchError(f"initdb failed: {made.stderr.strip()[-300:]}")
        port = free_port()
        settings = {**_SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with Child([*prefix, str(bin_folder / "postgres"), "-D", str(data), *options], folder / "log") as server:
            _until_answering(server, port)
            yield Cluster(server, port, "bench")


def _until_answering(server: Child, port: int) -> None:
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and server.process.poll() is None:
        if "ready to accept connections" in server.log.read_text():
            with socket.create_connection(("127.0.0.1", port), 5):
                return
        time.sleep(0.1)
    raise BenchError(f"PostgreSQL did not start: {server.log.read_text()[-400:]}")
