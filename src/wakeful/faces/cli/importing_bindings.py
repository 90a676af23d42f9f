"""Dapr's cron bindings, as their component files say them. Pure.

Facts of Dapr's: components-contrib bindings/cron/cron.go; dapr pkg/runtime/processor/binding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.cli.importing_report import Report

FILE_LIMIT = 256 * 1024
MOST = 1_000
_SHOWN = 80
_VERSIONS = ("dapr.io/v1alpha1",)
_READ = ("schedule", "route", "direction")


@dataclass(frozen=True, slots=True)
class Binding:
    """A cron binding: ``schedule`` is in Dapr's dialect, with six fields; ``path`` is what the app is posted to."""

    where: str
    name: str
    schedule: str
    path: str


def read_bindings(text: str, app_id: str, zone: str | None, report: Report) -> list[Binding]:
    """The cron bindings of ``app_id`` in a file; what is something else, or bad, is in the report.

    ``zone`` is that of the clock of the sidecars, which were asked in it where a schedule named none.

    Raises:
        WakefulError: ``INVALID_JOB``: it is no YAML.
    """
    found: dict[str, Binding] = {}
    for line, document in _documents(text, report):
        where = f"the component of line {line}"
        try:
            binding = _binding(document, (where, app_id, zone), report)
        except ValueError as error:
            report.bad.append(f"{where}: {error}")
            continue
        if binding is None:
            continue
        if binding.name in found:
            report.bad.append(f"{where}: {binding.name!r} is the name of {found[binding.name].where}, too")
            continue
        found[binding.name] = binding
    return list(found.values())


def _documents(text: str, report: Report) -> Iterator[tuple[int, Any]]:
    """Each document, with the line it begins on."""
    count = 0
    try:
        # Not the one in C: what nests too deeply would end the process.
        loader = yaml.SafeLoader(text)
        while loader.check_node() and (node := loader.get_node()) is not None:
            count += 1
            if count > MOST:
                raise _no_yaml(f"it has more than {MOST} documents")
            line = node.start_mark.line + 1
            try:
                yield line, loader.construct_document(node)
            except (yaml.constructor.ConstructorError, ValueError) as error:
                report.bad.append(f"the component of line {line}: {_problem(error)}")
    except yaml.YAMLError as error:
        raise _no_yaml(_problem(error)) from None
    except RecursionError:
        raise _no_yaml("it is nested too deeply") from None


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return f"line {mark.line + 1}: {said}" if mark is not None else str(said)


def _no_yaml(why: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_JOB, f"the file can't be read as YAML: {why}")


def _binding(document: Any, asked: tuple[str, str, str | None], report: Report) -> Binding | None:
    where, app_id, zone = asked
    if document is None:
        return None
    component = _object(document, "the document")
    spec = component.get("spec")
    kind = str(spec.get("type")) if isinstance(spec, Mapping) else None
    if component.get("kind") != "Component" or kind is None or kind.lower() != "bindings.cron":
        report.others.append(f"{where} is no cron binding: {component.get('kind')} {kind or ''}".rstrip())
        return None
    if component.get("apiVersion") not in _VERSIONS:
        raise ValueError(f"apiVersion {_shown(component.get('apiVersion'))}: {_VERSIONS[0]} is known")
    metadata = _object(component.get("metadata"), "metadata")
    name = _text(metadata.get("name"), "metadata.name")
    if not _in_scope(component.get("scopes"), app_id):
        report.others.append(f"{where}, {name}, is not for the app {app_id}: its scopes leave it out")
        return None
    given = _given(_object(spec, "spec").get("metadata"))
    direction = given.get("direction")
    if direction is None:
        report.note(f"{name}: without a direction, Dapr asked the app first whether it listens; here it is just called")
    elif "input" not in [each.strip().lower() for each in direction.split(",")]:
        report.others.append(f"{where}, {name}, is no input: direction is {_shown(direction)}")
        return None
    if "schedule" not in given:
        raise ValueError(f"{name}: spec.metadata has no schedule")
    _note_rest(name, given, metadata, report)
    schedule = _schedule(name, given["schedule"], zone, report)
    return Binding(where, name, schedule, given.get("route", name))


def _in_scope(scopes: Any, app_id: str) -> bool:
    """Whether the component is for the app: it is for all if it names none."""
    if scopes is None or scopes == []:
        return True
    if not isinstance(scopes, list):
        raise ValueError(f"scopes must be a list of app ids, not {_shown(scopes)}")
    return app_id in scopes


def _given(items: Any) -> dict[str, str]:
    """The binding's metadata by name; the names that are read without regard to case are in lower case."""
    if not isinstance(items, list):
        raise ValueError(f"spec.metadata must be a list of names and values, not {_shown(items)}")
    given: dict[str, str] = {}
    for item in items:
        pair = _object(item, "an item of spec.metadata")
        name = _text(pair.get("name"), "the name of an item of spec.metadata")
        # `route` is the one that Dapr compares exactly.
        key = name.lower() if name.lower() in ("schedule", "direction") else name
        if "value" not in pair and key in _READ:
            raise ValueError(f"{name} is a reference to a secret or a variable, which is not to be had here: write it")
        # Dapr stops at the first route; of other names it takes the last.
        if key != "route" or key not in given:
            given[key] = _text(pair.get("value", "-"), f"the value of {name}")
    return given


def _note_rest(name: str, given: Mapping[str, str], metadata: Mapping[str, Any], report: Report) -> None:
    for key in given:
        if key not in _READ:
            report.note(f"{name}: {key} is not taken over: Dapr's cron binding does not read it")
    if "namespace" in metadata:
        report.note(f"{name}: its namespace {_shown(metadata['namespace'])} is Kubernetes', and not taken over")


def _schedule(name: str, written: str, zone: str | None, report: Report) -> str:
    """The schedule with six fields, so that Dapr's rules hold for it, and with the zone in which it was meant."""
    prefix, body = "", written.strip()
    if body.startswith(("TZ=", "CRON_TZ=")):
        prefix, *rest = body.split(None, 1)
        body = "".join(rest).strip()
    if body.startswith("@every"):
        # Dapr takes a zone here, and does nothing with it.
        return body
    if body[:1] != "@" and len(body.split()) == 5:
        body = f"0 {body}"
    if not prefix and zone is None:
        report.note(f"{name}: its times are UTC; a sidecar goes by its own machine's zone: --zone says another")
    if not prefix and zone is not None:
        prefix = f"CRON_TZ={zone}"
    return f"{prefix} {body}".strip()


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be an object, not {_shown(value)}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a text, not {_shown(value)}; put it in quotes")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return "an object" if isinstance(value, Mapping) else "a list"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
