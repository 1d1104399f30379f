"""Views over the websocket: a table of all streams, or the chart of one stream.

Each view is a task for one client. At each beat it sends the data that are new since
its last frame, from the watcher's history. So no data are queued for a slow client: its
next frame comes later and holds more, or lacks the oldest points.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from sfm_stream.daemon.views.frames import OneStream, Overview, OverviewWish, StreamWish

if TYPE_CHECKING:
    from sfm_stream.daemon.views.watcher import Watcher

Wish: TypeAlias = OverviewWish | StreamWish
Send: TypeAlias = Callable[[bytes | str], Awaitable[None]]
WISHES: Mapping[str, type[OverviewWish | StreamWish]] = {
    "overview": OverviewWish,
    "stream": StreamWish,
}
PROCESS_S = 1.0
"""Seconds between messages about the process."""
AGAIN_S = 0.5
"""Seconds until a missing watcher or stream is looked for again."""
HINT = 'send {"view": "overview"} or {"view": "stream", "stream": "..."}'


class _Named(msgspec.Struct):
    """The view that a message names, if any."""

    view: str = ""


def wish_of(message: str | bytes) -> Wish | None:
    """Parse a wish for a view; None if the message is a subscription to records.

    Raises:
        ValueError: if there is no such view.
        msgspec.DecodeError: if the message is invalid.
        RecursionError: if it is nested too deeply.
    """
    try:
        view = msgspec.json.decode(message, type=_Named).view
    except msgspec.ValidationError:
        return None
    if not view:
        return None
    if view not in WISHES:
        known = ", ".join(WISHES)
        raise ValueError(f"view: expected one of {known}, was {view!r}; {HINT}")
    wish: Wish = msgspec.json.decode(message, type=WISHES[view])
    return wish


async def _nothing() -> object:
    return {}


class Gallery:
    """Sends views to clients.

    Args:
        told: gives a message about the process, sent with the overview.
        shut: gives the streams in quarantine.

    Attributes:
        watcher: holds the history of the streams; None before recovery is done.
    """

    def __init__(
        self,
        told: Callable[[], Awaitable[object]] = _nothing,
        shut: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._told, self._shut = told, shut
        self._words, self._told_at = "", -PROCESS_S
        self.watcher: Watcher | None = None

    def expect_there(self, **wanted: frozenset[str]) -> None:
        """Refuse names that the model does not have, once it is recovered.

        Args:
            wanted: names of `targets` and `horizons`.

        Raises:
            ValueError: if a name is unknown.
        """
        if self.watcher is None:
            return
        for what, names in wanted.items():
            there = getattr(self.watcher.shape, what)
            for odd in sorted(names.difference(there)):
                told = ", ".join(there)
                raise ValueError(f"{what}: expected some of {told}, was {odd!r}")

    async def show(self, wish: Wish, send: Send) -> None:
        """Send a client the frames of a view, beat by beat, until cancelled.

        Args:
            wish: the client's wish.
            send: takes a frame, and waits until the client can take more.
        """
        looking = _Looking(wish)
        while True:
            begun = time.monotonic()
            if isinstance(wish, OverviewWish) and looking.is_due(begun):
                await send(await self.words(begun))
            for frame in self._frames(looking, begun):
                await send(frame)
            pause = looking.pause - (time.monotonic() - begun)
            await asyncio.sleep(max(pause, 0))

    async def words(self, now: float) -> str:
        """Give the message about the process; it is cached for all clients."""
        if now - self._told_at >= PROCESS_S / 2:
            self._words = msgspec.json.encode({"process": await self._told()}).decode()
            self._told_at = now
        return self._words

    def _frames(self, looking: _Looking, now: float) -> Iterator[bytes | str]:
        if self.watcher is None:
            looking.pause = AGAIN_S
            return
        self.watcher.fold()
        try:
            view = looking.view(self.watcher)
        except ValueError as error:
            yield from looking.complaint(str(error))
            return
        if isinstance(view, Overview):
            yield from view.beat(self._shut())
        else:
            yield from view.beat(now)


class _Looking:
    """A client's view; its watcher or stream may not exist yet."""

    def __init__(self, wish: Wish) -> None:
        self.wish, self.pause = wish, AGAIN_S
        self._view: Overview | OneStream | None = None
        self._complained, self._told_at = "", -PROCESS_S

    def is_due(self, now: float) -> bool:
        """Say whether a message about the process is due."""
        due = now - self._told_at >= PROCESS_S
        if due:
            self._told_at = now
        return due

    def view(self, watcher: Watcher) -> Overview | OneStream:
        """Give the view; make it at the first call.

        Raises:
            ValueError: if the stream, target or horizon is unknown.
        """
        if self._view is None:
            wish = self.wish
            if isinstance(wish, OverviewWish):
                self._view = Overview(watcher, wish)
            else:
                self._view = OneStream(watcher, wish)
            self.pause = 1 / wish.hz
        return self._view

    def complaint(self, problem: str) -> Iterator[str]:
        """Give a message about a problem, once."""
        if problem != self._complained:
            self._complained = problem
            yield msgspec.json.encode({"error": problem}).decode()
