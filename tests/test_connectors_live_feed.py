"""A whole live feed: every capture through a socket, recordings, shards, overload."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import channels, is_live, open_feed, open_live
from connectors.capture.recorder import Recorder
from connectors.capture.simulator import Tape
from connectors.live.feed import Live, shared_out
from connectors.venues.protocol import VENUES, Limits
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import Gap, Tick
from tests.feed_tables import feed_table
from tests.live_rig import (
    Listener,
    StillClock,
    exchange,
    heard,
    ids,
    live,
    server,
    settings,
    settle,
    tick,
    told,
    trades,
    until,
)
from tests.venue_frames import bybit_book, dumps

CAPTURES = Path(__file__).parents[2] / "shared/data/captures/binance"
real = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the shared data sets are not here"
)
MIB = 2**20


def read(path, **feed):
    """Give the events of a capture."""
    given = {"connector": "capture", "path": str(path), "channel": "trade"}
    tree = feed_table(**given | feed)
    blocks = open_feed(from_tree({"feed": tree})).blocks(10_000)
    return [event for block in blocks for event in block.events()]


def as_told(event, *, own_time):
    """Give what of an event does not depend on when it was received."""
    said = str(event.values) if isinstance(event, Tick) else event.reason  # nan
    return event.stream, event.time if own_time else None, said


@real
@pytest.mark.parametrize("channel", ["trade", "bookTicker"])
@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("spot_btcusdt", "btcusdt"), ("spot_ethusdt", "ethusdt"),
        ("usdm_btcusdt", "btcusdt"), ("cm_btcusd_perp", "btcusd_perp"),
        ("cm_ethusd_perp", "ethusd_perp"),
    ],
)  # fmt: skip
def test_a_capture_through_a_socket_says_what_its_file_says(name, symbol, channel):
    path = CAPTURES / f"{name}_20240808.gz"
    frames = list(Tape([str(path)]))
    subject = f"{symbol}@{channel}".encode()
    frames = [(t, f) for t, f in frames if subject in f[:60]]

    async def run():
        events = []
        async with exchange(frames) as (_, url):
            feed = live(url, symbols=(symbol,), channel=channel)
            async with aclosing(feed.events()) as coming:
                async for event in coming:
                    if isinstance(event, Gap):
                        break
                    events.append(event)
        return events

    own_time = not (name.startswith("spot") and channel == "bookTicker")
    expected = read(path, channel=channel)
    assert len(expected) > 1000
    assert [as_told(e, own_time=own_time) for e in asyncio.run(run())] == [
        as_told(e, own_time=own_time) for e in expected
    ]


@real
@pytest.mark.parametrize(
    ("venue", "file", "channel"),
    [
        ("coinbase", "coinbase/COINBASE.ws.28.0.gz", "matches"),
        ("coinbase", "coinbase/COINBASE.ws.28.0.gz", "ticker"),
        ("okx", "okx/OKX.ws.1.0.gz", "trades"), ("okx", "okx/OKX.ws.1.0.gz", "tickers"),
        ("bitstamp", "bitstamp/BITSTAMP.ws.1.0.gz", "live_trades"),
        ("binance", "binance_30s/BINANCE.ws.1.0.gz", "aggTrade"),
        ("binance-usdm", "binance_30s/BINANCE_FUTURES.ws.1.0.gz", "aggTrade"),
    ],
)  # fmt: skip
def test_a_capture_of_another_venue_says_the_same_through_a_socket(
    venue, file, channel
):
    path = CAPTURES.parent / file
    expected = read(path, channel=channel, venue=venue)
    symbols = tuple({event.stream for event in expected})

    async def run():
        events = []
        async with exchange(list(Tape([str(path)])), venue=venue) as (_, url):
            feed = live(url, symbols=symbols, connector=venue, channel=channel)
            async with aclosing(feed.events()) as coming:
                async for event in coming:
                    if (
                        isinstance(event, Gap)
                        and "the capture has ended" in event.reason
                    ):
                        break
                    events.append(event)
        return events, feed.status()[0].topics

    events, topics = asyncio.run(run())
    assert expected
    assert [as_told(e, own_time=True) for e in events] == [
        as_told(e, own_time=True) for e in expected
    ]
    assert not [name for name, (state, _) in topics.items() if state == "refused"]


def test_a_json_feed_of_one_sensor_needs_no_symbols():
    async def venue(socket, _):
        asked.append(await socket.recv())
        await socket.send('{"at": 1700000000, "v": 2.5}')
        await socket.wait_closed()

    asked = []

    async def run():
        async with server(venue) as (url, _):
            config = from_tree({"feed": {
                "connector": "json", "time": "at", "columns": {"v": "v"},
                "options": {"url": url, "subscribe": ['{"ask": "all"}']},
            }})  # fmt: skip
            async with Listener(open_live(config)) as said:
                await until(heard(said, 1))
                return said.events[0]

    event = asyncio.run(run())
    assert (event.stream, event.values) == ("main", (2.5,))
    assert asked == ['{"ask": "all"}']


def test_a_recording_says_event_for_event_what_was_said_live(tmp_path):
    async def run():
        clock = StillClock()
        recorder = Recorder(tmp_path, quota=MIB)
        faults = ("garbage%0.1", "duplicate%0.1", "missing@40", "drop@60")
        async with exchange(trades(200), *faults) as (_, url):
            async with Listener(live(url, records=(recorder,), clock=clock)) as said:
                await until(lambda: said.state() == "backoff")
                await clock.advance(3)
                await until(lambda: 200 in ids(said.events))
        recorder.close()
        return said.events

    events = asyncio.run(run())
    assert sum(isinstance(e, Gap) for e in events) >= 2
    assert read(tmp_path / "*.gz")[: len(events)] == events


def test_a_recording_of_a_planned_switch_says_the_same_too(tmp_path):
    async def venue(socket, _):
        await socket.recv()
        sockets.append(socket)
        await socket.wait_closed()

    sockets = []

    async def run():
        clock, recorder = StillClock(), Recorder(tmp_path, quota=MIB)
        async with server(venue) as (url, _):
            feed = told(url, clock=clock, records=(recorder,), stale_after="1h")
            async with Listener(feed) as said:
                await until(lambda: sockets)
                for number in range(1, 60):
                    for socket in sockets:
                        await socket.send(tick(number))
                    if number == 10:
                        await sockets[0].send(json.dumps({"leave": 1}))
                        await until(lambda: len(sockets) == 2)
                    await settle(100)
                    await clock.advance(0.1)
                    if feed.counters["replaced"]:
                        del sockets[:-1]
                await until(heard(said, 59))
        recorder.close()
        return said.events, feed.counters

    events, counters = asyncio.run(run())
    assert counters["replaced"] == 1
    assert ids(events) == list(range(1, 60))
    replayed = read(tmp_path / "*.gz", venue="tests.live_rig:Told")
    assert replayed == events


def test_topics_are_shared_out_among_connections_and_each_has_its_own_gap(tmp_path):
    async def venue(socket, number):
        asked.append(json.loads(await socket.recv())["ask"])
        for topic in asked[-1]:
            await socket.send(tick(number, topic))
        if number == 1:
            await socket.close(1012)
        await socket.wait_closed()

    asked = []

    async def run():
        clock, recorder = StillClock(), Recorder(tmp_path, quota=MIB)
        async with server(venue) as (url, connections):
            feed = told(url, *"abcde", venue="Narrow", clock=clock, records=(recorder,))
            async with Listener(feed) as said:
                await until(heard(said, 4))
                assert len(connections) == 1  # the budget of the host is one
                await clock.advance(10)
                await until(lambda: len(connections) == 2)
                await clock.advance(10)
                await until(heard(said, 7))
                states = [status.label.rpartition("#")[2] for status in feed.status()]
        recorder.close()
        return said.events, states

    events, labels = asyncio.run(run())
    assert sorted(asked[:3]) == [["a", "b"], ["c", "d"], ["e"]]
    assert labels == ["1", "2", "3"]
    lost = [e.stream for e in events if isinstance(e, Gap)]
    assert lost == asked[0]
    assert {e.stream for e in events if isinstance(e, Tick)} == set("abcde")
    replayed = read(tmp_path / "*.gz", venue="tests.live_rig:Narrow")
    assert replayed == events


@pytest.mark.parametrize("overload", ["block", "conflate", "drop_oldest"])
def test_a_slow_model_meets_the_policy_it_was_given(overload):
    async def run():
        async with exchange(trades(3000)) as (simulator, url):
            feed = live(url, queue=64, overload=overload)
            events = feed.events()
            got = [await anext(events)]
            if overload == "block":
                await until(lambda: feed.counters["blocked"])
            else:
                await until(lambda: simulator.sent == 3000)
                await until(lambda: feed.status()[0].state == "backoff")
            assert feed.waiting <= 66
            while not (isinstance(got[-1], Gap) and "ended" in got[-1].reason):
                got.append(await anext(events))
            await events.aclose()
            return got, feed.counters

    got, counters = asyncio.run(run())
    numbers = ids(got)
    assert numbers[-1] == 3000
    assert numbers == sorted(set(numbers))
    if overload == "block":
        assert numbers == list(range(1, 3001))
        return
    lost = 3000 - len(numbers)
    assert lost > 2000
    assert lost == counters["conflated"] + counters["dropped"]
    missed = sum(e.missed for e in got if isinstance(e, Gap) and e.missed)
    assert missed == counters["dropped"]
    assert (missed > 0) == (overload == "drop_oldest")


def test_other_tasks_have_their_turn_however_fast_the_consumer_is():
    async def run():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with exchange(trades(2000)) as (_, url):
            feed = live(url)
            events = feed.events()
            await anext(events)
            await until(lambda: feed.waiting > 1000)
            counting = asyncio.create_task(count())
            for _ in range(1000):
                await anext(events)
            counting.cancel()
            await events.aclose()
        return turns

    assert asyncio.run(run()) > 10


def test_fields_can_be_chosen():
    async def run():
        async with exchange(trades(1)) as (_, url):
            config = from_tree({
                "feed": feed_table(connector="binance", channel="trade", url=url),
                "stream": {"symbols": ["btcusdt"], "fields": ["side", "price"]},
            })  # fmt: skip
            feed = open_live(config)
            async with Listener(feed) as said:
                await until(heard(said, 1))
                return feed.fields, said.events[0].values

    assert asyncio.run(run()) == (("side", "price"), (-1.0, 1.5))


def test_a_feed_without_symbols_is_refused():
    with pytest.raises(ConfigError, match=r"stream\.symbols: expected symbols to"):
        open_live(settings("ws://127.0.0.1:1", ()))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "ws://",
        "127.0.0.1:80",
        "ws://h:port",
        "ws://[x",
        "ws://a..b",
    ],
)
def test_an_invalid_address_is_refused(url):
    with pytest.raises(ConfigError, match=r"feed\.options\.url: expected an address"):
        open_live(settings(url))


def test_a_field_the_channel_has_not_is_refused():
    config = from_tree({
        "feed": feed_table(connector="binance", channel="trade"),
        "stream": {"symbols": ["btcusdt"], "fields": ["bid"]},
    })  # fmt: skip
    with pytest.raises(FeedError, match="no such field"):
        open_live(config)


def test_an_unknown_venue_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'binance'"):
        open_live(settings("ws://127.0.0.1:1", connector="binanse"))
    with pytest.raises(ConfigError, match="expected a venue, was 'csv'"):
        open_live(settings("ws://127.0.0.1:1", connector="csv"))


def test_a_live_feed_is_not_replayed_but_says_what_can_be_done():
    with pytest.raises(ConfigError, match="was 'binance', which is live; `tail` "):
        open_feed(settings("ws://127.0.0.1:1"))


@pytest.mark.parametrize("name", VENUES)
def test_every_venue_of_our_own_is_live_and_tells_its_channels(name):
    assert is_live(name)
    assert all(fields for fields in channels(name).values())


def test_the_source_names_what_is_read_and_nothing_secret():
    feed = open_live(settings("ws://me:key@127.0.0.1:9/x?token=secret"))
    assert feed.source() == {
        "connector": "binance", "channel": "trade", "url": "ws://127.0.0.1:9/x",
        "topics": ["btcusdt"],
    }  # fmt: skip
    assert feed.total() is None
    assert "secret" not in str(feed.status())


def test_a_quiet_book_that_is_sent_again_keeps_its_connection():
    async def run():
        clock, book = StillClock(), dumps(bybit_book(0)).decode()

        async def repeat(socket):
            while True:
                await socket.send(book)
                await clock.sleep(3)

        async def quiet(socket, _):
            await socket.recv()
            repeating = asyncio.create_task(repeat(socket))
            await socket.wait_closed()
            repeating.cancel()

        async with server(quiet) as (url, connections):
            given = {"connector": "bybit", "channel": "orderbook.1"}
            feed = live(url, clock=clock, symbols=("BTCUSDT",), **given)
            async with Listener(feed) as listener:
                await until(heard(listener, 1))
                for i in range(100):
                    await clock.advance(3)
                    await until(lambda i=i: feed.counters["unchanged"] > i)
                return listener.events, len(connections)

    events, connections = asyncio.run(run())
    assert connections == len(events) == 1


@given(st.lists(st.text("AB", min_size=1, max_size=9)), st.integers(1, 9),
       st.none() | st.tuples(st.integers(1, 40), st.integers(0, 9)))  # fmt: skip
def test_topics_are_shared_out_within_the_limits(topics, most, characters):
    limits = Limits(topics=most, characters=characters)
    parts = shared_out(topics, limits)
    assert [topic for part in parts for topic in part] == topics
    for part in parts:
        assert len(part) <= most
        if characters and len(part) > 1:
            assert sum(len(t) + characters[1] for t in part) <= characters[0]


def test_ticks_of_streams_not_asked_for_are_counted_and_not_handed_on():
    async def venue(socket, _):
        await socket.recv()
        for number in range(1, 4):
            for topic in ("a", "b", "c"):
                await socket.send(tick(number, topic))
        await socket.wait_closed()

    async def run():
        async with server(venue) as (url, _):
            feed = told(url, "a", "c")
            async with Listener(feed) as listener:
                await until(lambda: feed.counters["unwanted"] == 3)
                await until(heard(listener, 6))
                return listener.events

    assert {event.stream for event in asyncio.run(run())} == {"a", "c"}


@pytest.mark.parametrize(("sharers", "at_once"), [(1, 300), (4, 75)])
def test_sharers_divide_what_a_host_allows(sharers, at_once):
    async def run():
        clock = StillClock()
        feed = Live(settings("ws://127.0.0.1:1"), clock=clock, sharers=sharers)
        (budget,) = feed._budgets.values()
        taking = [asyncio.create_task(budget.take()) for _ in range(301)]
        await settle()
        count = sum(task.done() for task in taking)
        for task in taking:
            task.cancel()
        return count

    assert asyncio.run(run()) == at_once


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_socket_rests_between_reads_unless_each_moment_is_recorded(
    tmp_path, is_recorded
):
    async def venue(socket, _):
        await socket.recv()
        for number in (1, 2):
            await socket.send(tick(number, "a"))
            await asyncio.wait_for(heard_of[number].wait(), 10)
        await socket.wait_closed()

    heard_of = {1: asyncio.Event(), 2: asyncio.Event()}

    async def run():
        records = (Recorder(tmp_path, quota=MIB),) if is_recorded else ()
        async with server(venue) as (url, _):
            feed = told(url, "a", records=records, pause=3_600.0)
            async with Listener(feed) as listener:
                await until(heard(listener, 1))
                heard_of[1].set()
                if is_recorded:
                    await until(heard(listener, 2))
                else:
                    await settle(500)
                heard_of[2].set()
                return ids(listener.events)

    assert asyncio.run(run()) == ([1, 2] if is_recorded else [1])


def test_a_feed_that_is_stopped_before_it_begins_gives_nothing():
    async def given():
        feed = live("ws://127.0.0.1:9")
        feed.stop()
        async with asyncio.timeout(20):
            return [batch async for batch in feed.batches(9)]

    assert asyncio.run(given()) == []


def test_a_feed_that_is_stopped_as_it_begins_ends():
    async def given():
        feed = live("ws://127.0.0.1:9")
        first = asyncio.create_task(anext(feed.batches(9), None))
        await asyncio.sleep(0)
        feed.stop()
        async with asyncio.timeout(20):
            return await first

    assert asyncio.run(given()) is None
