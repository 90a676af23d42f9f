"""The judge finds what is planted in records that it has just found clean: without this, its silence means nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.world import World, a_world, api
from support.judge import Journal, S, Verdict, judge, now_us
from support.receiver import Rule, parse_ledger

pytestmark = pytest.mark.slow

Lines = list[str]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Journal, Lines, int]:
    """A short run of a real node: its journal, the lines of its ledger, and until when everything has come."""
    with a_world(tmp_path_factory.mktemp("judged") / "world") as world:
        receiver = world.receiver()
        receiver.rule(Rule("fails-", "fail", attempts=1))
        node = world.node(receiver).wait_ready()
        with api(node) as client:
            start = now_us() + S // 2
            for number in range(20):
                world.journal.put(client, f"once-{number}", start + number * S // 100)
            world.journal.put(client, "every", start, every_us=S // 10, count=10)
            world.journal.put(client, "fails-once", start, interval_s=0.1)
            world.journal.put(client, "gone", start + 2 * S)
            world.journal.delete(client, "gone")
        verdict = world.quiet(until=start + 2 * S)
        assert (verdict.expected, verdict.came, verdict.retried) == (31, 31, 1)
        return world.journal, receiver.ledger.read_text().splitlines(), start + 3 * S


def came(lines: Lines, job: str) -> int:
    return next(place for place, line in enumerate(lines) if line.split("\t")[0::3][:2] == ["came", job])


def changed(line: str, **fields: object) -> str:
    names = ("kind", "at", "serial", "job", "run", "attempt", "due")
    return "\t".join(str(fields.get(name, value)) for name, value in zip(names, line.split("\t"), strict=True))


def test_a_real_record_is_clean(record: tuple[Journal, Lines, int]) -> None:
    journal, lines, until = record
    verdict = judge(journal, parse_ledger(lines), until).assert_clean()
    assert not verdict.twice
    assert verdict.worst < 2


def without(lines: Lines) -> Lines:
    place = came(lines, "once-7")
    return lines[:place] + lines[place + 1 :]


def cut_off(lines: Lines) -> Lines:
    serial = lines[came(lines, "once-7")].split("\t")[2]
    return [line.replace("\tok", "\tcut") if line.split("\t")[2] == serial else line for line in lines]


def doubled(lines: Lines) -> Lines:
    line = lines[came(lines, "once-7")]
    return [*lines, changed(line, serial="x", at=int(line.split("\t")[1]) + 1000)]


def doubled_under_another_id(lines: Lines) -> Lines:
    line = lines[came(lines, "fails-once")]
    return [*lines, changed(line, serial="x", run="another", at=now_us())]


def hasty(lines: Lines) -> Lines:
    place = came(lines, "once-7")
    line = lines[place]
    return [*lines[:place], changed(line, at=int(line.split("\t")[6]) - 1), *lines[place + 1 :]]


def of_no_job(lines: Lines) -> Lines:
    return [*lines, changed(lines[came(lines, "once-7")], serial="x", job="nobody-asked")]


def of_no_instant(lines: Lines) -> Lines:
    line = lines[came(lines, "every")]
    return [*lines, changed(line, serial="x", run="other", due=int(line.split("\t")[6]) + 1, at=now_us())]


def of_the_deleted(lines: Lines) -> Lines:
    line = lines[came(lines, "once-7")]
    return [*lines, changed(line, serial="x", job="gone", at=now_us())]


FOUND: dict[Callable[[Lines], Lines], str] = {
    without: "lost",
    cut_off: "lost",
    doubled: "unexcused",
    doubled_under_another_id: "unexcused",
    hasty: "early",
    of_no_job: "phantom",
    of_no_instant: "phantom",
    of_the_deleted: "phantom",
}


@pytest.mark.parametrize(("plant", "finding"), FOUND.items(), ids=lambda value: getattr(value, "__name__", value))
def test_what_is_planted_is_found(
    record: tuple[Journal, Lines, int], plant: Callable[[Lines], Lines], finding: str
) -> None:
    journal, lines, until = record

    verdict = judge(journal, parse_ledger(plant(lines)), until)

    assert found(verdict) == {finding: 1}
    with pytest.raises(AssertionError):
        verdict.assert_clean()


def found(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "early", "unexcused", "phantom")
    return {name: len(getattr(verdict, name)) for name in names if getattr(verdict, name)}


def test_a_kill_excuses_what_was_in_flight_and_nothing_that_was_answered_long_before(
    record: tuple[Journal, Lines, int],
) -> None:
    journal, lines, until = record
    arrival = next(a for a in parse_ledger(lines) if a.job == "once-7")
    again = parse_ledger(doubled(lines)[-1:])
    arrivals = parse_ledger(lines)
    assert arrival.ended is not None

    for killed_at, unexcused in ((arrival.ended, 0), (arrival.ended + S, 1), (arrival.at - S, 1)):
        judged = Journal(calls=journal.calls)
        judged.fault(killed_at)
        later = [type(one)(one.at + 10 * S, one.job, one.run, one.attempt, one.due) for one in again]
        verdict = judge(judged, [*arrivals, *later], until)
        assert (len(verdict.twice), len(verdict.unexcused)) == (1, unexcused)


def test_a_call_without_an_answer_allows_and_demands_nothing(record: tuple[Journal, Lines, int]) -> None:
    journal, lines, until = record
    calls = [
        c if c.job != "once-7" else type(c)("put", c.job, c.invoked, c.returned, "unknown", c.first)
        for c in journal.calls
    ]

    assert not found(judge(Journal(calls=calls), parse_ledger(lines), until))
    verdict = judge(Journal(calls=calls), parse_ledger(without(lines)), until)
    assert not found(verdict)
    assert verdict.unknown_calls == 1


def test_the_journal_is_on_disk(world: World, tmp_path: Path) -> None:
    node = world.node().wait_ready()
    with api(node) as client:
        assert world.journal.put(client, "kept", now_us() + S) == "ok"
        assert world.journal.put(client, "kept", now_us() + S) == "failed"
    node.process.kill()
    node.process.wait()
    with api(node) as client:
        assert world.journal.delete(client, "kept") == "failed"
    assert len((world.home / "journal").read_text().splitlines()) == 3
