from __future__ import annotations

import asyncio
import json
import random
import socket as sockets
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sfm_stream.daemon.http import broadcast
from sfm_stream.daemon.http.broadcast import (
    BLOCKS,
    FRAME,
    UNSERVED,
    Client,
    Hub,
)
from sfm_stream.daemon.http.viewers import Gallery
from sfm_stream.records import Records
from sfm_stream.sinks import JsonlSink, Status
from tests.daemon_web import asked, forecasts, lines, mixed, served
from tests.live_rig import settle, until

ALL = '{"streams": [], "records": []}'


@asynccontextmanager
async def listening(url, wanted=ALL, **given):
    """A client that has subscribed, and was told so."""
    async with connect(url.replace("http", "ws") + "/records", **given) as socket:
        await socket.send(wanted)
        assert "subscribed" in json.loads(await socket.recv())
        yield socket


async def read(socket, count):
    """Read so many lines."""
    found = []
    while len(found) < count:
        found += lines([await socket.recv()])
    assert len(found) == count
    return found


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ('{"targets": ["mid", "x"]}', "targets: expected some of mid, was 'x'"),
        ('{"horizons": ["5"]}', "horizons: expected some of 1, 10, was '5'"),
    ],
)
def test_a_client_that_asks_for_what_no_model_has_is_told_so(wanted, told):
    async def run():
        gallery = Gallery()
        shape = SimpleNamespace(targets=("mid",), horizons=("1", "10"))
        gallery.watcher = SimpleNamespace(shape=shape)
        async with served(gallery=gallery) as (_, url):
            async with connect(url.replace("http", "ws") + "/records") as socket:
                await socket.send(wanted)
                refused = json.loads(await socket.recv())
                await socket.send('{"targets": ["mid"], "horizons": ["10"]}')
                return refused, json.loads(await socket.recv())

    refused, taken = asyncio.run(run())
    assert told in refused["error"]
    assert "subscribed" in taken


def test_a_client_gets_the_lines_of_the_sink(tmp_path):
    async def run():
        async with served() as (hub, url), listening(url) as socket:
            hub.publish(mixed())
            return await socket.recv()

    sink = JsonlSink(tmp_path / "lines")
    sink.write(mixed())
    sink.close()
    frame = asyncio.run(run())
    assert frame + "\n" == (tmp_path / "lines").read_text()
    assert [json.loads(line)["type"] for line in frame.split("\n")] == [
        "forecast",
        "rejected",
    ]


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({}, [7, 8]),
        ({"streams": ["a", "b"]}, [7, 8]),
        ({"streams": ["b"]}, [8]),
        ({"records": ["forecasts", "scores"]}, [7]),
        ({"streams": ["b"], "records": ["forecasts"]}, []),
        ({"streams": ["no such"]}, []),
    ],
)
def test_a_client_gets_what_it_wants(wanted, seqs):
    async def run():
        async with served() as (hub, url), listening(url, json.dumps(wanted)) as socket:
            async with listening(url) as other:  # the same block for both
                hub.publish(mixed())
                await read(other, 2)
            await socket.send("end")
            found = await read(socket, len(seqs) + 1)
            return [line.get("seq") for line in found]

    assert sorted(asyncio.run(run()), key=str) == [*seqs, None]


def test_decisions_about_all_streams_are_for_everyone():
    async def run():
        columns = {"seq": 3, "stream": 0, "time": 1, "action": 0}
        decision = Records(
            {"decisions": {name: np.array([v]) for name, v in columns.items()}},
            {"decisions.stream": ("", "a"), "decisions.action": ("freeze",)},
        )
        async with (
            served() as (hub, url),
            listening(url, '{"streams": ["b"]}') as socket,
        ):
            hub.publish(decision)
            return (await read(socket, 1))[0]

    assert asyncio.run(run())["action"] == "freeze"


