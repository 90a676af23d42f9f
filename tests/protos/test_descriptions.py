"""What is loaded is what the .proto files say; and it is Dapr's contract, as Dapr's own SDK has it."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import dapr.proto  # noqa: F401 - from here on both sets of messages of the same names are in this process
import grpc_tools.protoc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2  # noqa: F401 - ErrorInfo and Status

from wakeful.protos import pool

FILES = ("common", "health", "rpc", "runtime", "scheduler")
# The SDK does not speak to the Scheduler itself, and needs no health service.
NOT_IN_THE_SDK = ("dapr.proto.scheduler.v1.", "grpc.health.v1.")
# Whose requests the SDK has under a name of their own too.
ALPHA = (
    "DeleteJobsByPrefixRequest",
    "DeleteJobsByPrefixResponse",
    "ListJobsRequest",
    "ListJobsResponse",
)
theirs = descriptor_pool.Default()


def all_of(message: Descriptor) -> list[Descriptor]:
    inner = [one for nested in message.nested_types if not nested.GetOptions().map_entry for one in all_of(nested)]
    return [message, *inner]


OURS = [
    one for name in FILES for top in pool.FindFileByName(f"{name}.proto").message_types_by_name.values()
    for one in all_of(top)
]  # fmt: skip
SHARED = [one for one in OURS if not one.full_name.startswith(NOT_IN_THE_SDK)]


def pairs() -> list[Any]:
    same = [pytest.param(one, one.full_name, id=one.name) for one in SHARED]
    alpha = [pytest.param(one, f"{one.full_name}Alpha1", id=f"{one.name}Alpha1") for one in SHARED if one.name in ALPHA]
    return same + alpha


def filled(descriptor: Descriptor, deep: int = 0) -> Any:
    """A message with something in every field."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        fill(message, field, deep)
    return message


def fill(message: Any, field: FieldDescriptor, deep: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)["key"] = "välue"
    elif field.message_type is not None:
        inner = filled(field.message_type, deep + 1) if deep < 5 else None
        if field.is_repeated:
            getattr(message, field.name).append(inner)
        elif inner is not None:
            getattr(message, field.name).CopyFrom(inner)
    else:
        value = scalar(field)
        if field.is_repeated:
            getattr(message, field.name).extend([value, value])
        else:
            setattr(message, field.name, value)


def scalar(field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return b"\x00\xff" if field.type == FieldDescriptor.TYPE_BYTES else f"ä{field.name}"
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_ENUM:
            return max(field.enum_type.values_by_number)
        case FieldDescriptor.CPPTYPE_UINT32:
            return 2**32 - 1
    return 7


def test_what_is_loaded_was_compiled_from_the_files_beside_it(tmp_path: Path) -> None:
    here, out = files("wakeful.protos"), tmp_path / "compiled"
    command = ["protoc", f"-I{here}", f"--descriptor_set_out={out}", *(f"{here}/{name}.proto" for name in FILES)]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    assert grpc_tools.protoc.main([*command, f"-I{well_known}"]) == 0
    compiled = FileDescriptorSet.FromString(out.read_bytes())
    assert FileDescriptorSet.FromString(here.joinpath("messages.binpb").read_bytes()) == compiled


def test_both_sets_of_messages_live_in_one_process() -> None:
    name = "dapr.proto.runtime.v1.ScheduleJobRequest"
    assert pool.FindMessageTypeByName(name) is not theirs.FindMessageTypeByName(name)


@pytest.mark.parametrize(("ours", "name"), pairs())
def test_each_field_is_the_sdks(ours: Descriptor, name: str) -> None:
    known = theirs.FindMessageTypeByName(name).fields_by_number
    for field in ours.fields:
        same = known[field.number]
        for trait in ("name", "json_name", "type", "is_repeated", "has_presence"):
            assert getattr(field, trait) == getattr(same, trait), (field.full_name, trait)
        if field.containing_oneof is not None:
            assert field.containing_oneof.name == same.containing_oneof.name
        if field.enum_type is not None:
            numbers = {value.name: value.number for value in field.enum_type.values}
            assert numbers == {value.name: value.number for value in same.enum_type.values}


@pytest.mark.parametrize(("ours", "name"), pairs())
def test_what_one_writes_the_other_reads(ours: Descriptor, name: str) -> None:
    message = filled(ours)
    foreign = message_factory.GetMessageClass(theirs.FindMessageTypeByName(name))
    read = foreign.FromString(message.SerializeToString())
    assert read.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)
    assert type(message).FromString(read.SerializeToString()) == message
    if not any(field.name == "data" for field in ours.fields) and "Any" not in str(ours.full_name):
        same = {"preserving_proto_field_name": True}
        assert shown(read, theirs, same) == shown(message, pool, same)


def shown(message: Any, known: Any, options: dict[str, Any]) -> Any:
    try:
        return json_format.MessageToDict(message, descriptor_pool=known, **options)
    except (TypeError, json_format.Error):  # an Any of a made-up type has no JSON
        return None
