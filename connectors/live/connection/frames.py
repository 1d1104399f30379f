"""A websocket that reads all frames in the socket's buffer at once.

An event loop that is woken for each frame spends more time on waking than on the frame.
So reading from a busy socket pauses for a moment after each read, and the next read
takes all frames that came meanwhile. A single frame, and the first frames after a quiet
period, are read without delay. Complete unmasked data frames, almost all that a venue
sends, are cut out here; every other frame goes to the library's protocol, one at a
time, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Opcode
from websockets.protocol import State

from connectors.live.timing import Pace

PAUSE, AHEAD = 0.003, 0.1
"""Seconds between reads of a busy socket, and seconds of quiet that can be saved up."""
PLAIN = (0x81, 0x82)
"""First byte of an uncompressed message of one frame, of text or bytes."""
FINAL, OPCODE, MASKED = 0x80, 0x0F, 0x80
SHORT, MEDIUM = 125, 126
"""The second byte is a size up to 125, or 126 for a size in 2 bytes, 127 for 8."""
DATA = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
HEAD_END = b"\r\n\r\n"


class Other(NamedTuple):
    """A frame for the library, unchanged.

    Attributes:
        frame: its bytes.
        ends: whether it completes a message.
    """

    frame: bytes
    ends: bool


def cut(data: bytes, largest: int) -> tuple[list[bytes | Other], bytes]:
    """Cut bytes into frames.

    Args:
        data: bytes that begin with a frame.
        largest: most bytes of a frame; a larger one is given with all bytes after it,
            for the library to refuse.

    Returns:
        The payloads of plain frames and other frames, in order; and the bytes of the
        next, incomplete frame.
    """
    frames: list[bytes | Other] = []
    at, size = 0, len(data)
    while at + 2 <= size:
        first, second = data[at], data[at + 1]
        start, length = at + 2, second & ~MASKED
        if length > SHORT:
            start += 2 if length == MEDIUM else 8
            if start > size:
                break
            length = int.from_bytes(data[at + 2 : start], "big")
        if length > largest:
            frames.append(Other(data[at:], ends=False))
            return frames, b""
        if second & MASKED:
            start += 4
        end = start + length
        if end > size:
            break
        if first in PLAIN and second < MASKED:
            frames.append(data[start:end])
        else:
            ends = first & FINAL > 0 and first & OPCODE in DATA
            frames.append(Other(data[at:end], ends))
        at = end
    return frames, data[at:] if at else data


class Gathering(ClientConnection):
    """A client's connection that gives all received messages at once.

    Args:
        protocol: the library's protocol, without I/O.
        largest: most bytes of a message.
        pause: average seconds between reads while busy.
        options: options of the library's connection.
    """

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        largest: int,
        pause: float,
        **options: Any,  # noqa: ANN401 passed on
    ) -> None:
        super().__init__(protocol, **options)
        self._largest = largest
        self._head: bytes | None = b""
        self._rest = b""
        self._cuts, self._waits = True, True
        self._ready: deque[bytes | None] = deque()
        self._came: asyncio.Future[None] | None = None
        self._pace = Pace(pause, AHEAD)

    async def messages(self) -> list[bytes]:
        """Wait for messages; give all that have arrived, at least one.

        Raises:
            ConnectionClosed: if the connection is closed and all messages were given.
        """
        while not self._ready and self._cuts and self.state is not State.CLOSED:
            self._came = self.loop.create_future()
            self._read_on()
            await self._came
        whole: list[bytes] = []
        while self._ready and (message := self._ready[0]) is not None:
            whole.append(message)
            self._ready.popleft()
        if not whole:
            whole.append(bytes(await self.recv(decode=False)))
            if self._ready:
                self._ready.popleft()
        return whole

    async def close(
        self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = ""
    ) -> None:
        """Close the connection; read without pauses until the other end closes too."""
        self._waits = False
        self.transport.resume_reading()
        await super().close(code, reason)

    def data_received(self, data: bytes) -> None:
        """Take the bytes of the socket's buffer."""
        if self._head is not None:
            data = self._past_head(data)
        if not self._cuts:
            super().data_received(data)
            return
        frames, self._rest = cut(self._rest + data, self._largest)
        for frame in frames:
            if isinstance(frame, bytes):
                self._ready.append(frame)
            else:
                self._hand_on(frame)
            if not self._cuts:
                break
        if self._ready and self._cuts and self._waits:
            self.transport.pause_reading()
            self._pace.note(self.loop.time())
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the waiting reader, as no more messages come."""
        super().connection_lost(exc)
        self._wake()

    def _past_head(self, data: bytes) -> bytes:
        """Pass the handshake's bytes to the library; give the bytes after them."""
        before = self._head or b""
        end = (before + data).find(HEAD_END)
        length = len(data) if end < 0 else end + len(HEAD_END) - len(before)
        super().data_received(data[:length])
        if end < 0:
            self._head = (before + data)[1 - len(HEAD_END) :]
        else:
            self._head, self._cuts = None, self.state is State.OPEN
        return data[length:]

    def _hand_on(self, other: Other) -> None:
        """Pass a frame to the library, which closes on a closing or invalid frame."""
        super().data_received(other.frame)
        if other.ends:
            self._ready.append(None)
        # while we close, the other end may still send data
        self._cuts = self.state is State.OPEN or not self._waits

    def _read_on(self) -> None:
        """Resume reading, after the pause if one is due."""
        wait = self._pace.wait(self.loop.time())
        if wait > 0:
            self.loop.call_later(wait, self.transport.resume_reading)
        else:
            self.transport.resume_reading()

    def _wake(self) -> None:
        there = self._ready or not self._cuts or self.state is State.CLOSED
        if there and self._came is not None and not self._came.done():
            self._came.set_result(None)
