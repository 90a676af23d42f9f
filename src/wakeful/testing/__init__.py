"""Days of jobs in milliseconds: a whole wakeful in a test, with a clock that the test turns.

    async with wakeful.testing.world("2026-03-07T00:00:00Z", seed=1) as world:
        await world.put("report", "30 2 * * *", zone="America/New_York")
        await world.advance(days=3)
        assert [str(run.scheduled_for) for run in world.deliveries("report")] == [
            "2026-03-07 07:30:00+00:00",
            "2026-03-08 07:00:00+00:00",  # clocks go forward: 02:30 does not exist, so it ran when they had
            "2026-03-09 06:30:00+00:00",
        ]

        world.answer("report", Failed("the printer is out of paper"))
        await world.advance(days=1)
        run = (await world.history("report"))[-1]
        assert (run.state, run.attempt) == ("failed", 4)  # the first attempt, and three retries

        world.answer("report")
        world.kill()
        await world.advance(days=30)
        world.restart()
        await world.advance(seconds=1)
        rows = await world.history("report")
        assert [(run.state, run.instants) for run in rows[-2:]] == [("missed", 29), ("succeeded", 1)]

Scheduler, engine and store are the real ones; what is virtual is time, chance and the apps that runs are delivered to.
Everything happens on the caller's event loop: run a test with ``asyncio.run(test())``, or with pytest's anyio or
asyncio plugin. Answers that take time wait with ``world.clock.sleep``: real time does not count.
"""

from wakeful.core.run import Failed, Rejected, Succeeded
from wakeful.testing.apps import Delivery
from wakeful.testing.clock import VirtualClock
from wakeful.testing.worlds import World, world

__all__ = ["Delivery", "Failed", "Rejected", "Succeeded", "VirtualClock", "World", "world"]
