from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from sfm_stream.daemon.http import server
from sfm_stream.daemon.http.doors import BACKLOG, MOST, RESERVE, Doors
from sfm_stream.daemon.status.failures import Failures
from tests.daemon_web import asked, served
from tests.live_rig import until

FLOOD = 60


@asynccontextmanager
async def idle(url, count):
    """Hold connections open that never say a word."""
    host, port = url.removeprefix("http://").split(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    try:
        yield
    finally:
        for _, writer in opened:
            writer.close()


def test_idle_connections_keep_no_monitor_out(monkeypatch):
    doors = Doors(8, limit=resource.RLIM_INFINITY)
    monkeypatch.setattr(server, "Doors", lambda: doors)

    async def run():
        async with served() as (_, url), idle(url, FLOOD):
            await until(lambda: doors.closed >= FLOOD - 8)
            assert len(doors) <= 8
            return (await asked(url, "/healthz"))[0]

    assert asyncio.run(run()) == 200


def test_a_websocket_outlives_a_flood_of_idle_connections(monkeypatch):
    doors = Doors(8, limit=resource.RLIM_INFINITY)
    monkeypatch.setattr(server, "Doors", lambda: doors)

    async def run():
        async with served() as (hub, url):
            async with connect(url.replace("http", "ws") + "/records") as client:
                await until(lambda: len(hub) == 1)
                async with idle(url, FLOOD):
                    await until(lambda: doors.closed >= FLOOD - 7)
                    await client.send("{}")
                    return await client.recv()

    assert "subscribed" in asyncio.run(run())


def test_no_connection_takes_the_files_of_the_reserve(monkeypatch, caplog):
    with socket.socket() as probe:
        limit = probe.fileno() + RESERVE
    doors = Doors(limit=limit)
    monkeypatch.setattr(server, "Doors", lambda: doors)

    async def run():
        async with served() as (_, url), idle(url, FLOOD):
            await until(lambda: doors.closed >= 1)

    asyncio.run(run())
    assert caplog.records[0].reason == "few files are left"


HOST = b"Host: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
        b"GET /status HTTP/1.1\r\n" + HOST + b"X: %s\r\n\r\n" % (b"a" * 60_000),
        b"GET /status HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 9_999 + b"\r\n",
        b"GET /%s HTTP/1.1\r\n" % (b"a" * 60_000) + HOST + b"\r\n",
        b"GET /status HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
        b"PUT /status HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\xff\n",
    ],
)
def test_no_request_raises_an_alarm_even_if_more_comes_after_the_answer(
    request_, monkeypatch
):
    doors, failures = Doors(), Failures()
    monkeypatch.setattr(server, "Doors", lambda: doors)

    async def run():
        with failures.overheard():
            async with served() as (_, url):
                host, port = url.removeprefix("http://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(request_)
                answer = await reader.readline()
                writer.write(b"more\r\n" * 9)
                writer.write_eof()
                await until(lambda: not len(doors))
                writer.close()
                return answer

    assert asyncio.run(run()).startswith(b"HTTP/1.1 ")
    assert failures.alarms() == []


@pytest.mark.parametrize(
    "body", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n"]
)
def test_a_request_with_a_body_is_told_what_is_allowed(body):
    async def run():
        async with served() as (_, url):
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /status HTTP/1.1\r\n" + HOST + body)
            answer = await reader.read()
            writer.close()
            return answer.decode()

    head, text = asyncio.run(run()).split("\r\n\r\n")
    assert head.startswith("HTTP/1.1 405 ")
    assert "Allow: GET, HEAD" in head
    assert f"Content-Length: {len(text)}" in head


@pytest.mark.parametrize(
    ("limit", "last"),
    [(1024, 1024 - RESERVE), (60, 40), (resource.RLIM_INFINITY, None)],
)
def test_a_low_limit_leaves_some_files_for_connections(limit, last):
    assert Doors(limit=limit)._last == last


def test_the_reserve_is_larger_than_what_is_accepted_unnoticed():
    assert server.MOST_CLIENTS < MOST
    assert 4 * BACKLOG < RESERVE
