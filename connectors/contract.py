"""What every feed offers, whatever it reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sfm_stream.errors import FeedError

if TYPE_CHECKING:
    from sfm_stream.events import Block

FIRST_TIME = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z in ns: where feeds without times begin."""
SHOWN = 20


class Feed(Protocol):
    """A source that can be read again from any event."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a tick's values, in order."""

    def source(self) -> dict[str, Any]:
        """Give the identity of the source, JSON-able: equal means same events."""

    def total(self) -> int | None:
        """Give the number of events if it is cheaply known."""

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the events from the start, in order.

        Args:
            size: most events in a block.
            after: number of events of the feed to leave out.

        Raises:
            FeedError: where the source cannot be read on; what came before was given.
        """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give a hint: the nearest of the known names, or what there is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"there are: {', '.join(names[:SHOWN])}{more}" if names else ""


def chosen(there: Sequence[str], wanted: Sequence[str], source: str) -> list[int]:
    """Find the wanted fields among those there; all of them when none is named.

    Raises:
        FeedError: naming the field that is not there.
    """
    for name in wanted:
        if name not in there:
            hint = did_you_mean(name, there)
            raise FeedError(source, "no such field", hint, column=name)
    return [there.index(name) for name in wanted or there]
