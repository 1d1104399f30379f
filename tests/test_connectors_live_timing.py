from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.live.timing import Budget, Clock, Pace, first_of
from tests.live_rig import StillClock, settle


async def times_taken(count, seconds, pauses):
    clock = StillClock()
    budget, taken = Budget(clock, count, seconds), []

    async def take():
        for pause in pauses:
            if pause:
                await clock.sleep(pause)
            await budget.take()
            taken.append(clock.elapsed())

    task = asyncio.create_task(take())
    await settle()
    while not task.done():
        await clock.advance(clock.next())
    return taken


@given(
    count=st.integers(1, 5),
    seconds=st.floats(0.1, 300),
    pauses=st.lists(st.floats(0, 100), max_size=20),
)
@settings(max_examples=50)
def test_no_stretch_of_time_holds_more_than_its_budget(count, seconds, pauses):
    taken = asyncio.run(times_taken(count, seconds, pauses))
    assert len(taken) == len(pauses)
    for first, later in zip(taken, taken[count:], strict=False):
        assert later - first >= seconds * (1 - 1e-9)


def test_a_budget_that_is_not_spent_makes_nobody_wait():
    assert asyncio.run(times_taken(3, 10.0, [0, 0, 0, 0])) == [0, 0, 0, 10.0]


def test_those_who_ask_meanwhile_come_after():
    async def three():
        clock = StillClock()
        budget, order = Budget(clock, 1, 5.0), []

        async def take(name):
            await budget.take()
            order.append((name, clock.elapsed()))

        tasks = [asyncio.create_task(take(name)) for name in "abc"]
        await settle()
        await clock.advance(20)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(three()) == [("a", 0.0), ("b", 5.0), ("c", 10.0)]


def test_waiting_for_the_first_leaves_tasks_and_cancels_coroutines():
    async def waited():
        cancelled = asyncio.Event()

        async def never():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        task = asyncio.create_task(never())
        await first_of(task, never(), asyncio.sleep(0))
        await cancelled.wait()
        assert not task.done()
        task.cancel()

    asyncio.run(waited())


def test_the_clock_gives_ns_and_seconds_that_rise():
    async def twice():
        clock = Clock()
        before = clock.now(), clock.elapsed()
        await clock.sleep(0)
        return before, (clock.now(), clock.elapsed())

    (now, elapsed), (later, further) = asyncio.run(twice())
    assert 1.6e18 < now <= later
    assert elapsed <= further


def test_after_a_quiet_moment_some_wait_for_nothing_and_then_each_its_pause():
    pace, now, waits = Pace(pause=0.25, ahead=1.0), 100.0, []
    for _ in range(8):
        waits.append(max(pace.wait(now), 0.0))
        now += waits[-1]
        pace.note(now)
    assert waits == [0, 0, 0, 0, 0, 0.25, 0.25, 0.25]


def test_what_comes_more_slowly_than_the_pace_never_waits():
    pace = Pace(pause=0.25, ahead=0.5)
    for number in range(100):
        now = 100.0 + 0.25 * number
        assert pace.wait(now) <= 0
        pace.note(now)
