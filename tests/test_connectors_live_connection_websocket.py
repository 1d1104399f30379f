"""One connection on a real socket: handshake, subscriptions, pings, and its end."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from contextlib import aclosing
from http import HTTPStatus

import pytest
from websockets.frames import Frame, Opcode

from connectors.live.connection.websocket import SLICE
from connectors.live.timing import Clock
from sfm_stream.errors import FeedError
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
    trades,
    until,
)


async def asked(socket):
    """Give the topics of the next subscription."""
    return json.loads(await socket.recv())["ask"]


async def talk(socket, *frames):
    for frame in frames:
        await socket.send(frame if isinstance(frame, str) else json.dumps(frame))


def test_frames_become_events_with_stamps_of_their_receipt():
    async def run():
        async with exchange(trades(5)) as (_, url), Listener(live(url)) as listener:
            await until(heard(listener, 6))
            return listener.events

    *ticks, gap = asyncio.run(run())
    assert ids(ticks) == [1, 2, 3, 4, 5]
    stamps = [t.received for t in ticks]
    assert stamps == sorted(stamps)
    assert stamps[0] > 1.7e18
    assert gap.reason == "closed by the venue: 1001 going away, the capture has ended"


def test_topics_are_asked_for_again_one_at_a_time_when_one_spoils_the_rest():
    questions = []

    async def venue(socket, _):
        questions.append(await asked(socket))
        await talk(socket, {"refuse": ""})
        while True:
            (topic,) = await asked(socket)
            questions.append([topic])
            await talk(socket, {"refuse": ""} if topic == "bad" else {"ack": topic})
            if topic == "c":
                await talk(socket, tick(1, "a"), tick(1, "c"))

    async def run():
        feed = None
        async with server(venue) as (url, _):
            feed = told(url, "a", "bad", "c")
            async with Listener(feed) as listener:
                await until(heard(listener, 2))
                return listener.events, feed.status()[0].topics

    events, topics = asyncio.run(run())
    assert questions == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert [e.stream for e in events] == ["a", "c"]
    assert {name: state for name, (state, _) in topics.items()} == {
        "a": "live", "bad": "refused", "c": "live",
    }  # fmt: skip


def test_a_topic_without_an_answer_is_asked_for_again_after_the_time_allowed():
    questions = []

    async def venue(socket, _):
        questions.append(await asked(socket))
        await talk(socket, {"ack": "a"})
        questions.append(await asked(socket))
        await talk(socket, {"ack": "b"})
        await socket.wait_closed()

    async def run():
        clock = StillClock()
        async with server(venue) as (url, _):
            feed = told(url, "a", "b", clock=clock, stale_after="1h")
            async with Listener(feed):
                await until(lambda: questions)
                await until(lambda: feed.status()[0].topics["a"][0] != "pending")
                await clock.advance(9.9)
                assert len(questions) == 1
                await clock.advance(0.2)
                await until(lambda: feed.status()[0].topics["b"][0] != "pending")

    asyncio.run(run())
    assert questions == [["a", "b"], ["b"]]


def test_a_venue_that_never_answers_is_not_asked_twice_and_data_confirms():
    questions = []

    async def venue(socket, _):
        questions.append(await asked(socket))
        await talk(socket, tick(1, "a"))
        questions.append(await asked(socket))

    async def run():
        clock = StillClock()
        async with server(venue) as (url, _):
            feed = told(url, "a", "b", clock=clock, stale_after="1h")
            async with Listener(feed) as listener:
                await until(heard(listener, 1))
                await clock.advance(60)
                topics = feed.status()[0].topics
                assert topics["a"][0] == "live"
                assert topics["b"][0] == "pending"

    asyncio.run(run())
    assert questions == [["a", "b"]]


def test_all_refused_is_fatal_and_says_why():
    async def venue(socket, _):
        for topic in await asked(socket):
            await talk(socket, {"refuse": topic})
        await socket.wait_closed()

    async def run():
        async with server(venue) as (url, _):
            async with Listener(told(url, "a", "b")) as listener:
                return await listener.failed()

    error = asyncio.run(run())
    assert isinstance(error, FeedError)
    assert "every subscription was refused: no such topic" in str(error)


def test_pings_of_the_venue_s_own_are_sent_and_answers_are_no_data():
    async def venue(socket, _):
        await asked(socket)
        await talk(socket, tick(1))
        async for frame in socket:
            sent.append(json.loads(frame))
            await talk(socket, {"alive": 1})

    sent = []

    async def run():
        clock = StillClock()
        async with server(venue) as (url, _):
            feed = told(url, venue="Pinged", clock=clock, stale_after="8s")
            async with Listener(feed) as listener:
                await until(heard(listener, 1))
                await clock.advance(5.1)
                await until(lambda: len(sent) == 1)
                await clock.advance(5)
                await until(lambda: len(sent) == 2)
                return listener.state(), listener.events

    state, events = asyncio.run(run())
    assert sent == [{"ping": 1}, {"ping": 1}]
    assert state == "stale"  # for the pongs did not count
    assert len(events) == 1


def test_no_more_is_sent_in_a_second_than_the_venue_takes():
    questions = []

    async def venue(socket, _):
        questions.append(await asked(socket))
        await talk(socket, {"refuse": ""})
        while True:
            questions.append(await asked(socket))
            await talk(socket, {"ack": questions[-1][0]})

    async def run():
        clock, counts = StillClock(), []
        async with server(venue) as (url, _):
            feed = told(url, *"abcde", venue="Pinged", clock=clock, stale_after="1h")
            async with Listener(feed):
                for due in (2, 4, 6):
                    await until(lambda due=due: len(questions) >= due)
                    await settle(200)
                    counts.append(len(questions))
                    await clock.advance(1)
        return counts

    assert asyncio.run(run()) == [2, 4, 6]


def test_snapshots_are_history_counted_and_not_passed_on():
    async def venue(socket, _):
        await asked(socket)
        await talk(socket, {"history": "a"}, {"history": "a"}, tick(1))
        await socket.wait_closed()

    async def run():
        async with server(venue) as (url, _):
            feed = told(url)
            async with Listener(feed) as listener:
                await until(heard(listener, 1))
                return listener.events, feed.counters["history"]

    events, history = asyncio.run(run())
    assert ids(events) == [1]
    assert history == 2


def test_a_frame_larger_than_allowed_costs_the_connection_and_is_a_gap():
    async def run():
        feed_of = exchange(trades(30), "oversize:5@10")
        async with feed_of as (_, url), Listener(live(url)) as listener:
            await until(lambda: any(isinstance(e, Gap) for e in listener.events))
            return listener.events

    events = asyncio.run(run())
    assert ids(events[:9]) == list(range(1, 10))
    assert "1009" in events[9].reason


def test_garbage_bytes_are_counted_and_cost_nothing():
    async def run():
        frames = trades(200)
        async with exchange(frames, "garbage%0.3") as (_, url):
            feed = live(url)
            async with Listener(feed) as listener:
                await until(heard(listener, 201))
                return listener.events, feed.counters["garbage"]

    events, garbage = asyncio.run(run())
    assert ids(events) == list(range(1, 201))
    assert 30 < garbage < 90


@pytest.mark.parametrize("status", [401, 404])
def test_a_handshake_that_will_never_succeed_ends_the_feed(status):
    async def run():
        async with exchange(trades(1), f"http:{status}") as (simulator, url):
            async with Listener(live(url)) as listener:
                return await listener.failed(), simulator.connections

    error, connections = asyncio.run(run())
    assert f"answered HTTP {status}" in str(error)
    assert connections == 1


@pytest.mark.parametrize(
    ("status", "least"), [(503, 0), (429, 60), (418, 120), (403, 60)]
)
def test_a_handshake_that_may_succeed_later_is_tried_again(status, least):
    async def run():
        clock = StillClock()
        async with exchange(trades(3), f"http:{status}@1") as (simulator, url):
            async with Listener(live(url, clock=clock)) as listener:
                await until(lambda: listener.state() == "backoff")
                waited = 0
                while simulator.connections == 1:
                    await clock.advance(1)
                    waited += 1
                    await settle(200)
                await until(heard(listener, 3))
                return waited, ids(listener.events)

    waited, numbers = asyncio.run(run())
    assert numbers == [1, 2, 3]
    assert least <= waited <= least + 3


def test_retry_after_is_heeded():
    def refuse(connection, _):
        answer = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        answer.headers["Retry-After"] = "90"
        return answer

    async def run():
        clock = StillClock()
        async with server(None, process_request=refuse) as (url, _):
            async with Listener(told(url, clock=clock)) as listener:
                await until(lambda: listener.state() == "backoff")
                await clock.advance(89)
                assert listener.state() == "backoff"
                await clock.advance(2)
                assert listener.feed.counters["connecting"] == 2

    asyncio.run(run())


def test_a_certificate_that_cannot_be_verified_is_fatal(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = "/CN=127.0.0.1"
    try:
        subprocess.run(  # noqa: S603 a throw-away certificate
            ["/usr/bin/env", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", subject, "-keyout", key, "-out", cert],
            check=True, capture_output=True,
        )  # fmt: skip
    except subprocess.CalledProcessError:
        pytest.skip("openssl is not here to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def run():
        async with server(None, ssl=context) as (url, _):
            async with Listener(told(url.replace("ws:", "wss:"))) as listener:
                return await listener.failed()

    assert "CERTIFICATE_VERIFY_FAILED" in str(asyncio.run(run()))


def test_stopping_closes_the_connection_properly():
    async def run():
        async with exchange(trades(3), play=True, loop=True, speed=1.0) as (_, url):
            async with Listener(live(url)) as listener:
                await until(heard(listener, 2))
            return listener.state()

    assert asyncio.run(run()) == "closed"


def test_a_fatal_end_lets_what_came_before_be_read():
    async def venue(socket, number):
        await asked(socket)
        await talk(socket, tick(number))
        await socket.close(1008)

    async def run():
        answers = iter([None, HTTPStatus.NOT_FOUND])

        def once(connection, _):
            status = next(answers)
            return status and connection.respond(status, "")

        clock = StillClock()
        async with server(venue, process_request=once) as (url, _):
            async with Listener(told(url, clock=clock)) as listener:
                await until(lambda: listener.state() == "backoff")
                await clock.advance(5)
                return await listener.failed(), listener.events

    error, events = asyncio.run(run())
    assert "HTTP 404" in str(error)
    assert [type(e) for e in events] == [Tick, Gap]


class Passing(Clock):
    """A clock on which each look takes as long as half of a slice of reading."""

    def __init__(self):
        self.time = 0.0

    def elapsed(self):
        self.time += SLICE / 2
        return self.time


def test_a_flood_of_frames_leaves_the_consumer_its_turn():
    count = 1_000

    async def venue(socket, _):
        await asked(socket)
        frames = (Frame(Opcode.TEXT, tick(n + 1).encode()) for n in range(count))
        socket.transport.write(b"".join(f.serialize(mask=False) for f in frames))
        await socket.wait_closed()

    async def run():
        taken, waited = 0, []
        async with server(venue) as (url, _):
            feed = told(url, "a", clock=Passing(), gather=0.0, stale_after="10h")
            async with aclosing(feed.batches(8)) as batches:
                async for batch in batches:
                    taken += len(batch)
                    waited.append(feed.waiting)
                    if taken == count:
                        break
        return waited

    # a reader that reads on while frames are at hand fills the queue with all of them
    assert max(asyncio.run(run())) < count / 2
