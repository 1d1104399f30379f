"""The process that reads: a live feed whose blocks leave through a socket.

What goes through the socket is a row of messages, `length u32, kind u8, payload`:

    names     the table of stream names, whenever it has grown
    block     events; their streams are numbers in the latest table
    report    how the connections are, now and then
    end       why no further try can help

The other end says `stop`, once, or is closed: then its process has ended, and this one
ends too. A slow taker lets the socket fill, then the feed's queue, and then the venue
waits, or ticks are conflated or dropped as `feed.overload` says.
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
"""Events of a block."""
BEAT = 0.25
"""Seconds between reports."""
STOP = b"s"
FAILED = 1
"""Exit code of a process that cannot report or obey any more."""
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal or a service manager sends to all processes: the taker decides."""


class Kind(IntEnum):
    """What a message holds."""

    NAMES, BLOCK, REPORT, END = range(4)


class Report(msgspec.Struct, frozen=True, array_like=True):
    """How the connections are.

    Attributes:
        status: of each of them.
        counters: what became of frames and connections, by reason.
        waiting: events that wait in this process.
    """

    status: list[Connection] = []
    counters: dict[str, int] = {}
    waiting: int = 0


class End(msgspec.Struct, frozen=True, array_like=True):
    """An error of the feed that no try can help, in the words of `FeedError`."""

    where: str
    problem: str
    hint: str


def read(open_feed: Callable[[Config], Named], config: Config, end: socket) -> None:
    """Read a feed until it ends, or the other end says so: a process's whole life.

    Args:
        open_feed: opens the feed in this process.
        config: of the feed.
        end: the socket that blocks leave through.
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
    if end is not None:  # the last word: nothing is heard behind it
        _tell(mouth, Kind.END, end)
    mouth.close()
    await mouth.wait_closed()


async def _tell_all(mouth: asyncio.StreamWriter, feed: Named) -> None:
    """Send the blocks of a feed, each behind the names that it needs."""
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
    """Stop the feed when told to, and end at once when nobody is there any more."""
    with suppress(ConnectionError):
        while await ear.read(1) == STOP:
            feed.stop()
    os._exit(0)


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """End this process if a task failed: the model's starts another, and says so."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        traceback.print_exception(error)
        os._exit(FAILED)


def _tell(mouth: asyncio.StreamWriter, kind: Kind, message: Any) -> None:  # noqa: ANN401
    _send(mouth, kind, msgspec.msgpack.encode(message))


def _send(mouth: asyncio.StreamWriter, kind: Kind, payload: bytes) -> None:
    mouth.write(HEAD.pack(len(payload), kind) + payload)
