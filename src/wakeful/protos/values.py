"""Between a job's data and ``google.protobuf.Any``.

A ``google.protobuf.Value`` is JSON: it is kept as the text, whoever sent it, so that an app may be called over HTTP or
gRPC. Any other message is kept as its bytes, under its type's URL.
"""

from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from wakeful.core.job import Data
from wakeful.protos import pool, well_known

VALUE_URL = "type.googleapis.com/google.protobuf.Value"
JSON = "json"
_SMALL = 1024
_DEEPEST = 90


def data_of(packed: Any) -> Data:
    """What a job keeps of an ``Any``."""
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


def json_of(data: Data) -> dict[str, Any]:
    """The protojson of the ``Any``, for data that is not JSON already.

    Raises:
        ValueError: its type is not known here, or its bytes are none of that type.
    """
    try:
        shown: dict[str, Any] = json_format.MessageToDict(any_of(data), descriptor_pool=pool)
    except (TypeError, DecodeError, json_format.Error) as error:
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
            return {name: _plain(item, depth + 1) for name, item in value.struct_value.fields.items()}
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
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _encoded(body: bytes) -> bytes:
    value = well_known.Value()
    try:
        _fill(value, msgspec.json.decode(body))
    except (msgspec.DecodeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    encoded: bytes = value.SerializeToString()
    return encoded


_value_of = lru_cache(maxsize=1024)(_encoded)


def _fill(value: Any, plain: Any) -> None:
    match plain:
        case None:
            value.null_value = 0
        case bool():
            value.bool_value = plain
        case str():
            value.string_value = plain
        case int() | float():
            value.number_value = plain
        case list():
            value.list_value.SetInParent()
            for item in plain:
                _fill(value.list_value.values.add(), item)
        case dict():
            value.struct_value.SetInParent()
            for name, item in plain.items():
                _fill(value.struct_value.fields[name], item)
