from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from connectors.capture.format import Kind, mark, received
from connectors.capture.replies import KNOWN
from connectors.capture.simulator import TURN, Ids, Simulator, Tape, serve_until_played
from sfm_stream.errors import ConfigError, FeedError
from tests.live_rig import StillClock, exchange, settle, trade, trades, until

ASK = json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})


async def listened(url, ask=ASK):
    """Subscribe and give all that came, and the code of the end."""
    came = []
    async with connect(url) as socket:
        try:
            if ask:
                await socket.send(ask)
            while True:
                came.append(await socket.recv(decode=False))
        except ConnectionClosed as e:
            return came, e.rcvd and e.rcvd.code


def play(frames, *faults, ask=ASK, **given):
    async def run():
        async with exchange(frames, *faults, **given) as (_, url):
            return await listened(url, ask)

    return asyncio.run(run())


def test_a_subscription_is_confirmed_and_the_capture_follows():
    came, code = play(trades(5))
    assert json.loads(came[0]) == {"result": None, "id": 1}
    assert came[1:] == [frame for _, frame in trades(5)]
    assert code == 1001


def test_only_what_was_asked_for_is_sent():
    came, _ = play(trades(3, symbols=("btcusdt", "ethusdt")))
    assert came[1:] == [trade(i) for i in (1, 2, 3)]


def test_a_plain_exchange_sends_all_unasked():
    came, _ = play(trades(3), venue="plain", ask=None)
    assert came == [frame for _, frame in trades(3)]


def test_the_pace_is_the_recorded_one_times_the_speed():
    async def run():
        clock = StillClock()
        frames = trades(10, every=10**9)
        async with exchange(frames, clock=clock, speed=2.0) as (simulator, url):
            listening = asyncio.create_task(listened(url))
            await until(lambda: simulator.sent == 1)
            sent = []
            for _ in range(9):
                await clock.advance(0.5)
                await settle()
                sent.append(simulator.sent)
            await listening
            return sent

    assert asyncio.run(run()) == list(range(2, 11))


def test_who_cannot_keep_the_pace_gives_others_their_turn():
    async def run():
        frames = trades(1_000, every=1)
        async with exchange(frames, venue="plain", speed=1e6) as (simulator, url):
            turns = set()
            listening = asyncio.create_task(listened(url, ask=None))
            while not listening.done():
                turns.add(simulator.sent)
                await asyncio.sleep(0)
            return turns

    assert len(asyncio.run(run())) > 1_000 / (2 * TURN)


def test_at_full_speed_the_capture_waits_for_someone_to_listen():
    async def run():
        async with exchange(trades(50), "close@20") as (simulator, url):
            before = simulator.sent
            first, code = await listened(url)
            await settle(200)
            halfway = simulator.sent
            second, _ = await listened(url)
            return before, len(first), code, halfway, len(second)

    assert asyncio.run(run()) == (0, 21, 1001, 20, 31)


def test_a_capture_that_loops_goes_on_in_numbers_and_time():
    async def run():
        simulator = Simulator(trades(3, 10), KNOWN["binance"], loop=True)
        turns = simulator._timed()
        return [next(turns) for _ in range(7)]

    said = asyncio.run(run())
    assert [json.loads(frame)["data"]["t"] for _, frame in said] == list(range(10, 17))
    stamps = [json.loads(frame)["data"]["T"] for _, frame in said]
    assert stamps == list(range(stamps[0], stamps[0] + 7))
    assert [time for time, _ in said] == pytest.approx(
        [0.0, 0.001, 0.002, 0.002, 0.003, 0.004, 0.004]
    )


def test_numbers_of_each_topic_rise_by_their_own_range():
    ids = Ids(KNOWN["binance"])
    for number, symbol in ((1, "a"), (100, "b"), (3, "a")):
        ids.renewed(trade(number, symbol), 0)
    assert json.loads(ids.renewed(trade(1, "a"), 2))["data"]["t"] == 7
    assert json.loads(ids.renewed(trade(100, "b"), 2))["data"]["t"] == 102
    assert Ids(KNOWN["plain"]).renewed(trade(1), 5) == trade(1)


@pytest.mark.parametrize(
    ("fault", "count", "code"),
    [
        ("close:4000@3", 4, 4000), ("drop@3", None, None),
        ("accept-close:1008", 0, 1008), ("garbage@3", 7, 1001),
        ("duplicate@3", 7, 1001), ("missing:2@3", 4, 1001),
    ],
)  # fmt: skip
def test_a_fault_ends_a_connection_after_some_frames(fault, count, code):
    async def run():
        async with exchange(trades(5), fault) as (_, url):
            return await asyncio.wait_for(listened(url), 10)

    came, ended = asyncio.run(run())
    assert ended == code
    assert count is None or len(came) == count


def test_the_mute_stay_connected_and_hear_nothing():
    async def run():
        async with exchange(trades(5), "mute-after-ack@1") as (simulator, url):
            async with connect(url) as socket:
                await socket.send(ASK)
                ack = json.loads(await socket.recv())
                await settle(200)
                assert simulator.sent == 0
                await socket.ping()
                return ack, len(socket.recv_messages.frames)

    ack, waiting = asyncio.run(run())
    assert ack["id"] == 1
    assert waiting == 0


def test_slow_delivery_waits():
    async def run():
        clock = StillClock()
        async with exchange(trades(5), "slow:3@2", clock=clock) as (simulator, url):
            listening = asyncio.create_task(listened(url))
            await until(lambda: clock.next() == 3)
            assert simulator.sent == 2
            await clock.advance(3)
            return await listening

    assert len(asyncio.run(run())[0]) == 6


@pytest.mark.parametrize("status", [429, 503])
def test_a_handshake_is_refused_with_the_status(status):
    async def run():
        async with exchange(trades(5), f"http:{status}@1") as (_, url):
            with pytest.raises(InvalidStatus) as refused:
                await listened(url)
            assert refused.value.response.status_code == status
            return await listened(url)

    assert len(asyncio.run(run())[0]) == 6


def test_it_listens_on_this_machine_alone():
    async def run():
        async with exchange(trades(1)) as (_, url):
            return url

    assert asyncio.run(run()).startswith("ws://127.0.0.1:")


def test_a_tape_holds_the_frames_of_all_files_and_can_be_read_again(tmp_path):
    for i in (1, 2):
        opened = mark(Kind.OPENED, "wss://a", i)
        (tmp_path / f"{i}.log").write_bytes(opened + received(b"%d" % i, i))
    tape = Tape([str(tmp_path / "1.log"), str(tmp_path / "2.log")])
    assert list(tape) == list(tape) == [(1, b"1"), (2, b"2")]


def test_a_port_that_is_taken_is_told():
    async def run():
        async with exchange(trades(1)) as (_, url):
            port = int(url.rpartition(":")[2])
            simulator = Simulator(trades(1), KNOWN["plain"])
            await serve_until_played(simulator, port, print)

    with pytest.raises(
        ConfigError, match=r"--port: expected a free port, was \d+: .*; name another"
    ):
        asyncio.run(run())


def test_a_capture_that_cannot_be_read_ends_it(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"\x1f\x8b\x00")

    async def run():
        said = []
        simulator = Simulator(Tape([str(path)]), KNOWN["binance"])
        serving = asyncio.create_task(serve_until_played(simulator, 0, said.append))
        await until(lambda: said)
        listening = asyncio.create_task(listened(said[0]))
        await asyncio.wait([serving])
        await listening
        return serving.exception()

    assert isinstance(asyncio.run(run()), FeedError)
