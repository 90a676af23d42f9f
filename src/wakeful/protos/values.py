"""Between a job's data and ``google.protobuf.Any``.

A ``google.protobuf.Value`` is JSON: it is kept as the text, whoever sent it, so that an app may be called over HTTP or
gRPC. Any other message is kept as its bytes, under its type's URL.
"""

import asyncio
from functools import lru_cache
from math import copysign, isfinite
from struct import Struct
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from wakeful.core.job import Data
from wakeful.protos import pool, well_known

VALUE_URL = "type.googleapis.com/google.protobuf.Value"
JSON = "json"
_SMALL = 1024
# So many bytes of JSON take up to some milliseconds.
_LONG = 16 * 1024
_DEEPEST = 90
_DOUBLE = Struct("<d")


def data_of(packed: Any) -> Data:
    """What a job keeps of an ``Any``.

    Raises:
        ValueError: its type's URL is none, and would be taken for the mark of JSON.
    """
    if packed.type_url == JSON:
        raise ValueError(f"data: {JSON!r} is no type URL")
    if packed.type_url == VALUE_URL:
        text = _text_of(packed.value)
        if text is not None:
            return Data(JSON, text)
    return Data(packed.type_url, packed.value)


def any_of(data: Data) -> Any:
    """The ``Any`` that was kept; JSON becomes a ``google.protobuf.Value``.

    Raises:
        ValueError: the data is no JSON that a ``Value`` can hold.
    """
    if data.type != JSON:
        return well_known.Any(type_url=data.type, value=data.body)
    packed = _value_of(data.body) if len(data.body) <= _SMALL else _encoded(data.body)
    return well_known.Any(type_url=VALUE_URL, value=packed)


async def packed(data: Data) -> Any:
    """``any_of``, beside the event loop if it would hold it up."""
    return any_of(data) if len(data.body) <= _LONG else await asyncio.to_thread(any_of, data)


async def unpacked(given: Any) -> Data:
    """``data_of``, beside the event loop if it would hold it up."""
    return data_of(given) if len(given.value) <= _LONG else await asyncio.to_thread(data_of, given)


def json_of(data: Data) -> dict[str, Any]:
    """The protojson of the ``Any``, for data that is not JSON already.

    Raises:
        ValueError: its type is not known here, or its bytes are none of that type.
    """
    try:
        shown: dict[str, Any] = json_format.MessageToDict(any_of(data), descriptor_pool=pool)
    except (TypeError, DecodeError, RecursionError, json_format.Error) as error:
        raise ValueError(str(error)) from None
    return shown


def _text_of(encoded: bytes) -> bytes | None:
    """The JSON text of an encoded ``Value``; ``None`` where there is none."""
    try:
        return msgspec.json.encode(_plain(well_known.Value.FromString(encoded), 0))
    except (DecodeError, ValueError):
        return None


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "struct_value":
            # A map has no order; protojson writes its keys sorted.
            fields = value.struct_value.fields
            return {name: _plain(fields[name], depth + 1) for name in sorted(fields)}
        case "list_value":
            return [_plain(item, depth + 1) for item in value.list_value.values]
        case "number_value":
            return _number(value.number_value)
        case "bool_value":
            return value.bool_value
        case "null_value":
            return None
    raise ValueError("a value without a kind")


def _number(number: float) -> float | int:
    if not isfinite(number):
        raise ValueError("JSON has no such number")
    # 3.0 is written as 3, as protojson does; beyond 2**53 the digits would pretend to know more than the number does.
    # A negative zero would lose its sign.
    whole = number.is_integer() and abs(number) < 2**53 and (number != 0 or copysign(1, number) > 0)
    return int(number) if whole else number


def _encoded(body: bytes) -> bytes:
    try:
        return _value(msgspec.json.decode(body))
    except (msgspec.DecodeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


_value_of = lru_cache(maxsize=1024)(_encoded)


def _value(plain: Any) -> bytes:
    """A ``Value`` by hand: what was accepted as JSON may be nested more deeply than protobuf's own encoder goes.

    The tags are those of google/protobuf/struct.proto.
    """
    match plain:
        case None:
            return b"\x08\0"
        case bool():
            return b"\x20\1" if plain else b"\x20\0"
        case str():
            return b"\x1a" + _sized(plain.encode())
        case int() | float():
            return b"\x11" + _DOUBLE.pack(float(plain))
        case list():
            content = bytearray()
            for item in plain:
                content += b"\x0a" + _sized(_value(item))
            return b"\x32" + _sized(content)
        case dict():
            content = bytearray()
            for name, item in plain.items():
                key, value = _sized(name.encode()), _sized(_value(item))
                content += b"\x0a" + _sized(b"\x0a" + key + b"\x12" + value)
            return b"\x2a" + _sized(content)
    raise TypeError(plain)


def _sized(content: bytes | bytearray) -> bytes:
    """The content behind its length, a varint."""
    length, size = len(content), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes(size) + content
