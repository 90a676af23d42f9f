"""The daemon's script of the document: ``python -m scripts.cron_daemon --run-job NAME`` and its other flags.

Each is a flag of ``wakeful cron daemon``; without one, that is what is started.
"""

import sys

from wakeful.main import main as wakeful


def main() -> None:
    """Runs ``wakeful cron daemon`` with this process's arguments."""
    sys.argv[1:1] = ["cron", "daemon"]
    wakeful()


if __name__ == "__main__":
    main()