def test_before_it_subscribes_a_client_gets_nothing():
    async def run():
        async with served() as (hub, url):
            async with connect(url.replace("http", "ws") + "/records") as socket:
                await until(lambda: len(hub) == 1)
                hub.publish(forecasts(0, 5))
                await settle()
                await socket.send(ALL)
                assert "subscribed" in await socket.recv()
                hub.publish(forecasts(5, 7))
                return [line["seq"] for line in await read(socket, 2)]

    assert asyncio.run(run()) == [5, 6]


def test_a_subscription_takes_the_place_of_the_one_before():
    async def run():
        async with (
            served() as (hub, url),
            listening(url, '{"streams": ["a"]}') as socket,
        ):
            await socket.send('{"streams": ["b", "c"]}')
            said = json.loads(await socket.recv())
            hub.publish(forecasts(0, 6, streams=3))
            return said, [line["stream"] for line in await read(socket, 4)]

    said, streams = asyncio.run(run())
    assert said["subscribed"]["streams"] == ["b", "c"]
    assert streams == ["b", "c", "b", "c"]


@pytest.mark.parametrize(
    ("garbage", "problem"),
    [
        ("", "truncated"),
        ("hello", "malformed"),
        ("[]", "expected `object`, got `array`".lower()),
        (b"\xff\xfe", "malformed"),
        ('"\xff', "truncated"),
        ('{"streams": "a"}', "$.streams"),
        ('{"streams": [1]}', "$.streams"),
        ('{"records": ["forecast"]}', "invalid enum value 'forecast'"),
        ('{"stream": ["a"]}', "unknown field `stream`"),
        ("{" * 9_999, "malformed"),
        ("[" * 60_000, "expected"),
        ('{"x": ' + "[" * 60_000, "recursion"),
        ('{"view": "stream", "stream": ' + "[" * 60_000, "recursion"),
    ],
)
def test_garbage_is_answered_and_harms_no_one(garbage, problem):
    async def run():
        async with served() as (hub, url), listening(url) as socket:
            async with connect(url.replace("http", "ws") + "/records") as other:
                await other.send(garbage)
                said = json.loads(await other.recv())
                await other.send(ALL)
                await other.recv()
                hub.publish(mixed())
                assert await read(socket, 2) == await read(other, 2)
                return said["error"]

    error = asyncio.run(run())
    assert error.startswith("subscription: ")
    assert problem in error.lower()
    assert error.endswith('send {"streams": [...], "records": [...]}, empty for all')


def test_records_of_another_thread_all_arrive_in_order():
    async def run():
        async with served() as (hub, url), listening(url) as socket:
            blocks = [forecasts(i, i + 7) for i in range(0, 700, 7)]
            thread = threading.Thread(target=lambda: [hub.publish(b) for b in blocks])
            thread.start()
            found = await read(socket, 700)
            thread.join()
            return [line["seq"] for line in found]

    assert asyncio.run(run()) == list(range(700))


def test_without_a_client_nothing_is_kept_and_the_loop_is_left_alone():
    async def run():
        hub, woken = Hub(), []
        hub._loop = None  # whoever wakes it fails
        for _ in range(10):
            hub.publish(forecasts(0, 3))
        woken.append(len(hub._blocks))
        return woken

    assert asyncio.run(run()) == [0]


def test_the_loop_is_woken_once_for_all_that_came_meanwhile():
    async def run():
        async with served() as (hub, url), listening(url) as socket:
            calls, wake = [], hub._loop.call_soon_threadsafe
            hub._loop.call_soon_threadsafe = lambda call: calls.append(wake(call))
            try:
                for i in range(50):
                    hub.publish(forecasts(i, i + 1))
                await read(socket, 50)
            finally:
                del hub._loop.call_soon_threadsafe
            return len(calls)

    assert asyncio.run(run()) == 1


