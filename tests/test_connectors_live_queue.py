from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.live.queue import Queue
from sfm_stream.events import Block, Gap, Tick
from tests.live_rig import settle


def tick(number, stream="a"):
    return Tick(stream, number, (float(number),), number)


def drained(queue):
    async def drain():
        return list((await queue.take(len(queue))).events()) if len(queue) else []

    return asyncio.run(drain())


def test_a_reader_waits_while_the_queue_is_full_and_nothing_is_lost():
    async def read_slowly():
        queue, put, got = Queue(1, 4, "block"), [], []

        async def read():
            for i in range(100):
                queue.put(tick(i))
                put.append(i)
                if queue.full:
                    await queue.room()

        reader = asyncio.create_task(read())
        await settle()
        assert len(put) == 4
        while len(got) < 100:
            got += (await queue.take(1)).time.tolist()
            await settle()
            assert len(queue) <= 4
        await reader
        return got, queue.counters

    got, counters = asyncio.run(read_slowly())
    assert got == list(range(100))
    assert set(counters) == {"blocked"}


def test_a_reader_that_waits_for_room_is_let_go_when_the_queue_is_closed():
    async def read():
        queue = Queue(1, 1, "block")
        queue.put(tick(0))
        reader = asyncio.create_task(queue.room())
        await settle()
        queue.close()
        await settle()
        done = reader.done()
        reader.cancel()
        later = asyncio.create_task(queue.room())
        await settle()
        return done, later.done(), later.cancel()

    assert asyncio.run(read()) == (True, True, False)


def test_conflating_keeps_the_latest_of_each_stream():
    queue = Queue(1, 8, "conflate")
    for i in range(50):
        queue.put(tick(2 * i, "a"))
        queue.put(tick(2 * i + 1, "b"))
        assert len(queue) <= 8
    assert not queue.full
    events = drained(queue)
    assert [e.time for e in events][-2:] == [98, 99]
    assert len(events) + queue.counters["conflated"] == 100
    assert "dropped" not in queue.counters


def test_gaps_survive_conflation_where_they_stand():
    queue = Queue(1, 4, "conflate")
    for event in (tick(1), Gap("a", 2, "lost"), tick(3), tick(4), tick(5)):
        queue.put(event)
    assert drained(queue) == [Gap("a", 2, "lost"), tick(4), tick(5)]


def test_more_streams_than_room_conflate_and_then_drop():
    queue = Queue(1, 4, "conflate")
    for i in range(20):
        queue.put(tick(i, f"s{i}"))
    assert queue.counters["dropped"] > 0


@pytest.mark.parametrize(("missed", "told"), [(0, 2), (3, 5), (None, None)])
def test_ticks_dropped_behind_a_gap_are_counted_if_its_own_are_known(missed, told):
    queue = Queue(1, 8, "drop_oldest")
    queue.put(Gap("a", 0, "closed", missed))
    for i in range(1, 9):
        queue.put(tick(i))
    first, *rest = drained(queue)
    assert (first.missed, len(rest)) == (told, 6)


def test_the_oldest_are_dropped_with_one_gap_for_each_stream():
    queue = Queue(1, 8, "drop_oldest")
    for i in range(9):
        queue.put(tick(i, "ab"[i % 2]))
    first, second, *rest = drained(queue)
    assert first == Gap("a", 0, "dropped under load", 1)
    assert second == Gap("b", 1, "dropped under load", 1)
    assert [e.time for e in rest] == [2, 3, 4, 5, 6, 7, 8]


@given(st.lists(st.sampled_from("abx"), max_size=200), st.integers(2, 16))
@settings(max_examples=100)
def test_every_tick_is_given_or_counted_in_a_gap(streams, capacity):
    queue = Queue(1, capacity, "drop_oldest")
    for i, stream in enumerate(streams):
        queue.put(Gap("", i, "broken off") if stream == "x" else tick(i, stream))
    events = drained(queue)
    assert len(events) <= capacity + 3
    gaps = [e for e in events if isinstance(e, Gap) and e.stream]
    missed = sum(gap.missed for gap in gaps)
    given_ = [e for e in events if isinstance(e, Tick)]
    assert missed == queue.counters["dropped"]
    assert len(given_) + missed == sum(s != "x" for s in streams)
    assert ("x" in streams) == any(e.stream == "" for e in events)


def test_who_waits_is_woken_by_the_next_event_and_by_the_end():
    async def wait():
        queue = Queue(1, 4, "block")
        waiting = asyncio.create_task(queue.take(3))
        await settle()
        queue.put(tick(1))
        first = list((await waiting).events())
        waiting = asyncio.create_task(queue.take(3))
        await settle()
        queue.put(tick(2))
        queue.close()
        second = list((await waiting).events())
        return first, second, len(await queue.take(3))

    assert asyncio.run(wait()) == ([tick(1)], [tick(2)], 0)


def test_no_more_is_taken_than_was_asked_for():
    queue = Queue(1, 8, "block")
    for i in range(5):
        queue.put(tick(i))

    async def take():
        return [(await queue.take(2)).time.tolist() for _ in range(3)]

    assert asyncio.run(take()) == [[0, 1], [2, 3], [4]]


def test_events_and_blocks_stay_in_order():
    queue = Queue(1, 8, "block")
    queue.put(tick(1))
    queue.put_block(Block.of([tick(2, "b"), Gap("b", 3, "lost")], 1))
    queue.put(tick(4))
    assert drained(queue) == [tick(1), tick(2, "b"), Gap("b", 3, "lost"), tick(4)]


def test_one_table_of_names_serves_all_blocks():
    queue = Queue(1, 8, "block")

    async def take():
        tables = []
        for i in range(3):
            queue.put(tick(i, "ab"[i % 2]))
            tables.append((await queue.take(8)).streams)
        return tables

    first, second, third = asyncio.run(take())
    assert first == ("a",)
    assert second == ("a", "b")
    assert third is second


def test_what_comes_soon_after_a_batch_is_gathered():
    async def read():
        queue, sizes = Queue(1, 100, "block"), []
        queue.put(tick(0))
        async for batch in queue.batches(50, gather=0.02):
            sizes.append(len(batch))
            if len(sizes) == 1:
                loop = asyncio.get_running_loop()
                for i in range(1, 5):  # one per turn of the loop
                    loop.call_later(i * 0.001, queue.put, tick(i))
                loop.call_later(0.01, queue.close)
        return sizes

    assert asyncio.run(read()) == [1, 4]


def test_a_full_batch_waits_for_nothing():
    async def read():
        queue, sizes = Queue(1, 100, "block"), []
        for i in range(25):
            queue.put(tick(i))
        queue.close()
        async with asyncio.timeout(10):
            async for batch in queue.batches(10, gather=3600.0):
                sizes.append(len(batch))
                if len(sizes) == 2:
                    break
        return sizes

    assert asyncio.run(read()) == [10, 10]
