from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from connectors import open_live, open_readers
from connectors.live.merged import CAPACITY, Merged
from connectors.live.readers import process as reading
from connectors.live.readers.remote import HUNG, LATE, LOOK, LOST, Remote, divided
from sfm_stream.config import each_feed, from_tree
from sfm_stream.errors import FeedError
from sfm_stream.events import Gap
from tests.live_rig import (
    StillClock,
    exchange,
    ids,
    server,
    settings,
    settle,
    tick,
    trades,
    until,
)

PATIENCE = 60
CALM = {"stale_after": "10h"}
ROOM = 2**16


def readers():
    """Give the processes that read at the moment."""
    return [p for p in multiprocessing.active_children() if p.name == "reader"]


async def taken(batches, count):
    """Take so many ticks, and what comes between them."""
    events = []
    async with asyncio.timeout(PATIENCE):
        while sum(not isinstance(e, Gap) for e in events) < count:
            events += (await anext(batches)).events()
    return events


def test_what_a_reader_sends_is_what_came_and_when():
    async def venue(socket, _):
        await socket.recv()
        for number in range(1, 301):
            await socket.send(tick(number))
        await socket.wait_closed()

    async def run():
        async with server(venue) as (url, _):
            config = settings(url, ("a",), connector="tests.live_rig:Told", **CALM)
            feed = open_readers(config)
            begun = time.time_ns()
            async with aclosing(feed.batches(512)) as batches:
                events = await taken(batches, 300)
                [process] = readers()
                await until(lambda: feed.counters["live"])
                return events, begun, feed.status(), process.pid

    events, begun, [status], pid = asyncio.run(run())
    assert ids(events) == list(range(1, 301))
    assert all(begun < e.received <= time.time_ns() for e in events)
    assert (status.state, status.topics["a"][0]) == ("live", "live")
    assert pid != os.getpid()
    assert readers() == []


async def one_tick(socket, number):
    await socket.recv()
    await socket.send(tick(number))
    await socket.wait_closed()


def apart(url):
    """Give what a feed of a scripted venue is read apart with."""
    config = settings(url, ("a",), connector="tests.live_rig:Told", **CALM)
    return config, open_live, open_live(config)


def test_a_reader_that_is_killed_is_a_gap_and_another_goes_on():
    async def run():
        async with server(one_tick) as (url, _):
            feed = Remote(*apart(url))
            async with aclosing(feed.batches(8)) as batches:
                events = await taken(batches, 1)
                [process] = readers()
                await until(lambda: feed.status()[0].counters.get("live") == 1)
                os.kill(process.pid, signal.SIGKILL)
                events += await taken(batches, 1)
                await until(lambda: feed.status()[0].state == "live")
                return events, feed.counters, feed.status()

    events, counters, [status] = asyncio.run(run())
    assert status.counters["live"] == counters["live"] == 2
    first, gap, second = events
    assert (first.values, second.values) == ((1.0,), (2.0,))
    assert (gap.stream, gap.reason) == ("", "the reader was ended by SIGKILL")
    assert first.received < gap.time < second.received
    assert counters[LOST] == 1


def test_a_reader_that_hangs_is_an_alarm_then_a_gap_and_another_goes_on():
    async def run():
        clock = StillClock()
        async with server(one_tick) as (url, _):
            feed, seen = Remote(*apart(url), clock=clock), []
            async with aclosing(feed.batches(8)) as batches:
                events = await taken(batches, 1)
                [process] = readers()
                await until(lambda: feed.status()[0].state == "live")
                os.kill(process.pid, signal.SIGSTOP)
                await until(lambda: state(process.pid) == "T")
                await settle(100)  # what it had said by then is heard
                for _ in range(HUNG):
                    seen += feed.status()
                    await clock.advance(LOOK)
                events += (await anext(batches)).events()
                seen += feed.status()
                await until(lambda: clock.next() is not None)
                await clock.advance(clock.next())
                events += await taken(batches, 1)
                await until(lambda: feed.status()[0].state == "live")
                return events, [*seen, *feed.status()], feed.counters

    (first, gap, second), seen, counters = asyncio.run(run())
    assert (first.values, second.values) == ((1.0,), (2.0,))
    reason = "the reader said nothing for 30 s"
    assert (gap.stream, gap.reason) == ("", reason)
    assert counters[LOST] == 1
    early, late, lost, now = seen[LATE - 1], seen[LATE], seen[HUNG], seen[-1]
    assert (early.state, early.alarm, now.state, now.alarm) == ("live", "", "live", "")
    assert (late.state, late.alarm) == ("stale", "the reader has said nothing for 5 s")
    assert late.age == pytest.approx(early.age + LATE * LOOK)
    assert (lost.state, lost.reason, lost.alarm) == ("backoff", reason, reason)
    assert ("closed", reason) in [(one.kind, one.detail) for one in lost.happened]


