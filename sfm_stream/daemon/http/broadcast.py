"""Records for the clients of the websocket; a slow client never delays the model.

    model's thread    publish: leaves the records, wakes the loop once
    loop              encodes each record once, shares the lines out among clients
    client            lines that wait for it, bounded; the latest forecasts win

A client sends `{"streams": [...], "records": [...]}`, empty lists for all, and is sent
frames of JSON lines, those of `JsonlSink`. What it was too slow for it is told of by a
line `{"dropped": n}`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from websockets.exceptions import ConnectionClosed

from sfm_stream.records import KINDS, Forecast, Record, Records
from sfm_stream.settings import RecordKind
from sfm_stream.sinks import Status

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

CAPACITY = 4_096
"""Lines that wait for a client."""
FRAME = 512
"""Most lines of a frame."""
PATIENCE = 10.0
"""Seconds a client may take over a frame."""
BLOCKS = 1_024
"""Blocks of records that wait for the loop, which is never away for long."""
KIND = {record: kind for kind, record in KINDS.items()}
NAME = "websocket"

Key: TypeAlias = tuple[str, str, str]
Line: TypeAlias = tuple[Key | None, bytes]


class Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client wants.

    Attributes:
        streams: their names; empty: all.
        records: kinds of records; empty: all.
    """

    streams: frozenset[str] = frozenset()
    records: frozenset[RecordKind] = frozenset()

    def wants(self, record: Record) -> bool:
        """Say whether a record is of a stream and a kind that is wanted."""
        named = not self.streams or not record.stream or record.stream in self.streams
        return named and (not self.records or KIND[type(record)] in self.records)


class Client:
    """Lines that wait for one client.

    Args:
        capacity: most of them.

    Attributes:
        some: set while any wait.
        subscription: what it wants; None before it said so.
        dropped: lines it was too slow for.
    """

    def __init__(self, capacity: int) -> None:
        self.some = asyncio.Event()
        self.subscription: Subscription | None = None
        self.dropped = 0
        self._capacity, self._told = capacity, 0
        self._notice = b""
        self._lines: deque[Line] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, lines: Sequence[Line], lost: int = 0) -> None:
        """Have lines wait; if they are too many, only the latest forecasts do.

        Args:
            lines: for this client.
            lost: how many before them never came.
        """
        self._lines.extend(lines)
        self.dropped += lost
        if len(self._lines) > self._capacity:
            self._conflate()
        if lines or lost:
            self.some.set()

    def tell(self, notice: object) -> None:
        """Have a notice go first; one that waits already is forgotten."""
        self._notice = msgspec.json.encode(notice, order="deterministic")
        self.some.set()

    def take(self) -> tuple[bytes, int]:
        """Give the next frame, and how many records it holds."""
        notices = [self._notice] if self._notice else []
        if self.dropped > self._told:
            notices.append(msgspec.json.encode({"dropped": self.dropped - self._told}))
        self._notice, self._told = b"", self.dropped
        count = min(len(self._lines), FRAME)
        lines = [self._lines.popleft()[1] for _ in range(count)]
        if not self._lines:
            self.some.clear()
        return b"\n".join([*notices, *lines]), count

    def _conflate(self) -> None:
        """Keep the latest forecast of each stream, target and horizon, no more."""
        before = len(self._lines)
        latest: dict[Key, bytes] = {}
        for key, line in reversed(self._lines):
            if key is not None:
                latest.setdefault(key, line)
        # room for as much again, or each further line would bring us here
        newest = list(islice(latest.items(), self._capacity // 2))
        self._lines = deque(reversed(newest))
        self.dropped += before - len(newest)


class Hub:
    """All clients of the websocket.

    `publish` belongs to the model's thread, all else to the loop it is made in.

    Args:
        capacity: most lines that wait for a client.
        patience: seconds a client may take over a frame.
    """

    def __init__(self, capacity: int = CAPACITY, patience: float = PATIENCE) -> None:
        self._loop = asyncio.get_running_loop()
        self._capacity, self._patience = capacity, patience
        self._encode = msgspec.json.Encoder().encode
        self._clients: set[Client] = set()
        self._listening: dict[Subscription, set[Client]] = {}
        self._blocks: deque[Records] = deque()
        self._woken = False
        self._lost = self._told = 0  # records that found no room among the blocks
        self._written = self._dropped = 0

    def __len__(self) -> int:
        return len(self._clients)

    def publish(self, records: Records) -> None:
        """Take records, without waiting; those no one listens for are forgotten."""
        if not self._listening:
            return
        if len(self._blocks) >= BLOCKS:
            self._lost += len(records)
            return
        self._blocks.append(records)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._share)

    def state(self) -> Status:
        """Say how the clients get on: as one sink, that never fails."""
        return Status(
            name=NAME,
            kind=NAME,
            queued=sum(map(len, self._clients)),
            spilled=0,
            dropped=self._dropped + sum(client.dropped for client in self._clients),
            written=self._written,
            blocked_s=0.0,
            error="",
        )

    async def serve(self, socket: ServerConnection) -> None:
        """Serve a client until it goes, or is too slow."""
        client = Client(self._capacity)
        self._clients.add(client)
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write(socket, client))
                with suppress(ConnectionClosed):
                    async for message in socket:
                        self._hear(client, message)
                writing.cancel()
        finally:
            self._leave(client)
            self._clients.discard(client)
            self._dropped += client.dropped

    def _hear(self, client: Client, message: str | bytes) -> None:
        """Take what a client wants; an invalid wish is answered with the reason."""
        try:
            wanted = msgspec.json.decode(message, type=Subscription)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            hint = 'send {"streams": [...], "records": [...]}, empty for all'
            client.tell({"error": f"subscription: {e}; {hint}"})
            return
        self._leave(client)
        client.subscription = wanted
        self._listening.setdefault(wanted, set()).add(client)
        client.tell({"subscribed": wanted})

    def _leave(self, client: Client) -> None:
        wanted = client.subscription
        if wanted is not None:
            self._listening[wanted].discard(client)
            if not self._listening[wanted]:
                del self._listening[wanted]

    def _share(self) -> None:
        """Encode a block of records, and give each client what it wants."""
        # cleared before looking: what comes from now on wakes the loop again
        self._woken = False
        if not self._blocks:
            return
        lost, self._told = self._lost - self._told, self._lost
        records = self._blocks.popleft()
        lines = [(record, (_key(record), self._encode(record)))
                 for record in records.rows()]  # fmt: skip
        for wanted, clients in self._listening.items():
            chosen = [line for record, line in lines if wanted.wants(record)]
            for client in clients:
                client.add(chosen, lost)
        if self._blocks:  # others have their turn first
            self._loop.call_soon(self._share)

    async def _write(self, socket: ServerConnection, client: Client) -> None:
        with suppress(ConnectionClosed):
            while True:
                await client.some.wait()
                frame, count = client.take()
                try:
                    async with asyncio.timeout(self._patience):
                        await socket.send(frame, text=True)
                except TimeoutError:
                    break
                self._written += count
            socket.transport.abort()  # a farewell would not be read either


def _key(record: Record) -> Key | None:
    """Say of what a forecast is; of other records there is no later one."""
    if isinstance(record, Forecast):
        return (record.stream, record.target, record.horizon)
    return None
