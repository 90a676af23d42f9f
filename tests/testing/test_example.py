"""The example in the documentation of ``wakeful.testing`` is a test."""

import asyncio
import textwrap
from typing import Any

import pytest

import wakeful.testing

# A month of seconds, with a heartbeat every other one.
pytestmark = pytest.mark.slow


def test_the_example_in_the_documentation_runs() -> None:
    doc = wakeful.testing.__doc__ or ""
    lines = [line for line in doc.splitlines() if line.startswith("    ") or not line]
    source = "async def example():\n" + "\n".join(lines)
    names: dict[str, Any] = {"wakeful": wakeful, "Failed": wakeful.testing.Failed}
    exec(textwrap.dedent(source), names)
    asyncio.run(names["example"]())
