"""``wakeful job``: look at jobs, steer them, and ask for runs beside their schedules."""

from typing import Annotated

from cyclopts import App, Group, Parameter
from cyclopts.validators import Number

from wakeful.core.ports import JobQuery, RunQuery
from wakeful.faces.cli import given, putting, text, views
from wakeful.faces.cli.calls import OK, WHERE, WHICH, Where, Which, answer, call, complain, one, owner_of
from wakeful.faces.cli.doors import Doors
from wakeful.scheduler import MOST_BACKFILLED, Scheduler

_NOTE_LIMIT = 1000

_Name = Annotated[str, Parameter(help="The job's name.")]
_Run = Annotated[str, Parameter(name="RUN", help="The run's id, as `wakeful job runs NAME` shows it.")]


def commands(doors: Doors) -> App:
    """The commands about jobs."""
    job = App(
        name="job",
        help="Define jobs, look at what came of them, and steer them; works beside a running node.",
        group_parameters=Group("Options"),
    )
    putting.add_to(job, doors)
    _add_looking(job, doors)
    _add_ending(job, doors)
    _add_pause(job, doors)
    _add_resume(job, doors)
    _add_asking(job, doors)
    _add_steering(job, doors)
    return job


def _add_looking(job: App, doors: Doors) -> None:
    @job.command(name="list")
    def list_jobs(*, which: Which = WHICH) -> int:
        """List the jobs of a namespace."""

        async def listed(scheduler: Scheduler) -> int:
            query = JobQuery(which.namespace, owner_of(which.app_id))
            jobs = [record async for record in scheduler.all_jobs(query)]
            return answer(which.json, [views.job_fields(record) for record in jobs], views.job_table(jobs))

        return call(doors, which.store, listed)

    @job.command
    def show(name: _Name, /, *, which: Which = WHICH) -> int:
        """Show a job: its definition, what is next and what came last."""

        async def shown(scheduler: Scheduler) -> int:
            record = await one(scheduler, which, name, ended=True)
            return answer(which.json, views.job_fields(record), views.job_page(record))

        return call(doors, which.store, shown)

    @job.command
    def runs(
        name: _Name,
        /,
        *,
        limit: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000), help="The most to list.")] = 20,
        which: Which = WHICH,
    ) -> int:
        """List a job's runs, newest first, those of its earlier definitions too."""

        async def listed(scheduler: Scheduler) -> int:
            record = await one(scheduler, which, name, ended=True)
            page = (await scheduler.runs(RunQuery(key=record.job.key, limit=limit))).items
            return answer(which.json, [views.run_fields(run) for run in page], views.run_table(page))

        return call(doors, which.store, listed)


def _add_ending(job: App, doors: Doors) -> None:
    @job.command
    def delete(name: _Name, /, *, which: Which = WHICH) -> int:
        """Delete a job. Its history stays."""

        async def deleted(scheduler: Scheduler) -> int:
            key = (await one(scheduler, which, name)).job.key
            await scheduler.delete(JobQuery(key.namespace, key.owner, key.name))
            said = text.printable(f"deleted {key.name} of {key.owner}")
            return answer(which.json, {"deleted": views.key_fields(key)}, said)

        return call(doors, which.store, deleted)


def _add_pause(job: App, doors: Doors) -> None:
    @job.command
    def pause(
        name: _Name,
        /,
        *,
        note: Annotated[str | None, Parameter(help="Why: it is shown until the job is resumed.")] = None,
        which: Which = WHICH,
    ) -> int:
        """Keep a job from making runs. Those that it has go on."""

        async def paused(scheduler: Scheduler) -> int:
            if note is not None and len(note) > _NOTE_LIMIT:
                raise given.wrong("--note", note, f"at most {_NOTE_LIMIT} characters are allowed")
            record = await scheduler.pause((await one(scheduler, which, name)).job.key, note)
            said = f"paused {record.job.key.name} of {record.job.key.owner}" + (f": {note}" if note else "")
            return answer(which.json, views.job_fields(record), text.printable(said))

        return call(doors, which.store, paused)


