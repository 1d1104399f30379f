"""Sends records to the clients of the websocket; a slow client never delays the model.

    batch             publish: queues the records, wakes the loop once
    loop              chooses rows, encodes each once, gives the lines to the clients
    client            a bounded queue of lines; when full, only latest forecasts stay

A client sends `{"streams": [...], "records": [...], "targets": [...],
"horizons": [...], "hz": 0}`, where each key may be absent. It receives frames of JSON
lines, as `JsonlSink` writes them. A line `{"dropped": n}` is the number of lines that
were dropped because the client was too slow. A client that sends `{"view": ...}`
receives data for charts instead: see `viewers`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from sfm_stream.daemon.http.choice import Choice, Subscription
from sfm_stream.daemon.http.viewers import Gallery, Wish, wish_of
from sfm_stream.records import Forecast, Record, Records
from sfm_stream.sinks import Status

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

CAPACITY = 4_096
"""Most lines queued for a client."""
FRAME = 512
"""Most lines of a frame."""
FRAMES = 2_000
"""Frames per second over all clients: with more clients each frame has more lines, and
the load of the loop stays about the same."""
PATIENCE = 10.0
"""Most seconds that a client may take to receive a frame."""
BLOCKS = 1_024
"""Most blocks of records queued for the loop."""
NAME = "websocket"
UNSERVED = "this could not be served; the alarms of /status say why"

Key: TypeAlias = tuple[str, str, str]
Line: TypeAlias = tuple[Key | None, bytes]


class Client:
    """A client, with its queue of lines.

    Args:
        capacity: most lines in the queue.

    Attributes:
        some: set while the queue has lines.
        subscription: the wanted records; None before the client sent it.
        dropped: number of lines dropped because the client was too slow.
        views: the tasks that send views, by the view's name.
    """

    def __init__(self, capacity: int) -> None:
        self.some = asyncio.Event()
        self.subscription: Subscription | None = None
        self.dropped = 0
        self._capacity, self._told = capacity, 0
        self._notice = b""
        self._lines: deque[Line] = deque()
        self.views: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, lines: Sequence[Line], lost: int = 0) -> None:
        """Queue lines; if they are too many, keep only the latest forecasts.

        Args:
            lines: lines for this client.
            lost: number of lines before them that were lost.
        """
        self._lines.extend(lines)
        self.dropped += lost
        if len(self._lines) > self._capacity:
            self._conflate()
        if lines or lost:
            self.some.set()

    def tell(self, notice: object) -> None:
        """Queue a notice before all lines; it replaces a queued notice."""
        self._notice = msgspec.json.encode(notice, order="deterministic")
        self.some.set()

    @property
    def pause(self) -> float:
        """Least seconds between frames for the client."""
        return self.subscription.pause if self.subscription else 0.0

    def take(self) -> tuple[bytes, int]:
        """Give the next frame, and the number of records in it.

        A client that limits its frames per second gets only the latest forecasts.
        """
        if self.pause:
            self._thin()
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
        """Keep only the latest forecast of each stream, target and horizon."""
        before = len(self._lines)
        latest: dict[Key, bytes] = {}
        for key, line in reversed(self._lines):
            if key is not None:
                latest.setdefault(key, line)
        # free half of the queue, or each further line would conflate again
        newest = list(islice(latest.items(), self._capacity // 2))
        self._lines = deque(reversed(newest))
        self.dropped += before - len(newest)

    def _thin(self) -> None:
        """Drop forecasts that a later one replaces, as the client asked."""
        seen: set[Key] = set()
        kept: deque[Line] = deque()
        for key, line in reversed(self._lines):
            if key is None or key not in seen:
                kept.appendleft((key, line))
            if key is not None:
                seen.add(key)
        self._lines = kept


class Hub:
    """All clients of the websocket.

    `publish` is called in the thread that processes a batch; all else in the loop.

    Args:
        capacity: most lines queued for a client.
        patience: most seconds that a client may take to receive a frame.
        gallery: sends the views.
        failed: called with errors of serving.
    """

    def __init__(
        self,
        capacity: int = CAPACITY,
        patience: float = PATIENCE,
        gallery: Gallery | None = None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._gallery, self._failed = gallery or Gallery(), failed
        self._choice = Choice()
        self._loop = asyncio.get_running_loop()
        self._capacity, self._patience = capacity, patience
        self._encode = msgspec.json.Encoder().encode
        self._clients: set[Client] = set()
        self._listening: dict[Subscription, set[Client]] = {}
        self._blocks: deque[Records] = deque()
        self._woken = False
        self._lost = self._told = 0  # records dropped from a full queue
        self._written = self._dropped = 0

    def __len__(self) -> int:
        return len(self._clients)

    def publish(self, records: Records) -> None:
        """Queue records, without waiting; without a subscription they are dropped."""
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
        """Give the state of all clients together, as a sink that never fails."""
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
        """Serve a client until it disconnects, is too slow, or an error occurs."""
        client = Client(self._capacity)
        self._clients.add(client)
        try:
            await self._attend(socket, client)
        except Exception as error:  # noqa: BLE001 the client is told, and can reconnect
            self._failed(error)
            await socket.close(CloseCode.INTERNAL_ERROR, UNSERVED)
        finally:
            self._leave(client)
            self._clients.discard(client)
            self._dropped += client.dropped

    async def _attend(self, socket: ServerConnection, client: Client) -> None:
        """Send a client its records and views, until it disconnects."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(socket, client))
            with suppress(ConnectionClosed):
                async for message in socket:
                    wish = self._hear(client, message)
                    if wish is not None:
                        self._look(group, client, wish, socket)
            for task in (writing, *client.views.values()):
                task.cancel()

    def _hear(self, client: Client, message: str | bytes) -> Wish | None:
        """Handle a client's message: give a wish for a view, or set its subscription.

        An invalid message is answered with the reason.
        """
        try:
            wish = wish_of(message)
            if wish is not None:
                return wish
            wanted = msgspec.json.decode(message, type=Subscription)
            named = {"targets": wanted.targets, "horizons": wanted.horizons}
            self._gallery.expect_there(**named)
        except (msgspec.DecodeError, ValueError, RecursionError) as e:
            hint = 'send {"streams": [...], "records": [...]}, empty for all'
            client.tell({"error": f"subscription: {e}; {hint}"})
            return None
        self._leave(client)
        client.subscription = wanted
        self._listening.setdefault(wanted, set()).add(client)
        client.tell({"subscribed": wanted})
        return None

    def _look(
        self,
        group: asyncio.TaskGroup,
        client: Client,
        wish: Wish,
        socket: ServerConnection,
    ) -> None:
        """Start the task of a view, in place of the view's former task."""
        before = client.views.pop(wish.view, None)
        if before is not None:
            before.cancel()

        async def send(frame: bytes | str) -> None:
            async with asyncio.timeout(self._patience):
                await socket.send(frame)

        async def show() -> None:
            with suppress(ConnectionClosed, TimeoutError):
                await self._gallery.show(wish, send)
            socket.transport.abort()  # the client would not read a close frame

        client.views[wish.view] = group.create_task(show())

    def _leave(self, client: Client) -> None:
        wanted = client.subscription
        if wanted is not None:
            self._listening[wanted].discard(client)
            if not self._listening[wanted]:
                del self._listening[wanted]

    def _share(self) -> None:
        """Encode a block of records, and queue for each client the lines it wants.

        A block that cannot be encoded counts as one lost line.
        """
        # cleared before the queue is read: later blocks wake the loop again
        self._woken = False
        if not self._blocks:
            return
        lost, self._told = self._lost - self._told, self._lost
        records = self._blocks.popleft()
        try:
            chosen = self._chosen(records)
        except Exception as error:  # noqa: BLE001 the next block may be all right
            self._failed(error)
            chosen, lost = {wanted: [] for wanted in self._listening}, lost + 1
        for wanted, lines in chosen.items():
            for client in self._listening[wanted]:
                client.add(lines, lost)
        if self._blocks:  # after the loop's other work
            self._loop.call_soon(self._share)

    def _chosen(self, records: Records) -> dict[Subscription, list[Line]]:
        """Encode each record that a client wants once."""
        chosen: dict[Subscription, list[Line]] = {w: [] for w in self._listening}
        for record, takers in self._choice.rows(records, self._listening):
            line = _key(record), self._encode(record)
            for wanted in takers:
                chosen[wanted].append(line)
        return chosen

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
                await asyncio.sleep(max(client.pause, len(self) / FRAMES))
            socket.transport.abort()  # the client would not read a close frame


def _key(record: Record) -> Key | None:
    """Give stream, target and horizon of a forecast; None for other records."""
    if isinstance(record, Forecast):
        return (record.stream, record.target, record.horizon)
    return None