def test_a_reader_that_stalls_and_goes_on_is_told_both_times():
    async def run():
        clock = StillClock()
        async with server(one_tick) as (url, _):
            feed = Remote(*apart(url), clock=clock)
            async with aclosing(feed.batches(8)) as batches:
                await taken(batches, 1)
                [process] = readers()
                await until(lambda: feed.status()[0].state == "live")
                os.kill(process.pid, signal.SIGSTOP)
                await until(lambda: state(process.pid) == "T")
                await settle(100)  # what it had said by then is heard
                for _ in range(LATE + 1):
                    await clock.advance(LOOK)
                os.kill(process.pid, signal.SIGCONT)
                await until(lambda: feed.status()[0].state == "live")
                return feed.status()[0]

    status = asyncio.run(run())
    told = [(one.kind, one.detail) for one in status.happened if one.kind != "live"]
    said = "the reader has said nothing for 5 s"
    assert told == [("stalled", said), ("goes on", "after 6 s")]


def test_until_a_process_reads_it_the_time_that_passes_is_told():
    feed = Remote(*apart("ws://127.0.0.1:1"))
    before = feed.status()[0].seconds
    assert feed.status()[0].seconds > before


def test_a_reader_is_not_missed_while_its_taker_takes_nothing():
    async def run():
        clock = StillClock()
        async with exchange(trades(20_000)) as (_, url):
            config = settings(url, processes=1)
            feed = Remote(config, open_live, open_live(config), clock=clock)
            async with aclosing(feed.batches(8)) as batches:
                events = await taken(batches, 1)
                await until(lambda: feed.waiting > CAPACITY)
                for _ in range(2 * HUNG):
                    await clock.advance(LOOK)
                return events, feed.status(), feed.counters, len(readers())

    _, [status], counters, count = asyncio.run(run())
    assert (status.alarm, counters[LOST], count) == ("", 0, 1)


def test_of_several_readers_each_loses_its_own_streams():
    async def venue(socket, _):
        asked = await socket.recv()
        await socket.send(tick(1, "a" if '"a"' in asked else "b"))
        await socket.wait_closed()

    async def run():
        async with server(venue) as (url, _):
            config = settings(
                url, ("a", "b"), connector="tests.live_rig:Told", processes=2, **CALM
            )
            feed = open_readers(config)
            assert isinstance(feed, Merged)
            async with aclosing(feed.batches(8)) as batches:
                events = await taken(batches, 2)
                os.kill(readers()[0].pid, signal.SIGKILL)
                events += await taken(batches, 1)
                return events, feed.source(), open_live(config).source()

    events, source, whole = asyncio.run(run())
    [gap] = [e for e in events if isinstance(e, Gap)]
    assert gap.stream in {"a", "b"}
    assert events[-1].stream == gap.stream
    assert source == whole  # a run does not change with the processes that read


def test_told_to_stop_it_gives_what_waits_and_the_process_ends():
    async def run():
        async with exchange(trades(2_000)) as (_, url):
            feed = open_readers(settings(url, processes=1))
            async with aclosing(feed.batches(1)) as batches:
                events = await taken(batches, 1)
                await until(lambda: feed.waiting > 500)
                feed.stop()
                async with asyncio.timeout(PATIENCE):
                    async for batch in batches:
                        events += batch.events()
            return events

    events = asyncio.run(run())
    assert len(ids(events)) > 500
    assert ids(events) == list(range(1, len(ids(events)) + 1))
    assert readers() == []


def test_an_error_that_no_retry_mends_is_raised_by_the_taker_and_stays_an_alarm():
    async def run():
        async with exchange([], "http:404%100", play=False) as (_, url):
            feed = open_readers(settings(url, processes=1))
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(FeedError, match="404"):
                    await anext(feed.batches(8))
            return feed.status()

    [status] = asyncio.run(run())
    assert (status.state, status.happened[-1].kind) == ("closed", "given up")
    assert "404" in status.alarm
    assert readers() == []


