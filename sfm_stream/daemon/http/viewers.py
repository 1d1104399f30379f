"""Clients of the websocket that look: at all streams, or at one.

Each view is a task that beats for its client alone. What is new since its cursor is
taken from what the watcher keeps, so nothing waits in memory for a slow client: its
next frame comes later and holds more, or has lost the oldest.
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
"""Seconds until what is not there is looked for again."""
HINT = 'send {"view": "overview"} or {"view": "stream", "stream": "..."}'


class _Named(msgspec.Struct):
    """Which view a message is about, if it is about one."""

    view: str = ""


def wish_of(message: str | bytes) -> Wish | None:
    """Read a wish to look; None: it is a subscription to records.

    Raises:
        ValueError: if it is no view that there is.
        msgspec.DecodeError: if it is invalid.
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
    """What there is to look at.

    Args:
        told: gives a message about the process, sent with the overview.
        shut: gives the streams that are shut out.

    Attributes:
        watcher: of the streams; None before the model is recovered.
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
        """Refuse names that the model does not have, once it is there.

        Args:
            wanted: names of `targets` and `horizons`.

        Raises:
            ValueError: if one is of none.
        """
        if self.watcher is None:
            return
        for what, names in wanted.items():
            there = getattr(self.watcher.shape, what)
            for odd in sorted(names.difference(there)):
                told = ", ".join(there)
                raise ValueError(f"{what}: expected some of {told}, was {odd!r}")

    async def show(self, wish: Wish, send: Send) -> None:
        """Show a client what it wishes to see, beat by beat, until cancelled.

        Args:
            wish: of the client.
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
        """Give the message about the process, which all clients share for a while."""
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
    """A client's look at something, which may not be there yet."""

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
        """Give the view.

        Raises:
            ValueError: if what is wished for is not there.
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
        """Say once what is not there."""
        if problem != self._complained:
            self._complained = problem
            yield msgspec.json.encode({"error": problem}).decode()
