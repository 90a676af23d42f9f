"""A workload that is run by itself: what its file does when it is called as a program."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from figures import Table
from harness import Bench


def alone(doc: str | None, workload: Callable[[Bench], list[Table]]) -> None:
    """Measures it as the command line says, and prints its tables."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeat", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wakeful-bench-") as place:
        for table in workload(Bench(Path(place), given.quick, given.repeat)):
            print(table.text())