def test_a_taker_that_is_slow_lets_the_venue_wait():
    total, part, sent = 100_000, 1_000, 0
    frame = '{"tick": "a", "n": %d, "pad": "' + 400 * "x" + '"}'

    async def venue(socket, _):
        nonlocal sent
        await socket.recv()
        while sent < total and not socket.transport.is_closing():
            frames = ((frame % (sent + n + 1)).encode() for n in range(part))
            texts = (Frame(Opcode.TEXT, f).serialize(mask=False) for f in frames)
            socket.transport.write(b"".join(texts))
            sent += part
            while socket.transport.get_write_buffer_size() > ROOM:
                await asyncio.sleep(0.01)

    async def run():
        async with server(venue) as (url, _):
            config = settings(url, ("a",), connector="tests.live_rig:Told", queue=1_000)
            feed = open_readers(config)
            async with aclosing(feed.batches(8)) as batches:
                await anext(batches)
                before = -1
                while before != sent:  # until the venue sends no more
                    before = sent
                    await asyncio.sleep(0.5)
                return feed.waiting

    assert asyncio.run(run()) < 10_000
    assert sent < total


def state(pid):
    """Give the letter of a process's state: `T` if stopped, `Z` if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "Z"
    return status.rpartition(")")[2].split()[0]


ORPHAN = """
import asyncio, multiprocessing, sys
from connectors import open_readers
from tests.live_rig import settings

async def run():
    feed = open_readers(settings(sys.argv[1], processes=1))
    async for _ in feed.batches(8):
        print(multiprocessing.active_children()[0].pid, flush=True)

if __name__ == "__main__":
    asyncio.run(run())
"""


def test_a_reader_ends_when_its_taker_was_killed(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    root = Path(__file__).parents[1]

    async def run():
        async with exchange(trades(5)) as (_, url):
            process = await asyncio.create_subprocess_exec(
                sys.executable, script, url, stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(root)},
            )  # fmt: skip
            async with asyncio.timeout(PATIENCE):
                pid = int(await process.stdout.readline())
                process.kill()
                await process.wait()
                await until(lambda: state(pid) == "Z")

    asyncio.run(run())


def test_a_reader_that_can_report_or_obey_no_more_ends(monkeypatch, capfd):
    codes = []
    monkeypatch.setattr(reading.os, "_exit", codes.append)

    async def fail():
        raise KeyError("state")

    async def run():
        failing, ending = asyncio.create_task(fail()), asyncio.create_task(settle(1))
        cancelled = asyncio.create_task(asyncio.sleep(60))
        tasks = failing, ending, cancelled
        for task in tasks:
            task.add_done_callback(reading._end_if_failed)
        cancelled.cancel()
        await asyncio.wait(tasks)
        await settle(1)

    asyncio.run(run())
    assert codes == [reading.FAILED]
    assert "KeyError: 'state'" in capfd.readouterr().err


@hypothesis(max_examples=30)
@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=4, unique=True), min_size=1),
    st.integers(1, 5),
)
def test_each_symbol_of_each_feed_is_read_by_one_process(symbols, processes):
    feeds = [
        {"connector": "binance", "symbols": one, "prefix": f"{i}:"}
        for i, one in enumerate(symbols)
    ]
    config = from_tree({"feed": feeds, "stream": {"symbols": ["x", "y"]}})
    shares = divided(config, processes)
    assert 1 <= len(shares) <= processes
    read = sorted(
        (one.feed.prefix, symbol)
        for share in shares
        for one in each_feed(share)
        for symbol in one.stream.symbols
    )
    assert read == sorted(
        (f"{i}:", symbol) for i, one in enumerate(symbols) for symbol in one or "xy"
    )


def test_a_feed_without_symbols_is_read_by_one_process():
    shares = divided(from_tree({"feed": {"connector": "json"}}), 3)
    assert len(shares) == 1


def test_processes_share_what_a_host_allows():
    opened = partial(open_live, processes=2)
    feed = opened(settings("ws://127.0.0.1:1"))
    [budget] = feed._budgets.values()
    assert (
        budget._times.maxlen
        == feed._supervisors[0]._shard.venue.limits.connects[0] // 2
    )


def test_no_process_is_started_where_none_is_wanted():
    feed = open_readers(settings("ws://127.0.0.1:1", processes=0))
    assert not isinstance(feed, Remote)


def test_one_core_reads_in_the_models_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert not isinstance(open_readers(settings("ws://127.0.0.1:1")), Remote)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert isinstance(open_readers(settings("ws://127.0.0.1:1")), Remote)
