"""Runs a compute block in a process of its own, which has neither files nor time without end."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wakeful.children import Limits as ChildLimits
from wakeful.children import NotStartedError, run_child
from wakeful.skills import compute_child
from wakeful.skills.compute import Block
from wakeful.skills.compute_rules import BUILTINS, INSIDES, MODULES, PREBOUND
from wakeful.skills.errors import StepError
from wakeful.skills.templates import Names, settled

_SIGNALS = {-9: "it was killed", -11: "it broke its interpreter", -24: "it used up its time on the processor"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a compute step may take: seconds of wall time, bytes of memory, bytes of values in and out."""

    timeout_s: float = 10.0
    memory: int = 256 * 1024 * 1024
    values_in: int = 8 * 1024 * 1024
    values_out: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Computed:
    """What a block left: its value, the variables that it assigned, why others could not be kept, what it printed."""

    value: Any
    variables: Mapping[str, Any]
    left_out: Mapping[str, str]
    printed: str


async def run_block(
    block: Block,
    names: Names,
    attributes: Mapping[str, Mapping[str, Any]],
    results: Sequence[str],
    bounds: Bounds,
) -> Computed:
    """Runs the block with the names that it asks for.

    Args:
        block: what to run.
        names: as templates see them; the program gets null for what is missing.
        attributes: what the values of some names have as attributes.
        results: the variables whose value is the block's, the first that was assigned.
        bounds: what it may take.

    Raises:
        StepError: it failed, or went beyond its bounds.
    """
    values = {name: settled(names[name]) for name in block.asks if name in names}
    for name, (template, as_text) in block.inserted.items():
        values[name] = template.text(names) if as_text else template.value(names)
    request = {
        "code": block.code,
        "values": values,
        "attributes": {name: attributes[name] for name in values if name in attributes},
        "results": results,
        "modules": {name: MODULES[name] for name in block.modules},
        "prebound": {name: PREBOUND[name] for name in block.prebound if name not in values},
        "builtins": BUILTINS,
        "formats": block.formats,
        "insides": sorted(INSIDES),
    }
    return _computed(await _answer(json.dumps(request).encode("ascii"), bounds))


async def _answer(request: bytes, bounds: Bounds) -> Any:
    if len(request) > bounds.values_in:
        raise StepError(f"compute would be given more than {bounds.values_in} bytes of values")
    if not sys.executable:
        raise StepError("compute needs a Python interpreter to run in, and this program has none")
    child = [sys.executable, "-I", "-S", "-B", "-W", "ignore", str(Path(compute_child.__file__))]
    # The processor's time is a net below the clock's, for when nobody is left to look at the clock.
    given = (bounds.memory, math.ceil(bounds.timeout_s) + 1, bounds.values_out)
    limits = ChildLimits(bounds.timeout_s, grace_s=0, out=2 * bounds.values_out)
    try:
        ended = await run_child([*child, *map(str, given)], {}, request, cwd="/", limits=limits)
    except NotStartedError as error:
        raise StepError(f"compute: {error}") from None
    if ended.timed_out:
        raise StepError(f"compute took longer than {bounds.timeout_s:g} s and was ended")
    if ended.code != 0:
        why = _SIGNALS.get(ended.code, ended.how)
        said = ended.err.decode("utf-8", "replace").strip().splitlines()
        memory = ", probably for want of memory" if said and "MemoryError" in said[-1] else ""
        raise StepError(f"compute ended without a result: {why}{memory}")
    try:
        return json.loads(ended.out)
    except (ValueError, RecursionError):
        return None


def _computed(answer: Any) -> Computed:
    """What a process said that may have said anything."""
    match answer:
        case {"error": str(why)}:
            line = answer.get("line")
            raise StepError(f"compute{f', line {line}' if line else ''}: {why}")
        case {"value": value, "variables": dict(variables), "left_out": dict(left_out), "printed": str(printed)}:
            return Computed(value, variables, left_out, printed)
    raise StepError("compute ended without a result that can be read")
