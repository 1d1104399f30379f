"""The reader process: reads a live feed and sends its blocks through a socket.

It sends a sequence of messages, `length u32, kind u8, payload`:

    names     the table of stream names, whenever it has grown
    block     events; their streams are numbers in the latest table
    report    the state of the connections, at intervals
    end       the error after which no further attempt to connect can succeed

The model's process sends `stop` once, or closes its end of the socket when it ends;
then this process ends too. If the model is slow, first the socket fills, then the
feed's queue; then the venue waits, or ticks are conflated or dropped as `feed.overload`
says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import traceback
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from sfm_stream.errors import FeedError
from sfm_stream.events.blocks import pack
from sfm_stream.feeds import Connection

if TYPE_CHECKING:
    from socket import socket

    from connectors.live.merged import Named
    from sfm_stream.config import Config

HEAD = struct.Struct("<IB")
MOST = 512
"""Largest number of events in a block."""
BEAT = 0.25
"""Seconds between reports."""
STOP = b"s"
FAILED = 1
"""Exit code of a process that can no longer report or receive `stop`."""
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a terminal or a service manager sends to all processes; they are ignored
here, as the model's process decides when to stop."""


class Kind(IntEnum):
    """The kind of a message."""

    NAMES, BLOCK, REPORT, END = range(4)


class Report(msgspec.Struct, frozen=True, array_like=True):
    """The state of the connections.

    Attributes:
        status: status of each connection.
        counters: counts of frames and of what happened to the connections, by reason.
        waiting: number of events queued in this process.
    """

    status: list[Connection] = []
    counters: dict[str, int] = {}
    waiting: int = 0


class End(msgspec.Struct, frozen=True, array_like=True):
    """A final error of the feed, with the parts of a `FeedError`."""

    where: str
    problem: str
    hint: str


def read(open_feed: Callable[[Config], Named], config: Config, end: socket) -> None:
    """Read a feed until it ends or is told to stop; the process's main function.

    Args:
        open_feed: opens the feed in this process.
        config: configuration of the feed.
        end: the socket to which blocks are sent.
    """
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_serve(open_feed(config), end))


async def _serve(feed: Named, door: socket) -> None:
    ear, mouth = await asyncio.open_connection(sock=door)
    obeying = asyncio.create_task(_obey(ear, feed))
    reporting = asyncio.create_task(_report(mouth, feed))
    for task in (obeying, reporting):
        task.add_done_callback(_end_if_failed)
    end: End | None = None
    try:
        await _tell_all(mouth, feed)
    except FeedError as error:
        end = End(error.source, error.problem, error.hint)
    reporting.cancel()
    obeying.cancel()
    _tell(mouth, Kind.REPORT, _reported(feed))
    if end is not None:  # the last message: the receiver reads nothing after it
        _tell(mouth, Kind.END, end)
    mouth.close()
    await mouth.wait_closed()


async def _tell_all(mouth: asyncio.StreamWriter, feed: Named) -> None:
    """Send the blocks of a feed, and the table of names whenever it has changed."""
    names: tuple[str, ...] = ()
    async with aclosing(feed.batches(MOST)) as batches:
        async for block in batches:
            if block.streams is not names:
                names = block.streams
                _tell(mouth, Kind.NAMES, names)
            _send(mouth, Kind.BLOCK, pack(replace(block, streams=())))
            await mouth.drain()


async def _report(mouth: asyncio.StreamWriter, feed: Named) -> None:
    while True:
        _tell(mouth, Kind.REPORT, _reported(feed))
        await asyncio.sleep(BEAT)


def _reported(feed: Named) -> Report:
    return Report(list(feed.status()), dict(feed.counters), feed.waiting)


async def _obey(ear: asyncio.StreamReader, feed: Named) -> None:
    """Stop the feed when told to; end this process when the socket is closed."""
    with suppress(ConnectionError):
        while await ear.read(1) == STOP:
            feed.stop()
    os._exit(0)


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """End this process if a task failed; the model's process then starts another."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        traceback.print_exception(error)
        os._exit(FAILED)


def _tell(mouth: asyncio.StreamWriter, kind: Kind, message: Any) -> None:  # noqa: ANN401
    _send(mouth, kind, msgspec.msgpack.encode(message))


def _send(mouth: asyncio.StreamWriter, kind: Kind, payload: bytes) -> None:
    mouth.write(HEAD.pack(len(payload), kind) + payload)
