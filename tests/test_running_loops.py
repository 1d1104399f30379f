from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.errors import FeedError, JournalError
from sfm_stream.events import Block, Tick
from sfm_stream.events.blocks import concatenate
from sfm_stream.running import loops

EVENTS = [Tick("a", 1, (1.0,)), Tick("a", 2, (2.0,))]
SINGLE_ORDER = [
    "observe 1", "said 1", "learn", "learned",
    "observe 2", "said 2", "learn", "learned",
]  # fmt: skip


class Recorder:
    """An engine that notes what is asked of it and says its name for records."""

    def __init__(self):
        self.log = []

    def observe(self, event):
        self.log.append(f"observe {event.time}")
        return f"said {event.time}"

    def learn(self):
        self.log.append("learn")
        return "learned"

    def observe_block(self, block):
        self.log.append(f"observe block of {len(block)}")
        return f"said {len(block)}"

    def learn_block(self):
        self.log.append("learn block")
        return "learned"

    def run(self, block):
        self.log.append(f"run {len(block)}")
        return f"said {len(block)}"


def ticks(count, start=0):
    time = np.arange(start, start + count, dtype=np.int64)
    return Block.ticks(time, time[:, None].astype(float), streams=("a",))


def test_run_writes_what_was_said_before_learning():
    engine = Recorder()
    loops.run(EVENTS, engine, engine.log.append)
    assert engine.log == SINGLE_ORDER


def test_a_step_writes_what_was_said_before_the_last_event_is_learned_from():
    engine = Recorder()
    log, learned = engine.log, []
    loops.step(ticks(3), engine, log.append, learned.append)
    assert log == ["observe block of 3", "said 3", "learn block"]
    assert learned == ["learned"]


def test_arun_hands_over_batches_one_after_the_other():
    async def batches():
        for event in EVENTS:
            await asyncio.sleep(0)
            yield [event]

    log = []

    async def take(batch):
        log.append(f"begun {batch[0].time}")
        await asyncio.sleep(0)
        log.append(f"taken {batch[0].time}")

    asyncio.run(loops.arun(batches(), take))
    assert log == ["begun 1", "taken 1", "begun 2", "taken 2"]


def test_arun_closes_the_feed_when_a_batch_cannot_be_taken():
    closed = []

    async def batches():
        try:
            yield EVENTS
        finally:
            closed.append(True)

    async def refuse(_):
        raise JournalError("journal", "the disk is full")

    async def run():
        with pytest.raises(JournalError):
            await loops.arun(batches(), refuse)
        return list(closed)

    assert asyncio.run(run()) == [True]


def test_run_blocks_writes_a_block_before_what_comes_after_it():
    engine = Recorder()
    loops.run_blocks(
        [ticks(3), ticks(2, 3)],
        engine,
        engine.log.append,
        lambda: engine.log.append("after"),
    )
    assert engine.log == ["run 3", "said 3", "after", "run 2", "said 2", "after"]


def test_run_stops_at_the_event_that_raises_with_all_before_it_written():
    def feed():
        yield EVENTS[0]
        raise OSError("gone")

    engine = Recorder()
    with pytest.raises(OSError, match="gone"):
        loops.run(feed(), engine, engine.log.append)
    assert engine.log == SINGLE_ORDER[:4]


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    before=st.integers(0, 20),
    every=st.integers(1, 12),
)
def test_cut_ends_a_block_at_every_multiple_and_loses_nothing(sizes, before, every):
    starts = np.cumsum([before, *sizes])
    blocks = [ticks(n, at) for n, at in zip(sizes, starts, strict=False)]
    cut = list(loops.cut(blocks, before, every))
    ends = np.cumsum([before, *map(len, cut)]).tolist()
    multiples = [n for n in range(before + 1, ends[-1] + 1) if n % every == 0]
    assert set(multiples) <= set(ends)
    assert all(len(block) for block in cut)
    if cut:
        expected = concatenate(blocks)
        np.testing.assert_array_equal(concatenate(cut).time, expected.time)
        np.testing.assert_array_equal(concatenate(cut).values, expected.values)


def rounds_of(seconds, *batches):
    """Give the lengths of the rounds; a batch that is an event waits for it."""

    async def found():
        heard = asyncio.Event()

        async def coming():
            for batch in batches:
                if batch is None:
                    await heard.wait()
                else:
                    yield batch

        lengths = []
        async for block in loops.in_rounds(coming(), seconds):
            lengths.append(block.time.tolist())
            heard.set()
        return lengths

    return asyncio.run(found())


def test_what_comes_within_a_round_takes_one_step_in_its_order():
    found = rounds_of(60.0, ticks(2), ticks(1, 2), ticks(3, 3))
    assert found == [[0, 1, 2, 3, 4, 5]]


def test_a_round_does_not_wait_for_what_comes_later():
    found = rounds_of(0.001, ticks(2), None, ticks(1, 2), ticks(1, 3))
    assert found[0] == [0, 1]
    assert [time for block in found for time in block] == [0, 1, 2, 3]


def test_without_time_each_batch_is_a_round():
    assert rounds_of(0.0, ticks(1), ticks(2, 1)) == [[0], [1, 2]]


def test_what_came_before_an_error_is_a_round_of_its_own():
    async def coming():
        yield ticks(2)
        yield ticks(1, 2)
        raise FeedError("venue", "gone for good")

    async def found():
        rounds = loops.in_rounds(coming(), 60.0)
        first = await anext(rounds)
        with pytest.raises(FeedError, match="gone for good"):
            await anext(rounds)
        return first.time.tolist()

    assert asyncio.run(found()) == [0, 1, 2]


def test_a_round_that_is_left_early_closes_what_it_reads():
    closed = []

    async def coming():
        try:
            while True:
                yield ticks(1)
        finally:
            closed.append(True)

    async def leave():
        rounds = loops.in_rounds(coming(), 0.0)
        await anext(rounds)
        await rounds.aclose()

    asyncio.run(leave())
    assert closed == [True]
