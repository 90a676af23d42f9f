"""A job's data as ``google.protobuf.Any`` and back."""

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from wakeful.core.job import Data
from wakeful.protos import well_known
from wakeful.protos.values import VALUE_URL, any_of, data_of, json_of, packed, unpacked

TYPES = "type.googleapis.com/google.protobuf."
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)
EACH = settings(max_examples=examples(300), deadline=None)


def value_of(data: Any) -> Value:
    """A ``Value`` made by protobuf itself."""
    return Value(null_value=0) if data is None else json_format.ParseDict(data, Value())


def the_any(value: bytes) -> Any:
    return well_known.Any(type_url=VALUE_URL, value=value)


@given(data=plain)
@EACH
def test_any_json_becomes_the_value_that_protobuf_makes_of_it(data: Any) -> None:
    made = any_of(Data("json", json.dumps(data).encode()))
    assert made.type_url == VALUE_URL
    assert Value.FromString(made.value) == value_of(data)


@given(data=plain)
@EACH
def test_any_value_becomes_its_json(data: Any) -> None:
    kept = data_of(the_any(value_of(data).SerializeToString()))
    assert kept.type == "json"
    assert json.loads(kept.body) == data
    assert data_of(any_of(kept)) == kept


@given(kind=st.text().filter(lambda text: text not in ("json", VALUE_URL)), content=st.binary())
@EACH
def test_any_other_data_is_kept_as_it_is(kind: str, content: bytes) -> None:
    given = well_known.Any(type_url=kind, value=content)
    assert data_of(given) == Data(kind, content)
    assert any_of(data_of(given)) == given


@given(content=st.binary(max_size=40))
@EACH
def test_any_bytes_as_a_value_are_json_or_kept_as_they_are(content: bytes) -> None:
    kept = data_of(the_any(content))
    if kept.type == "json":
        json.loads(kept.body)
    else:
        assert kept == Data(VALUE_URL, content)


@given(
    kind=st.sampled_from(["Any", "Value", "StringValue", "Timestamp", "Duration", "FieldMask", "Empty", "Made"]),
    content=st.binary(max_size=30),
)
@EACH
def test_any_bytes_of_any_type_have_json_or_a_reason(kind: str, content: bytes) -> None:
    try:
        shown = json_of(Data(TYPES + kind, content))
    except ValueError as error:
        assert str(error)
    else:
        assert shown["@type"] == TYPES + kind
        json.dumps(shown)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3.0, "3"),
        (-0.0, "-0.0"),
        (0.0, "0"),
        (0.1, "0.1"),
        (2.0**53 - 1, "9007199254740991"),
        (-(2.0**53) + 1, "-9007199254740991"),
        (2.0**53, "9007199254740992.0"),
        (1e300, "1e300"),
        (5e-324, "5e-324"),
    ],
)
def test_a_number_is_written_with_what_is_known_of_it(number: float, text: str) -> None:
    kept = data_of(the_any(Value(number_value=number).SerializeToString()))
    assert kept == Data("json", text.encode())
    assert Value.FromString(any_of(kept).value).number_value == number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_kept_as_bytes(number: float) -> None:
    encoded = Value(number_value=number).SerializeToString()
    assert data_of(the_any(encoded)) == Data(VALUE_URL, encoded)


def test_a_value_of_no_kind_is_kept_as_bytes() -> None:
    assert data_of(the_any(b"")) == Data(VALUE_URL, b"")


def test_members_are_sorted_as_protojson_sorts_them() -> None:
    value = value_of({"b": 1, "a": 2, "ä": 3, "B": 4})
    assert data_of(the_any(value.SerializeToString())).body == '{"B":4,"a":2,"b":1,"ä":3}'.encode()


def test_the_mark_of_json_is_no_type() -> None:
    with pytest.raises(ValueError, match="'json' is no type URL"):
        data_of(well_known.Any(type_url="json", value=b"}"))


@pytest.mark.parametrize("depth", [40, 60, 500])
def test_json_may_be_nested_more_deeply_than_protobuf_goes(depth: int) -> None:
    made = any_of(Data("json", b"[" * depth + b"]" * depth))
    assert data_of(made) == (Data("json", b"[" * depth + b"]" * depth) if depth == 40 else Data(VALUE_URL, made.value))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000 + b"]" * 100_000, b"1" * 400, b'"\\ud800"', b'"\xff"', b"nan"]
)
def test_what_no_value_can_hold_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        any_of(Data("json", body))


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 100_000])
async def test_large_data_takes_the_same_form_beside_the_event_loop(size: int) -> None:
    data = Data("json", json.dumps(["x"] * size).replace(" ", "").encode())
    assert await packed(data) == any_of(data)
    assert await unpacked(any_of(data)) == data
    with pytest.raises(ValueError, match="truncated"):
        await packed(Data("json", data.body[:-1]))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (Data(TYPES + "BytesValue", b"\n\x02\x00\xff"), {"value": "AP8="}),
        (Data(TYPES + "Int64Value", b"\x08{"), {"value": "123"}),
        (Data(TYPES + "Duration", b"\x08\x01"), {"value": "1s"}),
        (Data(TYPES + "Struct", b""), {"value": {}}),
        (Data("type.googleapis.com/dapr.proto.runtime.v1.DeleteJobRequest", b"\n\x01x"), {"name": "x"}),
    ],
)
def test_a_known_message_has_its_protojson(data: Data, shown: dict[str, Any]) -> None:
    assert json_of(data) == {"@type": data.type, **shown}