def test_blocks_that_come_while_the_loop_is_away_are_bounded():
    async def run():
        async with served() as (hub, url), listening(url) as socket:
            for i in range(BLOCKS + 5):
                hub.publish(forecasts(i, i + 1))
            found = await read(socket, BLOCKS + 1)
            assert hub.state().dropped == 5
            hub.publish(forecasts(9, 10))
            return found, await read(socket, 1)

    found, after = asyncio.run(run())
    assert [line["dropped"] for line in found if "dropped" in line] == [5]
    assert [line["seq"] for line in after] == [9]


@asynccontextmanager
async def lazy(url):
    """A client with little room for what it does not read."""
    host, port = url.removeprefix("http://").split(":")
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    small.connect((host, int(port)))
    small.setblocking(False)
    async with listening(url, sock=small, max_queue=1, close_timeout=0.1) as socket:
        yield socket


async def drained(socket):
    """Read until the end."""
    async for _ in socket:
        pass


async def overrun(hub):
    """Publish until a client is so far behind that lines were dropped."""
    seq = 0
    while not hub.state().dropped:
        hub.publish(forecasts(seq, seq + 256, streams=3, experts=50))
        seq += 256
        await settle(5)
    return seq


def test_a_slow_client_gets_the_latest_forecasts_and_is_told_what_it_missed():
    async def run():
        async with served(capacity=1_000) as (hub, url):
            async with lazy(url) as slow, listening(url) as fast:
                reading = asyncio.create_task(drained(fast))
                published = await overrun(hub)
                missed = hub.state().dropped
                found = []
                while sum("seq" in line for line in found) < published - missed:
                    found += lines([await slow.recv()])
                assert sum(line.get("dropped", 0) for line in found) == missed
                await until(lambda: hub.state().queued == 0)
                reading.cancel()
                return published, [line for line in found if "seq" in line]

    published, found = asyncio.run(run())
    seqs = [line["seq"] for line in found]
    assert seqs == sorted(seqs)
    assert {line["seq"]: line["stream"] for line in found[-3:]} == {
        seq: "abc"[seq % 3] for seq in range(published - 3, published)
    }


def test_a_client_that_never_reads_is_cut_off_and_no_one_else():
    async def run():
        async with served(capacity=1_000, patience=0.05) as (hub, url):
            async with lazy(url) as stuck:
                await overrun(hub)
                await until(lambda: len(hub) == 0)
                dropped = hub.state().dropped
                async with listening(url) as other:
                    hub.publish(forecasts(0, 3))
                    await read(other, 3)
                assert hub.state().dropped == dropped > 0
                with pytest.raises(ConnectionClosed):
                    await drained(stuck)
                return (await asked(url, "/healthz"))[0]

    assert asyncio.run(run()) == 200


def test_a_client_that_goes_is_forgotten():
    async def run():
        async with served() as (hub, url):
            async with listening(url), listening(url, '{"streams": ["a"]}'):
                before = len(hub), len(hub._listening)
            await until(lambda: len(hub) == 0)
            hub.publish(forecasts(0, 3))
            return before, len(hub._listening), len(hub._blocks)

    assert asyncio.run(run()) == ((2, 2), 0, 0)


def test_clients_that_come_and_go_at_any_time_disturb_no_one():
    chance = random.Random(1)

    async def visit(url):
        async with connect(url.replace("http", "ws") + "/records") as socket:
            if chance.random() < 0.7:
                await socket.send(chance.choice([ALL, '{"streams": ["a"]}', "garbage"]))
            if chance.random() < 0.5:
                await (
                    socket.recv()
                ) if chance.random() < 0.7 else socket.transport.abort()

    async def run():
        async with served() as (hub, url), listening(url) as socket:
            visits = [asyncio.create_task(visit(url)) for _ in range(40)]
            for seq in range(200):
                hub.publish(forecasts(seq, seq + 1))
                await settle(2)
            found = await read(socket, 200)
            for task in visits:
                task.cancel()
            await asyncio.gather(*visits, return_exceptions=True)
            await until(lambda: len(hub) == 1)
            return [line["seq"] for line in found]

    assert asyncio.run(run()) == list(range(200))