def _add_resume(job: App, doors: Doors) -> None:
    @job.command
    def resume(
        name: _Name,
        /,
        *,
        replay: Annotated[
            bool, Parameter(help="Leave what passed meanwhile to the job's catch-up policy; else it is skipped.")
        ] = False,
        which: Which = WHICH,
    ) -> int:
        """Let a paused job go on with what comes next."""

        async def resumed(scheduler: Scheduler) -> int:
            record = await scheduler.resume((await one(scheduler, which, name)).job.key, replay=replay)
            following = (
                f"next due {text.short(record.next_due_at)}" if record.next_due_at else "nothing is due any more"
            )
            said = f"resumed {record.job.key.name} of {record.job.key.owner}; {following}"
            return answer(which.json, views.job_fields(record), text.printable(said))

        return call(doors, which.store, resumed)


def _add_asking(job: App, doors: Doors) -> None:
    @job.command
    def run(name: _Name, /, *, which: Which = WHICH) -> int:
        """Run a job once, now, beside its schedule. Prints the id of that run."""

        async def asked(scheduler: Scheduler) -> int:
            new = await scheduler.run_now((await one(scheduler, which, name)).job.key)
            return answer(which.json, {"run": str(new)}, str(new))

        return call(doors, which.store, asked)

    @job.command
    def backfill(
        name: _Name,
        /,
        *,
        since: Annotated[str, Parameter(name="--from", help="The first instant, as 2030-01-31T09:00:00Z.")],
        through: Annotated[str, Parameter(name="--to", help="The last instant: it lies in the past.")],
        limit: Annotated[int, Parameter(help=f"Refuse to make more runs than this; at most {MOST_BACKFILLED}.")] = 100,
        dry_run: Annotated[bool, Parameter(help="Only print the instants that would be run.")] = False,
        which: Which = WHICH,
    ) -> int:
        """Make the runs that the schedule had in a past time, oldest first, whatever became of them then.

        A crontab line has all of the past, also that before the job was defined; days that a calendar excludes are left
        out.
        """

        async def filled(scheduler: Scheduler) -> int:
            begin, end = given.instant("--from", since), given.instant("--to", through)
            if end < begin:
                raise given.wrong("--to", through, "it lies before --from")
            job = (await one(scheduler, which, name)).job
            key, begins_at = job.key, job.schedule.begins_at
            if begins_at is not None and begin < begins_at <= end:
                complain(f"the schedule begins at {text.rfc3339(begins_at)}: there is nothing to run before that", OK)
            if dry_run:
                plan = [text.rfc3339(at) for at in await scheduler.backfill_plan(key, begin, end, limit=limit)]
                said = "\n".join([*map(str, plan), f"{len(plan)} runs would be made"])
                return answer(which.json, {"instants": plan}, said)
            made = [str(new) for new in await scheduler.backfill(key, begin, end, limit=limit)]
            return answer(which.json, {"runs": made}, "\n".join([*made, f"{len(made)} runs made"]))

        return call(doors, which.store, filled)


def _add_steering(job: App, doors: Doors) -> None:
    @job.command
    def cancel(run: _Run, /, *, where: Where = WHERE) -> int:
        """End a run that has not ended: one that waits, or one under way."""

        async def cancelled(scheduler: Scheduler) -> int:
            asked = given.run_of(run)
            await scheduler.cancel(asked)
            return answer(where.json, {"cancelled": str(asked)}, f"cancelled {asked}")

        return call(doors, where.store, cancelled)

    @job.command
    def retry(run: _Run, /, *, where: Where = WHERE) -> int:
        """Do a failed run again, as a new run that names the old one. Prints the new one's id."""

        async def retried(scheduler: Scheduler) -> int:
            old = given.run_of(run)
            new = await scheduler.retry(old)
            return answer(where.json, {"run": str(new), "retry_of": str(old)}, str(new))

        return call(doors, where.store, retried)
