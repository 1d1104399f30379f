"""The websocket of the gateway: relays between each client and all shards.

A client's message goes to every shard, and every shard's frames to the client as they
come. Only the client's last message is kept: a shard gets it again when it reconnects.
A client that is too slow delays only its own connections: each shard then sends it the
latest forecasts, and the number of lines that it left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from sfm_stream.daemon.http.client import address_of
from sfm_stream.daemon.http.server import RECORDS

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

BETWEEN_S = 1.0
LARGEST = 2**24
"""Most bytes of a frame."""


class Relay:
    """The clients of a gateway.

    Args:
        urls: addresses of the shards.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        places = (address_of(url) for url in urls)
        self._urls = [f"ws{place.removeprefix('http')}{RECORDS}" for place in places]
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    async def serve(self, socket: ServerConnection) -> None:
        """Serve a client until it disconnects."""
        client = Client(socket)
        self._clients.add(client)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(client.hear(url)) for url in self._urls]
                with suppress(ConnectionClosed):
                    async for words in socket:
                        await client.speak(words)
                for task in tasks:
                    task.cancel()
        finally:
            self._clients.discard(client)


class Client:
    """One client, and its connections to the shards.

    Args:
        socket: connection to the client.
    """

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._words: str | bytes | None = None
        self._shards: set[ClientConnection] = set()

    async def speak(self, words: str | bytes) -> None:
        """Send the client's message to every shard."""
        self._words = words
        for shard in tuple(self._shards):
            with suppress(ConnectionClosed):
                await shard.send(words)

    async def hear(self, url: str) -> None:
        """Pass a shard's frames on to the client; reconnect when the shard is lost."""
        away = False
        while True:
            try:
                async with connect(url, max_size=LARGEST, compression=None) as shard:
                    away = False
                    await self._pass_on(shard)
            except (OSError, WebSocketException) as error:
                if not away:
                    await self._say({"error": f"{url}: {error}; trying again"})
                away = True
            await asyncio.sleep(BETWEEN_S)

    async def _pass_on(self, shard: ClientConnection) -> None:
        self._shards.add(shard)
        try:
            if self._words is not None:
                await shard.send(self._words)
            async for frame in shard:
                await self._send(frame)
        finally:
            self._shards.discard(shard)

    async def _say(self, notice: object) -> None:
        await self._send(msgspec.json.encode(notice).decode())

    async def _send(self, frame: str | bytes) -> None:
        with suppress(ConnectionClosed):  # the task that reads notices the end
            await self._socket.send(frame)
