from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from sfm_stream.cluster import relay
from sfm_stream.cluster.relay import Relay
from tests.daemon_web import forecasts, lines, served
from tests.live_rig import until

WANT_ALL = '{"streams": [], "records": []}'


def test_a_shard_that_comes_back_is_told_again_what_is_wanted(monkeypatch):
    monkeypatch.setattr(relay, "BETWEEN_S", 0.01)

    async def run():
        async with served() as (_, url):
            hub_of = Relay([url])
            port = url.rsplit(":", 1)[1]
            server = await serve(hub_of.serve, "127.0.0.1", 0)
            there = next(iter(server.sockets)).getsockname()[1]
            client = await connect(f"ws://127.0.0.1:{there}")
            await client.send(WANT_ALL)
            before = lines([await client.recv()])
            assert len(hub_of) == 1
        told = lines([await client.recv()])
        async with served(listen=f"127.0.0.1:{port}") as (again, _):
            after = lines([await client.recv()])
            again.publish(forecasts(5, 6))
            said = lines([await client.recv()])
        await client.close()
        await until(lambda: len(hub_of) == 0)
        server.close()
        return before, told, after, said

    before, told, after, said = asyncio.run(run())
    assert before == after
    assert before[0]["subscribed"]["streams"] == []
    assert "trying again" in told[0]["error"]
    assert said[0]["seq"] == 5


def test_a_client_that_goes_leaves_nothing_behind():
    async def run():
        async with served() as (hub, url):
            clients = Relay([url])
            async with serve(clients.serve, "127.0.0.1", 0) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                async with connect(f"ws://127.0.0.1:{port}") as client:
                    await client.send(WANT_ALL)
                    await client.recv()
                    assert (len(clients), len(hub)) == (1, 1)
                await until(lambda: not len(clients) and not len(hub))

    asyncio.run(run())
