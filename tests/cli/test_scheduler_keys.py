"""What the Dapr CLI calls jobs, and which it means."""

import pytest

from wakeful.core.errors import WakefulError
from wakeful.core.job import JobKey
from wakeful.core.ports import JobQuery
from wakeful.faces.cli.scheduler_keys import chosen, key_of, name_of, queries_of

WORKFLOW, ACTIVITY = "actor/dapr.internal.ns.my.app.workflow", "actor/dapr.internal.ns.my.app.activity"
NAMES = [
    (JobKey("ns", "app/a", "job"), "app/a/job", "app"),
    (JobKey("ns", "actor/T/1", "ring"), "actor/T/1/ring", "actor"),
    (JobKey("ns", "actor/T/", "ring"), "actor/T//ring", "actor"),
    (JobKey("ns", f"{WORKFLOW}/i1", "start"), "workflow/my.app/i1/start", "workflow"),
    (JobKey("ns", f"{ACTIVITY}/i1::0::1", "run-activity"), "activity/my.app/i1::0::1", "activity"),
    (JobKey("ns", "actor/dapr.internal.other.a.workflow/i", "x"), "actor/dapr.internal.other.a.workflow/i/x", "actor"),
]


@pytest.mark.parametrize(("key", "name", "kind"), NAMES)
def test_a_name_says_which_job_it_is(key: JobKey, name: str, kind: str) -> None:
    assert name_of(key) == name
    assert key_of("ns", name) == key
    assert [only for only in ("all", "app", "actor", "workflow", "activity") if chosen(name, only)] == ["all", kind]


def test_jobs_of_other_owners_have_no_name_there() -> None:
    assert name_of(JobKey("ns", "client/c", "job")) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x", "failed to parse job key, expecting '{target type}/{identifier}', got 'x'"),
        ("app/a", "expecting app key to be in format 'app/{app ID}/{job name}', got 'app/a'"),
        ("actor/a/b", "expecting actor reminder key to be in format 'actor/{actor type}/{actor id}/{name}'"),
        ("workflow/a/b", "expecting workflow key to be in format 'workflow/{app ID}/{instance ID}/{name}'"),
        ("activity/a", "expecting activity key to be in format 'activity/{app ID}/{activity ID}', got 'activity/a'"),
        ("odd/a/b", "unsupported job type 'odd', accepts 'app', 'actor', 'workflow', or 'activity'"),
    ],
)
def test_what_is_no_name_is_refused_in_the_words_of_dapr(name: str, text: str) -> None:
    with pytest.raises(WakefulError) as error:
        key_of("ns", name)
    assert error.value.message.startswith(text)


def below(prefix: str) -> JobQuery:
    return JobQuery("ns", owner_prefix=prefix)


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("all", [below("app/"), below("actor/")]),
        ("app", [below("app/")]),
        ("app/a", [JobQuery("ns", "app/a")]),
        ("actor/T", [below("actor/T/")]),
        ("actor/T/1", [JobQuery("ns", "actor/T/1")]),
        ("workflow", [below("actor/dapr.internal.ns.")]),
        ("workflow/my.app", [below(f"{WORKFLOW}/"), below(f"{ACTIVITY}/")]),
        ("workflow/my.app/i1", [JobQuery("ns", f"{WORKFLOW}/i1"), below(f"{ACTIVITY}/i1::")]),
    ],
)
def test_delete_all_means_these(name: str, queries: list[JobQuery]) -> None:
    assert queries_of("ns", name) == queries


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("all/x", "invalid key format"),
        ("app/a/b", "invalid key format"),
        ("actor", "invalid key format"),
        ("workflow/a/b/c", "invalid key format"),
        ("activity/a", "unknown key prefix: activity"),
        ("", "unknown key prefix: "),
    ],
)
def test_delete_all_means_nothing_else(name: str, text: str) -> None:
    with pytest.raises(WakefulError, match=text):
        queries_of("ns", name)
