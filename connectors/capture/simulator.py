"""A local exchange: serves a capture over a real websocket, with faults on demand.

It listens on 127.0.0.1 only. Like an exchange it plays the capture once for all
clients: a client that connects late misses the earlier frames. With speed 0 it sends as
fast as its clients read, and pauses while no client is connected.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import chain, count

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from connectors.capture import format as recording
from connectors.capture.faults import CONNECTIONS, MESSAGES, Fault, Faults
from connectors.capture.format import Kind
from connectors.capture.replies import Replies, heard
from connectors.live.timing import Clock
from connectors.stamps import SECOND
from sfm_stream.errors import ConfigError, FeedError

HOST = "127.0.0.1"
GOING_AWAY = 1001
LARGEST = 2**24
TURN = 64
"""Number of messages after which other tasks run if the pace cannot be kept."""


class Client:
    """A connected client.

    Attributes:
        topics: topics that it has subscribed to; None before the first subscription.
        mute: whether to send it no more messages.
    """

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.topics: set[str] | None = None
        self.mute = False

    def wants(self, subject: str | None) -> bool:
        """Say whether a message is for this client."""
        if self.mute or self.topics is None:
            return False
        return subject is None or not self.topics or subject in self.topics


class Simulator:
    """Plays a capture to all clients that connect and subscribe.

    Args:
        frames: pairs of time in ns and frame, in order; may be iterated repeatedly.
        replies: the replies of a venue.
        speed: multiple of the recorded pace; 0 is as fast as the clients read.
        loop: whether to start again at the end; ids continue to rise.
        faults: the faults that may strike.
        seed: seed for faults that strike by chance.
        clock: the clock that keeps the pace.

    Attributes:
        sent: number of messages of the capture played so far.
        connections: number of handshakes requested so far.
    """

    def __init__(
        self,
        frames: Iterable[tuple[int, bytes]],
        replies: Replies,
        *,
        speed: float = 0.0,
        loop: bool = False,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.sent = self.connections = 0
        self._frames, self._replies = frames, replies
        self._speed, self._loop = speed, loop
        self._faults = Faults(faults, seed)
        self._clock = clock or Clock()
        self._clients: set[Client] = set()
        self._someone = asyncio.Event()
        self._struck: dict[ServerConnection, dict[str, float]] = {}

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[str]:
        """Listen while the context lasts; give the address.

        Args:
            port: port to listen on; 0 for any free port.

        Raises:
            OSError: if the port is taken.
        """
        async with serve(
            self._serve,
            HOST,
            port,
            process_request=self._handshake,
            compression=None,
            max_size=LARGEST,
            close_timeout=1.0,
        ) as server:
            yield f"ws://{HOST}:{_port(server)}"

    async def play(self) -> None:
        """Wait until a client has subscribed, then send the capture to its end."""
        await self._someone.wait()
        start = self._clock.elapsed()
        for time, frame in self._timed():
            await self._keep_pace(start, time)
            self.sent += 1
            struck = self._faults.struck(self.sent, MESSAGES)
            if "slow" in struck:
                await self._clock.sleep(struck["slow"])
            subject = self._replies.subject(frame)
            for one in self._faults.frames(frame, struck):
                await self._send(one, subject)
            await self._break(struck)
        await self._close_all(GOING_AWAY, "the capture has ended")

    def _timed(self) -> Iterator[tuple[float, bytes]]:
        """Give frames with their seconds from the start, repeatedly if it loops."""
        ids = Ids(self._replies)
        begun = at = 0.0
        for turn in count():
            first: int | None = None
            for time, frame in self._frames:
                first = time if first is None else first
                at = begun + (time - first) / SECOND
                yield at, ids.renewed(frame, turn) if self._loop else frame
            if first is None or not self._loop:
                return
            begun = at

    async def _keep_pace(self, start: float, time: float) -> None:
        if not self._speed:
            await self._someone.wait()
            return
        ahead = start + time / self._speed - self._clock.elapsed()
        if ahead > 0 or self.sent % TURN == TURN - 1:
            await self._clock.sleep(max(ahead, 0.0))

    async def _send(self, frame: bytes, subject: str | None) -> None:
        text = _is_text(frame)
        for client in [c for c in self._clients if c.wants(subject)]:
            try:
                await client.socket.send(frame, text=text)
            except ConnectionClosed:
                self._left(client)

    async def _break(self, struck: dict[str, float]) -> None:
        """Apply the faults that break, close or mute the open connections."""
        if "drop" in struck:
            for client in tuple(self._clients):
                client.socket.transport.abort()
                self._left(client)
        if "close" in struck:
            await self._close_all(int(struck["close"]), "simulated")
        if "mute" in struck:
            for client in self._clients:
                client.mute = True
            self._counted()

    async def _close_all(self, code: int, reason: str) -> None:
        clients = tuple(self._clients)
        for client in clients:
            self._left(client)
        await asyncio.gather(*(c.socket.close(code, reason) for c in clients))

    def _left(self, client: Client) -> None:
        self._clients.discard(client)
        self._counted()

    def _counted(self) -> None:
        """Note whether any client is there to receive messages."""
        if any(c.topics is not None and not c.mute for c in self._clients):
            self._someone.set()
        else:
            self._someone.clear()

    def _handshake(self, socket: ServerConnection, _: Request) -> Response | None:
        """Count a connection, and refuse it if a fault says so."""
        self.connections += 1
        struck = self._faults.struck(self.connections, CONNECTIONS)
        if "http" in struck:
            return socket.respond(HTTPStatus(int(struck["http"])), "simulated\n")
        self._struck[socket] = struck
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        """Serve a client until it disconnects."""
        struck = self._struck.pop(socket)
        if "accept-close" in struck:
            await socket.close(int(struck["accept-close"]), "simulated")
            return
        client = Client(socket)
        client.mute = "mute-after-ack" in struck
        self._clients.add(client)
        if self._replies.unasked:
            client.topics = set()
            self._counted()
        try:
            while True:
                await self._hear(client, await socket.recv(decode=False))
        except ConnectionClosed:
            self._left(client)

    async def _hear(self, client: Client, frame: bytes) -> None:
        topics, answers = heard(self._replies, frame)
        for answer in answers:
            await client.socket.send(answer, text=True)
        if topics:
            client.topics = (client.topics or set()) | set(topics)
            self._counted()


class Ids:
    """Raises the rising numbers of a capture so that they still rise in a repetition.

    Args:
        replies: the replies of a venue, whose `ids` finds these numbers.
    """

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._ranges: dict[tuple[str | None, bytes], tuple[int, int]] = {}

    def renewed(self, frame: bytes, turn: int) -> bytes:
        """Give a frame with the numbers of a repetition, counted from 0.

        Repetition 0 is the recording itself; its range of numbers gives the offset.
        """
        pattern = self._replies.ids
        if pattern is None:
            return frame
        subject = self._replies.subject(frame)

        def number(found: re.Match[bytes]) -> bytes:
            key, now = (subject, found[1]), int(found[2])
            low, high = self._ranges.get(key, (now, now))
            if turn == 0:
                self._ranges[key] = min(low, now), max(high, now)
            return b'"%b":%d' % (found[1], now + turn * (high - low + 1))

        return pattern.sub(number, frame)


class Tape:
    """The frames of a capture, read from its files in each iteration.

    Args:
        paths: paths of its files, in order.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def expect_frames(self) -> None:
        """Refuse files that hold no frame: nothing could be played.

        Raises:
            FeedError: if there is none, or a file cannot be read.
        """
        if next(iter(self), None) is None:
            problem = "expected frames of a capture, was none"
            hint = "`sfm-stream record` writes captures"
            raise FeedError(", ".join(self._paths), problem, hint)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Give the time in ns and the content of each frame.

        Raises:
            FeedError: if a file cannot be read.
        """
        for line in chain.from_iterable(map(recording.read, self._paths)):
            if line.kind is Kind.FRAME:
                yield line.time, line.body


async def serve_until_played(
    simulator: Simulator, port: int, say: Callable[[str], None]
) -> None:
    """Serve until the capture has ended.

    Args:
        simulator: the simulator with the capture.
        port: port to listen on; 0 for any free port.
        say: called with the address once clients can connect.

    Raises:
        ConfigError: if the port is not available.
        FeedError: if the capture cannot be read further.
    """
    try:
        async with simulator.listening(port) as url:
            say(url)
            await simulator.play()
    except OSError as e:
        problem = f"expected a free port, was {port}: {(e.strerror or str(e)).lower()}"
        raise ConfigError("--port", problem, "name another") from e


def _is_text(frame: bytes) -> bool:
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port
