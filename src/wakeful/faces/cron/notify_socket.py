"""What systemd is told, by the protocol of sd_notify(3): ready, stopping, alive. Without systemd: nothing."""

import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

log = logging.getLogger("wakeful.cron.systemd")

_STATUS_LIMIT = 500


class NotifySocket:
    """The socket that ``NOTIFY_SOCKET`` of the environment names, if it does: a path, or ``@`` and an abstract name.

    No failure to tell stops anything: the first is logged. ``pid`` is the process's own.
    """

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._failed = False
        self.watchdog_interval = _interval(environment, pid)

    def ready(self, status: str = "") -> None:
        """The start is over."""
        self._tell("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows, one line."""
        self._tell(*_status(text))

    def stopping(self, status: str = "") -> None:
        """The end has begun."""
        self._tell("STOPPING=1", *_status(status))

    async def watchdog(self, healthy: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
        """Tells systemd at half its interval that the process is alive, while it is ``healthy``; else systemd, which
        hears nothing, ends and restarts it. Runs until cancelled; returns at once where no watchdog is asked for.
        """
        if self._address is None or self.watchdog_interval is None:
            return
        ill = False
        while True:
            try:
                well = healthy()
            except Exception:
                log.exception("whether the daemon is well can't be said")
                well = False
            if well:
                self._tell("WATCHDOG=1")
            elif not ill:
                log.error("the daemon is not well: systemd is not told that it is alive, and will restart it")
            ill = not well
            await pause(self.watchdog_interval.total_seconds())

    def _tell(self, *lines: str) -> None:
        if self._address is None or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as talking:
                talking.setblocking(False)
                talking.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd can't be told %s: %s", lines[0], error.strerror or error)
            self._failed = True


def _address(given: str) -> str | None:
    if given.startswith("@"):
        return "\0" + given[1:]
    return given if given.startswith("/") else None


def _interval(environment: Mapping[str, str], pid: int) -> timedelta | None:
    """Half of what systemd waits for a sign of life, if it waits for this process."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 1):
        return None
    return timedelta(microseconds=int(text)) / 2


def _status(text: str) -> tuple[str, ...]:
    line = " ".join(text.split())[:_STATUS_LIMIT]
    return (f"STATUS={line}",) if line else ()
