"""Whatever a caller sends: it is stored and shown as it was meant, or refused in the documented ways and not stored."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.examples import examples

PATH = "/v1.0-alpha1/jobs/anything"
REFUSALS = {
    (400, "ERR_MALFORMED_REQUEST"),
    (400, "DAPR_SCHEDULER_JOB_NAME"),
    (400, "DAPR_SCHEDULER_SCHEDULE_EMPTY"),
    (400, "DAPR_SCHEDULER_SCHEDULE_JOB"),
    (500, "DAPR_SCHEDULER_SCHEDULE_JOB"),
}
# The store is empty again after every example.
EACH = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
times = st.sampled_from(
    [
        "@every 1s",
        "@every 0s",
        "0 0 0 30 2 *",
        "* * * * *",
        "TZ=Europe/Rome 0 0 9 * * *",
        "2030-02-01T00:00:00Z",
        "10s",
        "P1M",
    ]
)
durations = st.from_regex(r"\A[+-]?[0-9]{1,12}(\.[0-9]{1,10})?s?\Z") | times
policies = st.fixed_dictionaries(
    {},
    optional={
        "drop": st.just({}) | anything,
        "constant": st.fixed_dictionaries({}, optional={"interval": durations, "maxRetries": st.integers() | anything}),
    },
)
names = ["schedule", "dueTime", "due_time", "ttl", "repeats", "overwrite", "failurePolicy", "name", "target", "other"]
bodies = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(names, anything),
        "schedule": times | anything,
        "dueTime": times | anything,
        "ttl": times | st.none(),
        "repeats": st.integers(-2, 2**33) | st.floats() | st.none(),
        "failurePolicy": policies | anything,
        "target": st.fixed_dictionaries({}, optional={"appId": st.text() | st.none(), "method": st.text()}) | anything,
        "data": anything,
    },
)


def check(dapr: Any, content: bytes) -> bool:
    """Whether it was stored; fails on every other answer than those that are promised."""
    response = dapr.client.post(PATH, content=content)
    shown = dapr.client.get(PATH)
    if response.status_code == 204:
        assert dapr.client.delete(PATH).status_code == 204
        # A job whose end lies before its first instant is accepted, and over at once.
        assert shown.status_code in (200, 404)
        return bool(shown.status_code == 200)
    assert (response.status_code, response.json()["errorCode"]) in REFUSALS, response.text
    assert len(response.content) < 4000
    assert shown.status_code == 404
    return False


@given(body=bodies)
@EACH
def test_any_fields(dapr: Any, body: dict[str, Any]) -> None:
    check(dapr, json.dumps(body).encode())


@given(body=anything)
@EACH
def test_any_json(dapr: Any, body: Any) -> None:
    check(dapr, json.dumps(body).encode())


@given(content=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@EACH
def test_any_bytes(dapr: Any, content: bytes) -> None:
    assert not check(dapr, content)


@given(content=st.binary(max_size=40))
@EACH
def test_any_bytes_as_data(dapr: Any, content: bytes) -> None:
    check(dapr, b'{"dueTime":"1h","data":%s}' % content)


@given(data=anything)
@EACH
def test_any_data_comes_back_the_same(dapr: Any, data: Any) -> None:
    dapr.client.put(PATH, json={"dueTime": "1h", "data": data})
    assert dapr.client.get(PATH).json()["data"]["value"] == data
    dapr.client.delete(PATH)


@given(name=st.binary(min_size=1, max_size=40))
@EACH
def test_any_name(dapr: Any, name: bytes) -> None:
    path = "/v1.0/jobs/" + "".join(f"%{byte:02x}" for byte in name)
    response = dapr.client.put(path, json={"dueTime": "1h"})
    assert response.status_code in (204, 400, 500)
    assert response.status_code == 204 or response.json()["errorCode"].startswith("DAPR_SCHEDULER_")
    shown = dapr.client.get(path)
    assert shown.status_code == {204: 200}.get(response.status_code, response.status_code)
    if shown.status_code == 200:
        assert shown.json()["name"] == name.decode().strip()
