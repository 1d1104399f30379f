from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from sfm_stream.daemon.http.viewers import Gallery, wish_of
from sfm_stream.daemon.views.frames import OverviewWish, StreamWish
from tests.daemon_web import served
from tests.live_rig import until
from tests.views_rig import feed, read_points, ticks_of, watched, watcher_of


@asynccontextmanager
async def looking(watcher, *wishes, told=dict):
    """A client that wishes to see something."""

    async def words():
        return told()

    gallery = Gallery(words)
    gallery.watcher = watcher
    async with served(gallery=gallery) as (hub, url):
        async with connect(url.replace("http", "ws") + "/records") as socket:
            for wish in wishes:
                await socket.send(json.dumps(wish))
            yield socket, hub, gallery


async def received(socket, count):
    return [await asyncio.wait_for(socket.recv(), 10) for _ in range(count)]


def test_messages_that_name_a_view_are_wishes_to_look():
    assert wish_of('{"view": "overview", "hz": 2}') == OverviewWish("overview", hz=2)
    wish = wish_of('{"view": "stream", "stream": "a", "horizons": ["1"]}')
    assert wish == StreamWish("stream", "a", horizons=("1",))
    assert wish_of('{"streams": ["a"]}') is None
    with pytest.raises(ValueError, match="expected one of overview, stream"):
        wish_of('{"view": "everything"}')


def test_the_overview_comes_with_words_about_the_process():
    async def run():
        wish = {"view": "overview"}
        async with looking(watched(300), wish, told=lambda: {"state": "live"}) as (
            s,
            *_,
        ):
            return await received(s, 3)

    words, names, table = asyncio.run(run())
    assert json.loads(words) == {"process": {"state": "live"}}
    assert json.loads(names)["streams"] == ["a", "b"]
    assert isinstance(table, bytes)


def test_a_stream_is_shown_as_it_goes_on():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 200, "a"))

    async def run():
        wish = {"view": "stream", "stream": "a", "hz": 50}
        async with looking(watcher, wish) as (socket, *_):
            hello, _, first, _ = await received(socket, 4)
            feed(engine, watcher, ticks_of(200, 210, "a"))
            return json.loads(hello), first, (await received(socket, 1))[0]

    hello, first, later = asyncio.run(run())
    assert len(read_points(first, hello)[2]) == 200
    assert read_points(later, hello)[2]["origin"].tolist() == list(range(200, 210))


def test_a_further_wish_for_a_view_takes_the_place_of_the_one_before():
    async def run():
        async with looking(watched(300)) as (socket, *_):
            for stream in "ab":
                wish = {"view": "stream", "stream": stream, "hz": 50}
                await socket.send(json.dumps(wish))
                hello = json.loads((await received(socket, 4))[0])
                assert hello["stream"] == stream
            return True

    assert asyncio.run(run())


def test_a_stream_that_comes_later_is_shown_then():
    engine, watcher = watcher_of()

    async def run():
        wish = {"view": "stream", "stream": "a", "hz": 50}
        async with looking(watcher, wish) as (socket, *_):
            problem = json.loads((await received(socket, 1))[0])["error"]
            feed(engine, watcher, ticks_of(0, 20, "a"))
            return problem, json.loads((await received(socket, 1))[0])["stream"]

    problem, stream = asyncio.run(run())
    assert problem == "stream: expected one of those there, was 'a'"
    assert stream == "a"


def test_before_the_model_is_there_the_process_is_shown_alone():
    async def run():
        wish = {"view": "overview", "hz": 50}
        async with looking(None, wish) as (socket, _, gallery):
            first = (await received(socket, 1))[0]
            gallery.watcher = watched(50)
            return [first, *await received(socket, 1)]

    first, then = map(json.loads, asyncio.run(run()))
    assert "process" in first
    assert "streams" in then


@pytest.mark.parametrize("hz", [0, -1, 1_000])
def test_a_pace_that_cannot_be_is_refused(hz):
    async def run():
        async with looking(None, {"view": "overview", "hz": hz}) as (socket, *_):
            return json.loads((await received(socket, 1))[0])

    assert "hz" in asyncio.run(run())["error"]


def test_a_client_that_never_reads_is_cut_off_and_nothing_waits_for_it():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 50, "a"))

    async def run():
        gallery = Gallery()
        gallery.watcher = watcher
        async with served(gallery=gallery, patience=0.05) as (hub, url):
            address = url.replace("http", "ws") + "/records"
            async with connect(address, max_queue=1, close_timeout=0.1) as socket:
                socket.transport.pause_reading()
                wish = {"view": "stream", "stream": "a", "hz": 50}
                await socket.send(json.dumps(wish))
                await until(lambda: len(hub) == 1)
                at = 50
                while len(hub):
                    feed(engine, watcher, ticks_of(at, at + 500, "a"), [500])
                    at += 500
                    await asyncio.sleep(0.001)
                assert at < 500_000
            return hub.state().queued

    assert asyncio.run(run()) == 0
