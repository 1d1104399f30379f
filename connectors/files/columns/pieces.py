"""The rows of a file in pieces, which know the number of each row in the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl

from sfm_stream.errors import FeedError

NEWEST_FIRST = "newest-first"
MOST_IN_MEMORY = 4 << 30
"""Most bytes of a file's used columns that `newest-first` may hold in memory."""


ZEROS = "zero bytes, as in a file that grew during a crash"
CUT = "a line that was cut off"


class Lost(NamedTuple):
    """A row that became no event.

    Attributes:
        at: number of rows before it in its piece that became events.
        reason: why it became no event.
        detail: a description of the row, or empty.
        is_data: whether it is a row of data.
    """

    at: int
    reason: str
    detail: str
    is_data: bool = True


def rows_of(frame: pl.DataFrame, lost: Iterable[Lost]) -> int:
    """Count the rows of a piece, including those that became no events."""
    return len(frame) + sum(one.reason != ZEROS for one in lost)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows of a file.

    Attributes:
        source: the file.
        row: number of rows before the piece in the file.
        frame: the used columns of the rows that become events.
        lost: the rows among them that become no events, in order.
        step: 1, or -1 if the rows are in reverse order; `row` is then the number of the
            piece's first row.
    """

    source: str
    row: int
    frame: pl.DataFrame
    lost: Sequence[Lost] = ()
    step: int = 1

    def number(self, at: int) -> int:
        """Give the number in the file, from 1, of a row of the frame."""
        return self.at(at + sum(one.at <= at for one in self.lost))

    def at(self, place: int) -> int:
        """Give the number in the file, from 1, of a row of the piece, lost ones too."""
        return self.row + place + 1 if self.step > 0 else self.row - place


def parted(piece: Piece, count: int) -> tuple[Piece, Piece | None]:
    """Split a piece after `count` rows of its frame; the rest is None if empty."""
    if count >= len(piece.frame):
        return piece, None
    before = [one for one in piece.lost if one.at <= count]
    after = [one._replace(at=one.at - count) for one in piece.lost if one.at > count]
    row = piece.row + count + len(before)
    first = Piece(piece.source, piece.row, piece.frame.head(count), before)
    return first, Piece(piece.source, row, piece.frame.slice(count), after)


def without(piece: Piece, odd: pl.Series, reason: str, detail: str) -> Piece:
    """Move rows of a piece from its frame to its lost rows.

    Args:
        piece: the piece.
        odd: mask of the rows of its frame to move.
        reason: why they become no events.
        detail: a description of the rows.
    """
    gone = [0, *odd.cum_sum()]
    ats = [one.at for one in piece.lost]
    placed = {
        one.at + i: one._replace(at=one.at - gone[one.at])
        for i, one in enumerate(piece.lost)
    }
    for row in odd.arg_true():
        placed[row + bisect_right(ats, row)] = Lost(row - gone[row], reason, detail)
    lost = [placed[place] for place in sorted(placed)]
    return replace(piece, frame=piece.frame.filter(~odd), lost=lost)


def joined(first: Piece, second: Piece) -> Piece:
    """Join two consecutive pieces of a file."""
    behind = len(first.frame)
    lost = [one._replace(at=one.at + behind) for one in second.lost]
    frame = pl.concat([first.frame, second.frame], how="vertical_relaxed")
    return Piece(first.source, first.row, frame, [*first.lost, *lost])


def ordered(pieces: Iterable[Piece], order: str) -> Iterator[Piece]:
    """Give pieces in order of time; reverse each file whose newest row is first.

    Raises:
        FeedError: if a file is too large to be reversed in memory.
    """
    if order != NEWEST_FIRST:
        yield from pieces
        return
    held: list[Piece] = []
    for piece in pieces:
        if held and held[0].source != piece.source:
            yield from _turned(held)
            held = []
        held.append(piece)
        if sum(one.frame.estimated_size() for one in held) > MOST_IN_MEMORY:
            problem = f"expected at most {MOST_IN_MEMORY >> 20} MiB to turn round"
            raise FeedError(piece.source, problem, "sort the file by time, or split it")
    yield from _turned(held)


def _turned(pieces: Sequence[Piece]) -> Iterator[Piece]:
    for piece in reversed(pieces):
        count = len(piece.frame)
        lost = [one._replace(at=count - one.at) for one in reversed(piece.lost)]
        last = piece.row + count + len(lost)
        yield Piece(piece.source, last, piece.frame.reverse(), lost, -1)
