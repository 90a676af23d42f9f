"""What is measured on a node: schedules taken, bursts, recurrences, steady rates. Each gives tables."""

import time

from figures import Figures, Table, accounted, drifted, first_arrivals, gaps, lateness
from harness import Bench, Measure, NodeWrap, Receiver, Stage, generate, measured, say, sleep_until

SECOND_US = 1_000_000
_LATE = (("p50_ms", "p50 ms", ".1f"), ("p99_ms", "p99 ms", ".1f"), ("max_ms", "max ms", ".1f"))
# All of them three times would take a third of the whole benchmark.
_REPEATED_RATES = (1_000, 4_000)
_ACCOUNT = (("missing", "missing", "d"), ("duplicates", "duplicates", "d"))


def ceiling(bench: Bench) -> list[Table]:
    """What the harness does without a scheduler in between."""
    rest = (("rate", "calls/s", ",.0f"), ("p50_ms", "p50 ms", ".2f"), ("p99_ms", "p99 ms", ".2f"))
    table = Table("The harness alone", (("what", "", ""), *rest))
    table.notes.append("Generator and far side share the cores with what is measured; no row below can pass these.")
    for what, null, kind in (("generator → 204 at once", True, "far"), ("generator → receiver", False, "callback")):
        with Receiver(bench.folder, null) as receiver:
            spec = {"port": receiver.port, "kind": kind, "warm_s": 0.2, "seconds": bench.size(1.5, 0.7)}
            table.add({"what": f"{what}, 64 callers"}, [generate(bench.folder, callers=64, **spec)])
    return [table]


def schedule_once(callers: int, seconds: float) -> Measure:
    """Durable schedules: the answer comes after the commit."""

    def once(on: Stage) -> Figures:
        cpu, begin = on.node.cpu_s(), time.monotonic()
        result = on.generate(kind="far", callers=callers, warm_s=0.3, seconds=seconds, prefix=f"c{callers}")
        used = on.node.cpu_s() - cpu
        return {**result, "cores": used / (time.monotonic() - begin), "per_cpu_s": result["total"] / max(used, 0.01)}

    return once


def schedule(bench: Bench, wrap: NodeWrap = (), callers: tuple[int, ...] = (1, 16, 64), usual: int = 3) -> list[Table]:
    """Schedules a second."""
    columns = (
        ("callers", "callers", "d"),
        ("rate", "schedules/s", ",.0f"),
        ("p50_ms", "p50 ms", ".2f"),
        ("p99_ms", "p99 ms", ".2f"),
        ("per_cpu_s", "schedules per CPU second", ",.0f"),
        ("errors", "errors", "d"),
    )
    table = Table("Schedules: one-shots due in 24 h, 200 bytes of data, answered after the commit", columns)
    for count in callers:
        say(f"  schedule: {count} callers")
        once = schedule_once(count, bench.size(2.5, 1.0))
        table.add({"callers": count}, [measured(bench, once, wrap) for _ in range(bench.times(usual))])
    return [table]


def burst_once(count: int) -> Measure:
    """Everything due at one instant."""

    def once(on: Stage) -> Figures:
        due_us = on.create(count, 0, kind="at", prefix="burst")
        sleep_until(due_us - 100_000)
        cpu = on.node.cpu_s()
        on.receiver.wait(count, 15 + count / 1000)
        time.sleep(1.0)  # for the last settlements, and for what comes twice
        used = on.node.cpu_s() - cpu
        arrivals = on.receiver.arrivals()
        first = first_arrivals(arrivals)
        last_us = max(first.values(), default=due_us)
        dues = {f"burst-{i}": (due_us,) for i in range(count)}
        return {
            "rate": len(first) / max(1e-6, (last_us - due_us) / 1e6),
            "per_cpu_s": len(first) / max(used, 0.01),
            **lateness(at - due for (_, due), at in first.items()),
            **accounted(arrivals, dues),
        }

    return once


def burst(bench: Bench, wrap: NodeWrap = (), sizes: tuple[int, ...] = (), usual: int = 0) -> list[Table]:
    """Many one-shots due at one instant."""
    columns = (
        ("jobs", "due at one instant", ",d"),
        ("rate", "callbacks/s", ",.0f"),
        *_LATE,
        ("per_cpu_s", "callbacks per CPU second", ",.0f"),
        *_ACCOUNT,
    )
    table = Table("Burst: one-shots due at one instant, until the last call has arrived", columns)
    for count in sizes or bench.size((10_000, 100_000), (1_000, 10_000)):
        say(f"  burst: {count} at one instant")
        repetitions = bench.times(usual or (3 if count <= 10_000 else 1))
        runs = [measured(bench, burst_once(count), wrap) for _ in range(repetitions)]
        table.add({"jobs": count}, runs)
    return [table]


