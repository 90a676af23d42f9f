"""Any order of calls keeps the invariants of the file: what was counted is what is there."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.examples import examples
from support.stores import NOON, QUEUE, a_job, a_node, finish, key, s
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Catchup, CountedFrom, JobState, Overlap, RetryPolicy
from wakeful.core.ports import Claim, JobQuery, NewRun, Put, Room, StateChange
from wakeful.core.run import MOVES, Accepted, Failed, Outcome, Rejected, RunState, Succeeded, Unavailable, run_id
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

NAMES = st.sampled_from(["a", "b"])
OUTCOMES = st.sampled_from(
    [Succeeded(), Failed("no"), Failed("no"), Rejected("no"), Accepted(s(3)), Unavailable("no"), Succeeded()]
)
SCHEDULES = st.sampled_from(
    [
        {"schedule": "@every 1s"},
        {"schedule": "@every 1s", "repeats": 3},
        {"schedule": "@every 700ms", "ttl": "12s"},
        {"schedule": "@every 0s", "repeats": 4},
        {"schedule": "* * * * * *"},
        {"due": "2s"},
        {"due": "0s"},
        {"schedule": "@every 1h"},
    ]
)
POLICIES = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(Overlap),
        "catchup": st.sampled_from(Catchup),
        "max_running": st.integers(1, 3),
        "at_most_once": st.booleans(),
        "retry": st.builds(
            RetryPolicy, st.sampled_from([0, 1, None]), st.sampled_from([s(0), s(1)]), st.sampled_from(CountedFrom)
        ),
    }
)

# What an ended run may come from, in any number of moves between two looks at the file.
REACHED: dict[RunState, set[RunState]] = {state: {state} for state in RunState}
for _ in RunState:
    for (source, _move), target in MOVES.items():
        REACHED[source] |= REACHED[target]

UNENDED_JOBS = "('active', 'paused', 'parked')"
INVARIANTS = {
    "an occurrence has one row": "SELECT job_id, seq FROM runs WHERE seq IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1",
    "active counts the runs that wait or are in flight": """
        SELECT j.id, j.active, count(r.id) FROM jobs j
          LEFT JOIN runs r ON r.job_id = j.id AND r.state IN ('waiting', 'claimed', 'open')
         GROUP BY j.id HAVING j.active <> count(r.id)""",
    "no due instant is consumed without a row": """
        SELECT j.id, j.seq, total(r.instants) FROM jobs j LEFT JOIN runs r ON r.job_id = j.id AND r.cause = 'schedule'
         GROUP BY j.id HAVING j.seq <> total(r.instants)""",
    "the rows of a job are numbered without a gap": """
        SELECT job_id, seq, instants FROM
          (SELECT job_id, seq, instants, lag(seq, 1, 0) OVER (PARTITION BY job_id ORDER BY seq) was FROM runs
            WHERE cause = 'schedule') WHERE seq - instants <> was""",
    "counts are those of the rows": """
        SELECT j.id, j.succeeded, j.failed, j.not_run FROM jobs j LEFT JOIN runs r ON r.job_id = j.id GROUP BY j.id
        HAVING j.succeeded <> total(r.state = 'succeeded') OR j.failed <> total(r.state = 'failed')
            OR j.not_run <> total(CASE WHEN r.fence = 0 AND r.seq IS NOT NULL THEN r.instants END)""",
    "a job is in the due index unless it is paused, ended, busy or has no instant left": """
        SELECT id, state, active, max_running, next_due_at, plan_at FROM jobs
         WHERE plan_at IS NOT CASE WHEN state = 'active' AND active < max_running
                                   THEN next_due_at + delay_us END""",
    "nothing of an ended job waits": f"""
        SELECT r.id, r.state, j.state FROM runs r JOIN jobs j ON j.id = r.job_id
         WHERE r.state IN ('waiting', 'blocked') AND j.state NOT IN {UNENDED_JOBS}""",
    "a job has ended if its state says so": f"""
        SELECT id FROM jobs WHERE (ended_at IS NULL) <> (state IN {UNENDED_JOBS})""",
    "a run has ended if its state says so": """
        SELECT id, state FROM runs WHERE (ended_at IS NULL) <> (state IN ('blocked', 'waiting', 'claimed', 'open'))""",
    "a name has one unended job": "SELECT name FROM jobs WHERE ended_at IS NULL GROUP BY name HAVING count(*) > 1",
    "what is claimed has an owner, and nothing else has": """
        SELECT id, state FROM runs WHERE (claimed_by IS NOT NULL) <> (state = 'claimed')""",
    "what waits says since when": "SELECT id FROM runs WHERE (run_at IS NULL) AND state IN ('waiting', 'claimed')",
    "a job over which nothing hangs is completed": """
        SELECT id FROM jobs j WHERE state = 'active' AND next_due_at IS NULL AND active = 0""",
    "a run that nobody blocks is not blocked": """
        SELECT id FROM jobs j
         WHERE active = 0 AND EXISTS(SELECT 1 FROM runs r WHERE r.job_id = j.id AND r.state = 'blocked')""",
    "attempts are counted from one": """
        SELECT id, attempt FROM runs WHERE attempt < 0 OR (state IN ('claimed', 'open') AND attempt < 1)""",
}


class AnyOrder(RuleBasedStateMachine):
    """Two nodes on one file; each step ends with a look at the rows."""

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.place = tempfile.TemporaryDirectory()
        path = Path(self.place.name) / "wakeful.db"
        self.store = self.do(self._open(path))
        self.db = apsw.Connection(str(path))
        self.now, self.boot_s, self.nodes, self.number = NOON, 100.0, [1, 2], 2
        self.held: list[Claim] = []
        self.seen: dict[bytes, tuple[str, int]] = {}
        for node in self.nodes:
            self.do(self.store.heartbeat(a_node(node, self.boot_s), self.now))

    async def _open(self, path: Path) -> SqliteStore:
        return SqliteStore(path, load_zone, os.urandom)

    def do(self, awaitable: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(awaitable)

    @rule(name=NAMES, when=SCHEDULES, policies=POLICIES, how=st.sampled_from(Put))
    def put(self, name: str, when: dict[str, Any], policies: dict[str, Any], how: Put) -> None:
        job = a_job(name, now=self.now, **when, **policies)
        taken = self.do(self.store.get_job(key(name))) is not None
        try:
            self.do(self.store.put_job(job, how, self.now))
        except WakefulError as error:
            refused = {Put.CREATE: ErrorCode.JOB_EXISTS, Put.EDIT: ErrorCode.JOB_NOT_FOUND}
            assert error.code is refused[how]
            assert taken is (how is Put.CREATE)
        else:
            assert how is Put.REPLACE or taken is (how is Put.EDIT)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.do(self.store.end_jobs(JobQuery(name=name), JobState.DELETED, self.now))

    @rule(name=NAMES, state=st.sampled_from([JobState.PAUSED, JobState.ACTIVE]))
    def pause_or_resume(self, name: str, state: JobState) -> None:
        if self.do(self.store.get_job(key(name))) is not None:
            self.do(self.store.set_state(StateChange(key(name), state), self.now))

    @rule(name=NAMES, many=st.integers(1, 4))
    def run_by_hand(self, name: str, many: int) -> None:
        if self.do(self.store.get_job(key(name))) is not None:
            runs = [NewRun(run_id(self.now, os.urandom(10)), self.now) for _ in range(many)]
            self.do(self.store.add_runs(key(name), runs, self.now))

    @rule(side=st.integers(0, 1), free=st.integers(1, 4), late=st.integers(0, 4))
    def claim(self, side: int, free: int, late: int) -> None:
        claimed = self.do(self.store.claim_due(self.nodes[side], {QUEUE: Room(free, late)}, self.now))
        assert len(claimed.claims) <= free
        self.held += claimed.claims

    @rule(data=st.data(), outcomes=st.lists(OUTCOMES, min_size=1, max_size=3))
    def settle(self, data: st.DataObject, outcomes: list[Outcome]) -> None:
        async def all_of(claims: list[tuple[Claim, Outcome]]) -> None:
            await asyncio.gather(*(finish(self.store, claim, self.now, outcome) for claim, outcome in claims))

        chosen = []
        for outcome in outcomes:
            if self.held:
                chosen.append((self.held.pop(data.draw(st.integers(0, len(self.held) - 1))), outcome))
        self.do(all_of(chosen))

    @rule(seconds=st.sampled_from([0.001, 0.4, 1.0, 2.5, 8.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        """Both nodes live on: their leases are renewed."""
        self.now += timedelta(seconds=seconds)
        self.boot_s += min(seconds, 5)
        for node in self.nodes:
            assert self.do(self.store.heartbeat(a_node(node, self.boot_s), self.now)).alive

    @rule(side=st.integers(0, 1))
    def a_node_dies(self, side: int) -> None:
        """What it held it may still try to settle, in vain."""
        dead, other = self.nodes[side], self.nodes[1 - side]
        self.boot_s += 5
        assert self.do(self.store.heartbeat(a_node(other, self.boot_s), self.now)).alive
        self.boot_s += 2
        self.do(self.store.heartbeat(a_node(other, self.boot_s), self.now))
        assert not self.do(self.store.heartbeat(a_node(dead, self.boot_s), self.now)).alive
        self._new_node(side)

    @rule(side=st.integers(0, 1))
    def a_node_leaves(self, side: int) -> None:
        self.do(self.store.leave(self.nodes[side], self.now))
        self._new_node(side)

    def _new_node(self, side: int) -> None:
        self.number += 1
        self.nodes[side] = self.number
        assert self.do(self.store.heartbeat(a_node(self.number, self.boot_s), self.now)).alive

    @invariant()
    def counted_is_what_is_there(self) -> None:
        for claim, sql in INVARIANTS.items():
            broken = self.db.execute(sql).fetchall()
            assert not broken, f"{claim}: {broken}"

    @invariant()
    def every_change_is_a_move(self) -> None:
        rows = self.db.execute("SELECT id, state, fence FROM runs").fetchall()
        for run, state, fence in rows:
            was, old = self.seen.get(run, (state, fence))
            assert RunState(state) in REACHED[RunState(was)], f"run {UUID(bytes=run)}: {was} became {state}"
            assert fence >= old, "a fence never falls"
        self.seen = {run: (state, fence) for run, state, fence in rows}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.db.close()
            self.do(self.store.close())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.place.cleanup()


AnyOrder.TestCase.settings = settings(
    max_examples=examples(50), stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrder = pytest.mark.timeout(300)(AnyOrder.TestCase)
