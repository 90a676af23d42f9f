"""Dapr's messages, made from the descriptions beside this file, in a pool of their own.

An app that loads Dapr's SDK has messages of the same names in protobuf's default pool; a process may hold both.
``runtime.ScheduleJobRequest`` and its like are the classes, by package and name.
"""

from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from google.protobuf import (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

_WELL_KNOWN = (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)


def _filled_pool() -> DescriptorPool:
    made = DescriptorPool()
    for module in _WELL_KNOWN:
        made.Add(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    compiled = files("wakeful.protos").joinpath("messages.binpb").read_bytes()
    # `make protos` writes it, each file after those that it imports.
    for file in FileDescriptorSet.FromString(compiled).file:
        made.Add(file)
    return made


def _classes(*names: str) -> Any:
    """All messages of some files, by name."""
    messages = [item for name in names for item in pool.FindFileByName(name).message_types_by_name.items()]
    return SimpleNamespace(**{name: message_factory.GetMessageClass(message) for name, message in messages})


pool = _filled_pool()
well_known = _classes(*(module.DESCRIPTOR.name for module in _WELL_KNOWN))
common = _classes("common.proto")
runtime = _classes("runtime.proto")
scheduler = _classes("scheduler.proto")
rpc = _classes("rpc.proto")
health = _classes("health.proto")
