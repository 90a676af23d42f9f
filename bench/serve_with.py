"""wakeful with something done to it that only a benchmark wants; src knows nothing of it.

    serve_with.py [--commit-delay-ms N] [--sample FILE] serve …

``--commit-delay-ms`` makes each commit of the SQLite writer that much longer, as a slow disk would.
``--sample`` looks at the stacks of all threads every few milliseconds; see sampler.py.
"""

import sys
import time
from pathlib import Path
from typing import Any

# This folder must not lend the node its modules.
sys.path.pop(0)


def slow_commits(delay_s: float) -> None:
    """A hook of SQLite, called on the writer's thread just before the commit."""
    from wakeful.stores.sqlite.writer import Writer  # noqa: PLC0415

    made = Writer.__init__

    def slower(self: Any, connection: Any, *rest: Any) -> None:
        def before_commit() -> bool:
            time.sleep(delay_s)
            return False  # goes on with the commit

        connection.set_commit_hook(before_commit)
        made(self, connection, *rest)

    Writer.__init__ = slower  # type: ignore[method-assign]


def main() -> None:
    """Does it, then is wakeful."""
    arguments = sys.argv[1:]
    while arguments and arguments[0].startswith("--"):
        flag, value = arguments[:2]
        del arguments[:2]
        if flag == "--commit-delay-ms":
            slow_commits(float(value) / 1000)
        elif flag == "--sample":
            sys.path.insert(0, str(Path(__file__).parent))
            from sampler import start  # noqa: PLC0415

            sys.path.pop(0)
            start(Path(value))
        else:
            sys.exit(f"serve_with.py: {flag}?")
    sys.argv = ["wakeful", *arguments]
    from wakeful.main import main as wakeful  # noqa: PLC0415

    wakeful()


if __name__ == "__main__":
    main()
