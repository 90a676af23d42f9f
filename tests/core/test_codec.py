"""A definition as text: what comes back is what went in."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from wakeful.core.codec import Columns, Decoder, encode_definition, from_us, to_us
from wakeful.core.job import Catchup, CountedFrom, Data, Job, JobKey, Notify, NotifyOn, Overlap, RetryPolicy, TargetSpec
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.zones import load_zone

NOW = st.datetimes(datetime(1970, 1, 2), datetime(2190, 1, 1), timezones=st.just(UTC))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WHEN = st.sampled_from(
    [
        ScheduleText("@every 1s"),
        ScheduleText("@every 1m30s", "10s", "1h", 7),
        ScheduleText("@every 0s", None, None, 3),
        ScheduleText("0 30 9 * * 1-5"),
        ScheduleText("30 9 * * *"),
        ScheduleText("@daily", "2195-01-01T00:00:00.000001Z"),
        ScheduleText("TZ=Europe/Rome 0 30 2 * * *", ttl="P1Y2M3DT4H"),
        ScheduleText("CRON_TZ=America/New_York 0 0 1 1 *"),
        ScheduleText(None, "P1M"),
        ScheduleText(None, "0s"),
        ScheduleText("2199-12-31T23:59:59+02:00"),
    ]
)
INTERVALS = st.timedeltas(timedelta(), timedelta(days=36_500))


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    return Job(
        key=JobKey("n", "app/a", "j"),
        schedule=parse_schedule(draw(WHEN), "dapr", draw(NOW), load_zone),
        target=TargetSpec(draw(TEXT), draw(TEXT), draw(st.dictionaries(TEXT, TEXT, max_size=3))),
        queue="q",
        data=draw(st.none() | st.builds(Data, TEXT, st.binary(max_size=20))),
        retry=RetryPolicy(
            draw(st.none() | st.integers(0, 10**9)),
            draw(INTERVALS),
            draw(st.sampled_from(CountedFrom)),
            step=draw(INTERVALS),
        ),
        overlap=draw(st.sampled_from(Overlap)),
        catchup=draw(st.sampled_from(Catchup)),
        max_running=draw(st.integers(1, 1000)),
        at_most_once=draw(st.booleans()),
        notify=draw(st.none() | st.builds(Notify, st.tuples(TEXT, TEXT), TEXT, st.sampled_from(NotifyOn))),
    )


def decoded(job: Job) -> Job:
    body = None if job.data is None else job.data.body
    key = job.key
    given = encode_definition(job), key.namespace, key.owner, key.name, job.queue, job.priority, job.pause_after, body
    decoder = Decoder(load_zone)
    decoder.use_calendars({calendar.name: calendar for calendar in job.calendars}, None)
    return decoder.job(1, Columns(*given))


@given(jobs())
def test_a_job_comes_back_as_it_was(job: Job) -> None:
    again = decoded(job)
    assert again == job
    assert type(again.at_most_once) is bool
    assert again.schedule.first_due() == job.schedule.first_due()


@given(jobs())
def test_the_same_job_is_the_same_text(job: Job) -> None:
    assert encode_definition(decoded(job)) == encode_definition(job)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_comes_back_to_the_microsecond(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant
    assert from_us(to_us(instant)).tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_microseconds_sort_as_instants_do(one: datetime, other: datetime) -> None:
    assert (one < other) is (to_us(one) < to_us(other))


def test_a_definition_carries_no_data() -> None:
    when = parse_schedule(ScheduleText(None, "1h"), "dapr", datetime(2026, 3, 2, tzinfo=UTC), load_zone)
    job = Job(JobKey("n", "o", "j"), when, TargetSpec("http", "x"), "q", data=Data("json", b"secret" * 1000))
    assert "secret" not in encode_definition(job)
    assert len(encode_definition(job)) < 1000


def test_a_retry_policy_of_before_there_were_steps_is_read() -> None:
    job = Job(
        JobKey("n", "app/a", "j"),
        parse_schedule(ScheduleText("@daily"), "dapr", datetime(2026, 3, 2, tzinfo=UTC), load_zone),
        TargetSpec("http", "x"),
        "q",
    )
    fields = msgspec.json.decode(encode_definition(job))
    assert fields["retry"].pop() == 0
    columns = Columns(msgspec.json.encode(fields).decode(), "n", "app/a", "j", "q", 0, None, None)
    assert Decoder(load_zone).job(1, columns).retry == job.retry