def test_its_state_is_that_of_a_sink_that_never_fails():
    async def run():
        async with served() as (hub, url), listening(url) as socket:
            hub.publish(forecasts(0, 9))
            await read(socket, 9)
            return hub.state()

    assert asyncio.run(run()) == Status("websocket", "websocket", 0, 0, 0, 9, 0.0, "")


@given(
    capacity=st.integers(2, 20),
    batches=st.lists(st.lists(st.integers(0, 30), max_size=15), max_size=8),
)
def test_lines_for_a_client_are_bounded_and_none_is_lost_uncounted(capacity, batches):
    async def run():
        client, sent, number = Client(capacity), 0, 0
        for batch in batches:
            keys = [("s", "t", str(k)) if k < 25 else None for k in batch]
            client.add([(key, b"%d" % (number + i)) for i, key in enumerate(keys)])
            number, sent = number + len(batch), sent + len(batch)
            assert len(client) <= capacity
        taken = []
        while client.some.is_set():
            frame, count = client.take()
            found = [line for line in frame.split(b"\n") if not line.startswith(b"{")]
            assert len(found) == count <= FRAME
            taken += map(int, found)
        assert taken == sorted(taken)
        assert len(taken) + client.dropped == sent

    asyncio.run(run())


def test_clients_share_the_frames_of_a_second(monkeypatch):
    monkeypatch.setattr(broadcast, "FRAMES", 10)

    async def run():
        async with served() as (hub, url), listening(url) as socket:
            frames = []
            for seq in range(4):  # a first frame may go at once, the next one waits
                hub.publish(forecasts(seq, seq + 1))
                await settle(50)
            while len(lines(frames)) < 4:
                frames.append(await socket.recv())
            return frames

    assert len(asyncio.run(run())) <= 2


def test_when_lines_are_too_many_the_latest_forecasts_stay():
    async def run():
        client = Client(10)
        keys = [("s", "t", str(i % 3)) for i in range(9)]
        client.add([*((key, b"%d" % i) for i, key in enumerate(keys)), (None, b"9")])
        client.add([(("s", "t", "1"), b"10")])
        return client.take(), client.take()

    assert asyncio.run(run()) == ((b'{"dropped":8}\n6\n8\n10', 3), (b"", 0))


def test_of_a_block_that_cannot_be_encoded_clients_are_told_and_the_next_one_comes():
    failed = []
    torn = forecasts(0, 5)
    del torn.columns["forecasts"]["mean"]

    async def run():
        async with served(failed=failed.append) as (hub, url), listening(url) as socket:
            for block in (torn, forecasts(5, 7), torn, forecasts(7, 8)):
                hub.publish(block)
            found = []
            async with asyncio.timeout(20):
                while not found or found[-1].get("seq") != 7:
                    found += lines([await socket.recv()])
            return found

    found = asyncio.run(run())
    assert [line["seq"] for line in found if "seq" in line] == [5, 6, 7]
    assert sum(line.get("dropped", 0) for line in found) == 2
    assert [type(error) for error in failed] == [KeyError, KeyError]


def test_a_view_that_fails_ends_with_a_reason_and_others_go_on():
    failed = []

    class Broken(Gallery):
        async def show(self, wish, send):
            del wish, send
            raise ValueError("no picture")

    async def run():
        gallery = Broken()
        async with served(failed=failed.append, gallery=gallery) as (hub, url):
            async with listening(url) as other, listening(url) as socket:
                await socket.send('{"view": "overview"}')
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                hub.publish(forecasts(0, 1))
                return closed.value.rcvd, await read(other, 1)

    close, found = asyncio.run(run())
    assert (close.code, close.reason) == (1011, UNSERVED)
    assert [line["seq"] for line in found] == [0]
    assert len(failed) == 1
