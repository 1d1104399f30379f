"""How a shard is kept connected: backoff, mute venues, planned and forced switches."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from connectors.live.connection.states import State
from connectors.live.connection.supervisor import GRACE
from sfm_stream.events import Gap, Tick
from tests.live_rig import (
    Listener,
    StillClock,
    exchange,
    heard,
    ids,
    live,
    server,
    settle,
    tick,
    told,
    trade,
    trades,
    until,
)


def gaps(events):
    return [(e.stream, e.reason) for e in events if isinstance(e, Gap)]


async def pass_time(clock, seconds, step=0.5):
    """Let time pass in steps that leave sockets the time they need."""
    for _ in range(round(seconds / step)):
        await clock.advance(step)
        await settle(100)


class Exchange:
    """A venue of one stream: all who are connected hear the same, from when they came.

    Attributes:
        sockets: those who asked, in the order of their coming.
        deaf: numbers of connections that are never told anything.
    """

    def __init__(self, *deaf):
        self.sockets, self.deaf = [], deaf

    async def __call__(self, socket, number):
        asked = json.loads(await socket.recv())["ask"]
        for topic in asked:
            await socket.send(json.dumps({"ack": topic}))
        if number not in self.deaf:
            self.sockets.append(socket)
        await socket.wait_closed()

    async def say(self, *frames):
        for socket in tuple(self.sockets):
            with suppress(ConnectionClosed):
                for frame in frames:
                    await socket.send(frame)


@pytest.mark.parametrize("seed", range(5))
def test_a_venue_that_accepts_and_closes_is_tried_ten_times_a_minute_at_most(seed):
    async def run():
        clock = StillClock()
        async with exchange(trades(1), "accept-close") as (simulator, url):
            feed = live(url, clock=clock)
            feed._random.seed(seed)
            async with Listener(feed) as listener:
                while clock.time < 60:
                    tried = simulator.connections
                    await until(lambda: listener.state() == "backoff")
                    await clock.advance(clock.next())
                    while listener.state() == "backoff":
                        await clock.advance(clock.next())
                    await until(lambda tried=tried: simulator.connections > tried)
                return simulator.connections, listener.events

    connections, events = asyncio.run(run())
    assert 4 <= connections <= 10
    assert len(gaps(events)) == 1  # one loss, however many tries


def test_a_mute_venue_is_stale_first_then_replaced_and_the_loss_is_told():
    async def run():
        clock, states = StillClock(), []
        async with exchange(trades(5), "mute-after-ack@1") as (simulator, url):
            feed = live(url, clock=clock, stale_after="10s")
            async with Listener(feed) as listener:
                await until(lambda: listener.state() == "subscribing")
                await pass_time(clock, 9.5)
                states.append(listener.state())
                await pass_time(clock, 2)
                states.append(listener.state())
                await pass_time(clock, 8)
                assert simulator.connections == 1
                await pass_time(clock, 4)
                await until(heard(listener, 6))
                return states, listener.events, simulator.connections

    states, events, connections = asyncio.run(run())
    assert states == ["subscribing", "stale"]
    assert gaps(events[:1])[0][1].startswith("no data for 2")
    assert ids(events) == [1, 2, 3, 4, 5]
    assert connections == 2


def test_a_venue_gone_mute_in_the_middle_is_noticed():
    async def run():
        clock = StillClock()
        async with exchange(trades(8), "mute@4") as (_, url):
            feed = live(url, clock=clock, stale_after="10s")
            async with Listener(feed) as listener:
                await until(heard(listener, 4))
                await pass_time(clock, 24)
                await until(heard(listener, 10))
                return listener.events

    events = asyncio.run(run())
    assert ids(events) == list(range(1, 9))
    assert isinstance(events[4], Gap)


def test_a_dropped_connection_is_a_gap_and_the_next_goes_on():
    async def run():
        clock = StillClock()
        frames = trades(20)
        async with exchange(frames, "drop@7") as (_, url):
            async with Listener(live(url, clock=clock)) as listener:
                await until(lambda: listener.state() == "backoff")
                await clock.advance(3)
                await until(lambda: 20 in ids(listener.events))
                return listener.events

    events = asyncio.run(run())
    assert set(ids(events)) <= set(range(1, 21))
    assert ids(events)[-1] == 20
    assert gaps(events)[0] == ("", "broken off")


def test_trades_lost_between_connections_are_a_gap_of_their_stream_too():
    async def run():
        clock = StillClock()
        async with exchange(trades(20), "close:1012@7", "missing:3@8") as (_, url):
            async with Listener(live(url, clock=clock)) as listener:
                await until(lambda: listener.state() == "backoff")
                await clock.advance(3)
                await until(heard(listener, 19))
                return listener.events

    events = asyncio.run(run())
    assert ids(events) == [1, 2, 3, 4, 5, 6, 7, *range(11, 21)]
    assert gaps(events[7:8]) == [
        ("", "closed by the venue: 1012 service restart, simulated")
    ]
    assert events[8].missed == 3
    assert events[8].stream == "btcusdt"


def test_after_a_steady_connection_the_first_try_comes_at_once():
    async def run():
        clock, venue = StillClock(), Exchange()
        async with server(venue) as (url, connections):
            async with Listener(told(url, clock=clock)) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1))
                await until(heard(listener, 1))
                await clock.advance(31)
                await connections[0].close(1012)
                await until(lambda: listener.state() == "backoff")
                await clock.advance(0)
                await until(lambda: len(venue.sockets) == 2)
                await venue.say(tick(2))
                await until(heard(listener, 3))
                await connections[1].close(1012)
                await until(lambda: listener.state() == "backoff")
                await clock.advance(0.4)
                return len(connections)

    assert asyncio.run(run()) == 2


def test_the_states_are_passed_through_in_order():
    async def run():
        clock, venue, states = StillClock(), Exchange(), []
        async with server(venue) as (url, connections):
            feed = told(url, clock=clock, stale_after="10s")
            assert feed.status()[0].state == "init"
            supervisor = feed._supervisors[0]
            enter = supervisor._enter

            def noted(step):
                before = supervisor.state
                enter(step)
                if supervisor.state is not before:
                    states.append(supervisor.state)

            supervisor._enter = noted
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1))
                await until(heard(listener, 1))
                await pass_time(clock, 12)
                await venue.say(tick(2))
                await until(heard(listener, 2))
                await pass_time(clock, 2)
                await connections[0].close()
                await until(lambda: listener.state() == "backoff")
        return states

    assert asyncio.run(run()) == [
        State.CONNECTING, State.SUBSCRIBING, State.LIVE, State.STALE, State.LIVE,
        State.BACKOFF, State.CLOSED,
    ]  # fmt: skip


@pytest.mark.parametrize("venue_class", ["Mortal", "Told"])
def test_a_planned_switch_at_a_thousand_a_second_loses_and_doubles_nothing(venue_class):
    async def run():
        clock, venue = StillClock(), Exchange()
        async with server(venue) as (url, _):
            feed = told(url, venue=venue_class, clock=clock, stale_after="1h")
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                number = 0

                async def second():
                    nonlocal number
                    for _ in range(10):
                        await venue.say(*map(tick, range(number + 1, number + 101)))
                        number += 100
                        await clock.advance(0.1)
                        await settle(200)

                await second()
                if venue_class == "Told":
                    await venue.say(json.dumps({"leave": "soon"}))
                else:
                    await clock.advance(91)
                for _ in range(12):
                    await second()
                await until(heard(listener, number))
                await settle(200)
                return ids(listener.events), number, listener.events, feed.counters

    numbers, last, events, counters = asyncio.run(run())
    assert counters["replaced"] == 1
    assert gaps(events) == []
    assert numbers == list(range(1, last + 1))


def test_what_only_the_faster_new_connection_has_brought_comes_after_the_switch():
    async def run():
        clock, venue = StillClock(), Exchange()
        async with server(venue) as (url, _):
            feed = told(url, clock=clock, stale_after="1h")
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1), json.dumps({"leave": "soon"}))
                await until(lambda: len(venue.sockets) == 2)
                await venue.say(tick(2))
                old, new = venue.sockets
                for number in (3, 4, 5):
                    await new.send(tick(number))
                await old.send(tick(3))
                await until(heard(listener, 3))
                before = ids(listener.events)
                await pass_time(clock, 3)
                await until(lambda: feed.counters["replaced"])
                await new.send(tick(6))
                await until(heard(listener, 6))
                return before, listener.events

    before, events = asyncio.run(run())
    assert before == [1, 2, 3]  # the new one's frames are held meanwhile
    assert ids(events) == [1, 2, 3, 4, 5, 6]
    assert gaps(events) == []


def test_a_replacement_that_stays_mute_is_given_up_and_the_old_one_kept():
    async def run():
        clock, venue = StillClock(), Exchange(2)
        async with server(venue) as (url, connections):
            feed = told(url, clock=clock, stale_after="1h")
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1), json.dumps({"leave": "soon"}))
                await until(lambda: len(connections) == 2)
                for number in range(2, 40):
                    await venue.say(tick(number))
                    await pass_time(clock, 1, step=1)
                await until(lambda: len(connections) == 3)
                for number in range(40, 50):
                    await venue.say(tick(number))
                    await pass_time(clock, 1, step=1)
                await until(heard(listener, 49))
                return ids(listener.events), listener.events, feed.counters

    numbers, events, counters = asyncio.run(run())
    assert counters["not replaced"] == 1
    assert counters["replaced"] == 1
    assert numbers == list(range(1, 50))
    assert gaps(events) == []


def test_a_venue_that_leaves_before_it_can_be_replaced_is_a_gap():
    async def run():
        clock, venue = StillClock(), Exchange(2)
        async with server(venue) as (url, connections):
            feed = told(url, clock=clock, stale_after="1h")
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1), json.dumps({"leave": "now"}))
                await until(lambda: len(connections) == 2)
                await settle(200)
                await connections[0].close(1012)
                await until(heard(listener, 2))
                await connections[1].send(tick(5))
                await until(heard(listener, 3))
                return listener.events, len(connections)

    events, connections = asyncio.run(run())
    assert [type(e) for e in events] == [Tick, Gap, Tick]
    assert ids(events) == [1, 5]
    assert connections == 2


def test_a_topic_gone_mute_is_lost_alone_and_the_others_go_on():
    async def run():
        clock, venue = StillClock(), Exchange()
        async with server(venue) as (url, connections):
            feed = told(url, "a", "b", clock=clock, stale_after="10s")
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1, "a"), tick(1, "b"))
                for number in range(2, 20):
                    await venue.say(tick(number, "a"))
                    await pass_time(clock, 1, step=1)
                stale = feed.status()[0].topics["b"][0]
                for number in range(20, 30):
                    await venue.say(tick(number, "a"))
                    await pass_time(clock, 1, step=1)
                    if len(connections) == 2:
                        await venue.say(tick(number, "b"))
                await until(lambda: feed.counters["replaced"] == 1)
                await settle(200)
                return stale, listener.events, feed.status()[0].topics

    stale, events, topics = asyncio.run(run())
    assert stale == "stale"
    assert gaps(events) == [("b", "b: no data for 21 s")]
    numbers = [e.values[0] for e in events if e.stream == "a"]
    assert numbers == list(range(1, 30))
    assert topics["a"][0] == topics["b"][0] == "live"


def test_a_reader_that_waits_for_the_model_is_no_mute_venue():
    async def run():
        clock = StillClock()
        async with exchange(trades(50)) as (_, url):
            feed = live(url, clock=clock, stale_after="10s", queue=8)
            events = feed.events()
            first = await anext(events)
            await until(lambda: feed.counters["blocked"])
            await pass_time(clock, 60, step=1)
            assert feed.status()[0].state == "live"
            rest = [await anext(events) for _ in range(50)]
            await events.aclose()
            return [first, *rest]

    events = asyncio.run(run())
    assert ids(events) == list(range(1, 51))
    assert isinstance(events[50], Gap)


def test_connections_gaps_and_odd_frames_are_told_of_in_the_status():
    async def run():
        async def odd(socket, number):
            await socket.recv()
            await socket.send(trade(number).decode())
            await socket.send("garbage")
            if number == 1:
                await socket.close(1001, "maintenance")
            await socket.wait_closed()

        async with server(odd) as (url, _):
            feed = live(url, stale_after="1s")
            async with Listener(feed) as listener:
                await until(lambda: feed.counters["garbage"] == 2)
                await until(
                    lambda: (
                        [x.kind for x in feed.status()[0].happened].count("live")
                        == feed.counters["garbage"]
                        == 2
                    )
                )
                await until(lambda: "not taken" in str(feed.status()[0].happened))
                return feed.status()[0], listener.events

    status, events = asyncio.run(run())
    kinds = [one.kind for one in status.happened]
    assert [kind for kind in kinds if kind != "not taken"][:4] == [
        "live",
        "closed",
        "gap",
        "live",
    ]
    closed = next(one for one in status.happened if one.kind == "closed")
    assert "maintenance" in closed.detail
    assert status.counters["garbage"] == 2
    assert status.counters["ended"] == 1
    assert len(gaps(events)) >= 1


def test_why_a_connection_never_opens_is_told_once_and_why_it_is_given_up():
    faults = ("http:503@1", "http:503@2", "http:500@3", "http:401@4")

    async def run():
        clock = StillClock()
        async with exchange(trades(1), *faults) as (_, url):
            async with Listener(live(url, clock=clock)) as listener:
                await until(lambda: listener.state() == "backoff")
                assert listener.feed.status()[0].alarm == ""
                while listener.state() != "closed":
                    await pass_time(clock, 1)
                return listener.feed.status()[0]

    status = asyncio.run(run())
    assert [(one.kind, one.detail) for one in status.happened] == [
        ("not opened", "answered HTTP 503 Service Unavailable"),
        ("not opened", "answered HTTP 500 Internal Server Error"),
        ("not opened", "answered HTTP 401 Unauthorized"),
        ("given up", "answered HTTP 401 Unauthorized"),
    ]
    assert status.state == "closed"
    reason = "answered HTTP 401 Unauthorized"
    assert status.alarm == f"given up, as no further try can help: {reason}"


def test_a_connection_that_is_down_for_a_minute_is_an_alarm_until_it_is_up():
    async def run():
        clock = StillClock()
        faults = [f"http:503@{number}" for number in range(1, 60)]
        async with exchange(trades(500), *faults, play=False) as (simulator, url):
            async with Listener(live(url, clock=clock)) as listener:
                (found,) = listener.feed.status()
                alarms = [found.alarm]
                while clock.time < 61:
                    await pass_time(clock, 1)
                (found,) = listener.feed.status()
                alarms.append(found.alarm)
                simulator.connections = 100
                async with asyncio.timeout(60):
                    while listener.state() != "subscribing":
                        await pass_time(clock, 1)
                await pass_time(clock, 15)
                (last,) = listener.feed.status()
                return [*alarms, last.alarm], found.happened

    alarms, happened = asyncio.run(run())
    assert alarms[0] == alarms[2] == ""
    assert alarms[1].startswith("down for 6")
    assert alarms[1].endswith("answered HTTP 503 Service Unavailable")
    assert [one.kind for one in happened] == ["not opened", "down"]


def test_the_old_connection_is_heard_for_a_grace_after_the_new_one_speaks():
    async def run():
        clock, venue = StillClock(), Exchange()
        async with server(venue) as (url, _):
            feed = told(url, clock=clock, stale_after="1h")
            async with Listener(feed) as listener:
                await until(lambda: venue.sockets)
                await venue.say(tick(1), json.dumps({"leave": "soon"}))
                await until(lambda: len(venue.sockets) == 2)
                old, new = venue.sockets
                await new.send(tick(3))
                await pass_time(clock, GRACE / 2, step=GRACE / 4)
                assert not feed.counters["replaced"]
                await old.send(tick(2))
                await until(heard(listener, 2))
                await pass_time(clock, GRACE)
                await until(heard(listener, 3))
                return listener.events

    events = asyncio.run(run())
    assert ids(events) == [1, 2, 3]
    assert gaps(events) == []
