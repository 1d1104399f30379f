"""A test venue that sends frames at a given pace.

    python -m sfm_stream.evaluate.pace.venue KIND STREAMS

prints its address, then reads a pace per line. It runs in its own process and builds
frames by hand, so that sending takes little time of the measured process. Frames are
skipped while too many bytes wait for the client.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from sfm_stream.evaluate.pace.subject import SEED

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

STEP = 0.002
"""Seconds between writes."""
ROOM = 2**18
"""The largest number of bytes that may wait for the client."""
BURST = 0.05
"""The venue makes up for at most this many seconds of frames when it was late."""
STEPS = 4_096
TEXT, SHORT, LONGER = 0x81, 125, 126
"""Opcode of a final text frame, the largest size in one byte, the mark of two bytes."""

Write = Callable[[int, int, float, int], bytes]


def of_json(number: int, stream: int, price: float, now: int) -> bytes:
    """Write a record for the `json` connector."""
    return b'{"s":"s%d","t":%d,"v":%.4f,"n":%d}' % (stream, now, price, number)


def of_binance(number: int, stream: int, price: float, _: int) -> bytes:
    """Write a best bid and ask of Binance's spot trading."""
    return (
        b'{"stream":"s%d@bookTicker","data":{"u":%d,"s":"S%d","b":"%.4f",'
        b'"B":"31.21000000","a":"%.4f","A":"40.66000000"}}'
    ) % (stream, number, stream, price, price + 0.01)


KINDS: dict[str, Write] = {"json": of_json, "binance": of_binance}


class Venue:
    """Sends frames of several streams in turn.

    Attributes:
        pace: frames per second.
        sent: frames so far.
    """

    def __init__(self, kind: str, streams: int) -> None:
        self.pace, self.sent = 0.0, 0
        self._write, self._streams = KINDS[kind], streams
        walk = np.random.default_rng(SEED).standard_normal(STEPS).cumsum()
        self._prices = (1_000.0 + 0.1 * walk).tolist()

    def frames(self, count: int) -> bytes:
        """Make the next `count` frames."""
        now, first = time.time_ns(), self.sent
        self.sent += count
        texts = (
            self._write(n + 1, n % self._streams, self._prices[n % STEPS], now)
            for n in range(first, first + count)
        )
        return b"".join(_framed(text) for text in texts)

    async def pour(self, socket: ServerConnection) -> None:
        """Send frames to a client until it disconnects."""
        with suppress(ConnectionClosed):
            await socket.recv()
            await socket.send('{"result":null,"id":1}')
            owed, before = 0.0, time.perf_counter()
            while not socket.transport.is_closing():
                now = time.perf_counter()
                owed = min(owed + self.pace * (now - before), self.pace * BURST)
                before = now
                if owed >= 1 and socket.transport.get_write_buffer_size() < ROOM:
                    count = int(owed)
                    owed -= count
                    socket.transport.write(self.frames(count))
                await asyncio.sleep(STEP)


def _framed(text: bytes) -> bytes:
    """Add the header of an unmasked text frame (RFC 6455, section 5.2)."""
    size = len(text)
    if size <= SHORT:
        return bytes((TEXT, size)) + text
    return bytes((TEXT, LONGER)) + size.to_bytes(2, "big") + text


async def _obeying(venue: Venue) -> None:
    """Read a pace per line until standard input ends."""
    loop = asyncio.get_running_loop()
    ear = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ear), sys.stdin)
    while line := await ear.readline():
        venue.pace = float(line)


async def main(kind: str, streams: int) -> None:
    """Serve until standard input ends."""
    venue = Venue(kind, streams)
    async with serve(venue.pour, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        sys.stdout.write(f"ws://127.0.0.1:{port}\n")
        sys.stdout.flush()
        await _obeying(venue)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
