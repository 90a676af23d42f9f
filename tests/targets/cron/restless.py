"""A command that does not want to end: what it is to do comes as arguments, the first is a tag to find it by."""

import os
import signal
import sys
import time

_LINE = b"and on and on " * 500 + b"\n"


def stay() -> None:
    while True:
        time.sleep(1000)


def child(then: "object" = stay, *, session: bool = False) -> None:
    if os.fork() == 0:
        if session:
            os.setsid()
        then()  # type: ignore[operator]
        os._exit(0)


def daemon() -> None:
    """Leaves the group, and its parent."""

    def middle() -> None:
        os.setsid()
        child()
        os._exit(0)

    child(middle)
    os.wait()


def bare() -> None:
    """A process without any environment, in a session of its own."""

    def program() -> None:
        os.execve("/bin/sh", ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done", sys.argv[1]], {})

    child(program, session=True)


def chain() -> None:
    """One after the other, each started by the one before, which ends."""

    def link() -> None:
        while os.fork() != 0:
            os._exit(0)
        time.sleep(0.001)
        link()

    child(link, session=True)


def talk() -> None:
    while True:
        os.write(1, _LINE)
        os.write(2, _LINE)


def main() -> None:
    for what in sys.argv[2:]:
        if what == "ignore":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif what == "fork":
            child()
        elif what == "setsid":
            child(session=True)
        elif what == "daemon":
            daemon()
        elif what == "bare":
            bare()
        elif what == "chain":
            chain()
        elif what == "ready":
            os.write(1, b"ready\n")
        elif what == "talk":
            talk()
        elif what == "end":
            return
        else:
            raise ValueError(what)
    stay()


main()