def recurring_once(count: int, seconds: int) -> Measure:
    """``@every 1s``, the jobs spread over the second."""

    def once(on: Stage) -> Figures:
        step_ns = 1_000_000_000 // count
        start_us = on.create(count, step_ns, kind="every", prefix="each", repeats=seconds)
        sleep_until(start_us)
        cpu = on.node.cpu_s()
        sleep_until(start_us + seconds * SECOND_US)
        used = on.node.cpu_s() - cpu
        on.receiver.wait(count * seconds, 60)
        time.sleep(0.5)
        arrivals = on.receiver.arrivals()
        anchors = {f"each-{i}": start_us + i * step_ns // 1000 for i in range(count)}
        dues = {name: [first + k * SECOND_US for k in range(seconds)] for name, first in anchors.items()}
        return {
            **lateness(at - due for (_, due), at in first_arrivals(arrivals).items()),
            **accounted(arrivals, dues),
            **gaps(arrivals),
            "drifted": drifted(dues, arrivals, SECOND_US),
            "cores": used / seconds,
        }

    return once


def recurring(bench: Bench, wrap: NodeWrap = (), usual: int = 1) -> list[Table]:
    """Jobs that are due every second."""
    seconds = bench.size(30, 6)
    columns = (
        ("jobs", "jobs", ",d"),
        ("expected", "instants", ",d"),
        ("seen", "seen", ",d"),
        ("missing", "missed", "d"),
        ("duplicates", "duplicates", "d"),
        ("drifted", "not 1 s apart", "d"),
        *_LATE,
        ("cores", "cores used", ".2f"),
    )
    table = Table(f"Recurring: jobs @every 1s, spread over the second, for {seconds} s", columns)
    table.notes.append("Each job's instants must be exactly one second apart: what is not, drifted.")
    for count in bench.size((1_000, 10_000), (200, 1_000)):
        say(f"  recurring: {count} jobs")
        runs = [measured(bench, recurring_once(count, seconds), wrap) for _ in range(bench.times(usual))]
        table.add({"jobs": count}, runs)
    return [table]


def steady_once(rate: int, seconds: int) -> Measure:
    """One-shots at exact instants, as many a second; the schedule does not wait for what is late."""

    def once(on: Stage) -> Figures:
        count, step_ns = rate * seconds, 1_000_000_000 // rate
        start_us = on.create(count, step_ns, kind="at", prefix="due")
        sleep_until(start_us)
        cpu = on.node.cpu_s()
        end_us = start_us + seconds * SECOND_US
        sleep_until(end_us)
        used = on.node.cpu_s() - cpu
        on.receiver.wait(count, 30)
        time.sleep(0.3)
        arrivals = on.receiver.arrivals()
        first = first_arrivals(arrivals)
        dues = {f"due-{i}": (start_us + i * step_ns // 1000,) for i in range(count)}
        # What has not arrived by the end counts with its age.
        arrived = {name: min(first.get((name, due), end_us), end_us) for name, (due,) in dues.items()}
        late = sum(first.get((name, due), end_us + 1) > end_us for name, (due,) in dues.items())
        return {
            **lateness(arrived[name] - due for name, (due,) in dues.items()),
            **accounted(arrivals, dues),
            "overdue": late,
            "cores": used / seconds,
        }

    return once


def steady(bench: Bench, wrap: NodeWrap = (), rates: tuple[int, ...] = (), usual: int = 0) -> list[Table]:
    """Callbacks at a constant rate."""
    seconds = bench.size(15, 4)
    columns = (
        ("rate", "due/s", ",d"),
        ("p50_ms", "p50 ms", ".2f"),
        ("p99_ms", "p99 ms", ".2f"),
        ("p999_ms", "p99.9 ms", ".2f"),
        ("max_ms", "max ms", ".1f"),
        ("overdue", "not there at the end", "d"),
        *_ACCOUNT,
        ("cores", "cores used", ".2f"),
    )
    table = Table(f"Steady: one-shots at exact instants for {seconds} s, open loop", columns)
    for rate in rates or bench.size((500, 1_000, 2_000, 4_000), (500, 1_000)):
        say(f"  steady: {rate}/s")
        repetitions = bench.times(usual or (3 if rate in _REPEATED_RATES else 1))
        runs = [measured(bench, steady_once(rate, seconds), wrap) for _ in range(repetitions)]
        table.add({"rate": rate}, runs)
    return [table]


def commit_delay(bench: Bench) -> list[Table]:
    """The same with 5 ms more for each commit: what a slow disk does to the figures."""
    wrap = ("--commit-delay-ms", "5")
    tables = schedule(bench, wrap, (64,), usual=1)
    tables += burst(bench, wrap, (bench.size(10_000, 1_000),), usual=1)
    tables += steady(bench, wrap, (1_000,), usual=1)
    for table in tables:
        table.title += "; 5 ms more for each commit"
    return tables
