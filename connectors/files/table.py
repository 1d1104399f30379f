"""The base of feeds from tables: turns rows into events by the role of each column."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import polars as pl

from connectors.cells import numbers, pace, zones
from connectors.files import encodings, text
from connectors.files.columns import derived
from connectors.files.columns.pieces import Piece, joined, ordered, parted, without
from connectors.files.columns.seen import require_alike
from connectors.tally import Tally
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME, Block, Floats, Ints
from sfm_stream.feeds import FIRST_TIME, OVERLAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from connectors.files.columns.plan import Plan
    from connectors.files.columns.seen import Seen
    from sfm_stream.config import Config

Texts: TypeAlias = Iterator[tuple[bytes, bool]]
NO_NUMBER = "a cell is no number"
SENTINEL = "a number that stands for a missing value"
ZERO_PRICE = "a bid or ask of zero"
LATE = "a number in a column that was empty at first; stream.fields takes it"
NO_STREAM = "a row that names no stream"
NO_TIME_READ = "time could not be read"
LOOKED_AT = 4_096
"""Number of rows at the end of a piece from which its pace is estimated."""
UNREAD = "characters that the file's encoding does not have"
FAR_AHEAD = "a time far ahead of its stream's pace"


@dataclass(slots=True)
class Reading:
    """The state of a reading.

    Attributes:
        local: converter of local times, with the state after earlier rows; or None.
        streams: numbers of the streams by name.
        position: number of events given.
        source: the file that is being read.
        latest: latest time of an event, ns.
    """

    local: zones.Local | None
    streams: dict[str, int] = field(default_factory=dict)
    position: int = 0
    source: str = ""
    latest: int = NO_TIME


class Table(ABC):
    """A feed from files of rows.

    Args:
        plan: the role of each column.
        paths: paths of the files, in order.
        order: order of the rows in each file.

    Attributes:
        fields: names of a tick's values, in order.
        notes: notes for people on what was chosen and left out.
        columns: names of all columns.
        left_out: columns that are not fields, each with the reason.
        tally: counts of data that the latest reading dropped or could not use as
            written.
    """

    connector: ClassVar[str]

    def __init__(self, plan: Plan, paths: Sequence[str], order: str) -> None:
        self._plan, self._paths, self._order = plan, tuple(paths), order
        self.fields, self.notes = plan.fields, plan.notes
        self.columns, self.left_out = plan.there, plan.left_out
        self.tally = Tally()
        self._places: list[tuple[int, Piece]] = []

    def _expect_alike(
        self, first: Seen, files: Mapping[str, Sequence[str]], config: Config
    ) -> None:
        """Require the used columns in all files, and note columns that are ignored.

        Raises:
            FeedError: naming the file that lacks a column.
        """
        told = require_alike(self._plan.used, first, files)
        if told and not config.stream.fields:
            self.notes += (told,)

    @abstractmethod
    def total(self) -> int | None:
        """Give the number of rows to read, or None if it is not known cheaply."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, in order."""
        return self._paths

    @property
    def streams(self) -> tuple[str, ...]:
        """Name of the only stream; empty if a column names the streams."""
        return () if self._plan.symbol else (self._plan.stream,)

    @property
    def is_timed(self) -> bool:
        """Whether rows have times of their own."""
        return self._plan.clock is not None

    def source(self) -> dict[str, Any]:
        """Give the connector and the identity of each file."""
        found = [text.identity(path) for path in self._paths]
        return {"connector": self.connector, "files": found}

    def place(self, event: int) -> str:
        """Say which file and row an event of the latest reading came from.

        Args:
            event: number of the event, from 0.
        """
        at = bisect_right(self._places, event, key=lambda place: place[0]) - 1
        if at < 0:
            return ""
        first, piece = self._places[at]
        return f"{piece.source} row {piece.number(event - first)}"

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the rows of all files as blocks of at most `size` ticks.

        Skipped rows are read too, so that the counts include them.

        Raises:
            FeedError: if a file is cut off or damaged, after all earlier rows.
        """
        reading = self._begun()
        for piece in self._settled(ordered(self._pieces(), self._order)):
            before = reading.position
            block = self._events(piece, reading)
            for start in range(max(after - before, 0), len(block), size):
                yield block[start : start + size]
            if self._plan.rows and reading.position >= self._plan.rows:
                return

    @abstractmethod
    def _pieces(self) -> Iterator[Piece]:
        """Give the rows of all files, in the order of the files and their lines."""

    def _settled(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Hold back rows that may be far ahead until later rows decide."""
        held: Piece | None = None
        for piece in pieces:
            whole = piece
            if held is not None:
                if held.source == piece.source:
                    whole = joined(held, piece)
                else:
                    yield held
            sound, held = parted(whole, len(whole.frame) - self._waiting(whole))
            yield sound
        if held is not None:
            yield held

    def _waiting(self, piece: Piece) -> int:
        """Count the last rows of a piece that must be held back."""
        clock, symbol = self._plan.clock, self._plan.symbol
        if clock is None or piece.step < 0:
            return 0
        last = piece.frame.tail(LOOKED_AT)
        names = last[symbol].cast(pl.String) if symbol else None
        stream = None if names is None else names.rank("dense").fill_null(0).to_numpy()
        return pace.waiting(clock.read(last), stream)

    def _begun(self) -> Reading:
        self.tally.clear()
        self._places.clear()
        clock = self._plan.clock
        return Reading(zones.Local(clock.zone) if clock and clock.zone else None)

    def _events(self, piece: Piece, reading: Reading) -> Block:
        """Turn rows into events, and count the rows that become no event."""
        taken = self._cut(self._of_streams(piece), reading.position)
        self._note(taken, reading.position)
        self._watch(taken)
        block = self._block(taken, reading)
        if self._plan.clock and not self._plan.symbol:
            self._compare(taken, block.time, reading)
        reading.position += len(block)
        return block

    def _of_streams(self, piece: Piece) -> Piece:
        """Leave out rows whose column of stream names is empty."""
        symbol = self._plan.symbol
        if not symbol:
            return piece
        nameless = piece.frame[symbol].cast(pl.String).fill_null("") == ""
        if not nameless.any():
            return piece
        return without(piece, nameless, NO_STREAM, f"column {symbol!r} is empty")

    def _cut(self, piece: Piece, position: int) -> Piece:
        """Leave out rows beyond the limit of the option `rows`."""
        most = self._plan.rows - position
        if not self._plan.rows or len(piece.frame) <= most:
            return piece
        lost = [one for one in piece.lost if one.at < most]
        return Piece(piece.source, piece.row, piece.frame.head(most), lost, piece.step)

    def _watch(self, piece: Piece) -> None:
        """Count the numbers in columns that were empty in the first rows."""
        for name in self._plan.watched:
            if name not in piece.frame.columns:
                continue
            column = piece.frame[name]
            if column.null_count() < len(column):
                values, _ = numbers.read(column.cast(pl.String), self._plan.notation)
                self._count(LATE, ~np.isnan(values), column, piece)

    def _note(self, piece: Piece, position: int) -> None:
        """Remember the rows of events, and count the rows that became no event."""
        frame = piece.frame.clear()
        kept = Piece(piece.source, piece.row, frame, piece.lost, piece.step)
        self._places.append((position, kept))
        for i, one in enumerate(piece.lost):
            row = piece.at(one.at + i)
            detail = f": {one.detail}" if one.detail else ""
            told = f"{piece.source} row {row}{detail}"
            self.tally.add(one.reason, 1, told, rows=int(one.is_data))

    def _block(self, piece: Piece, reading: Reading) -> Block:
        frame, plan, streams = piece.frame, self._plan, reading.streams
        known = {name: self._numbers(frame[name], piece) for name in plan.numbers}
        values = np.empty((len(frame), len(plan.fields)))
        for i, (name, column) in enumerate(zip(plan.fields, plan.columns, strict=True)):
            values[:, i] = (
                derived.values(known, plan.derived[name], piece.source)
                if name in plan.derived
                else known[column]
            )
        if plan.symbol:
            stream = _streams(frame[plan.symbol], streams)
        else:
            stream = None
            streams.setdefault(plan.stream, 0)
        time = self._without_ahead(self._times(piece, reading), stream, piece)
        return Block.ticks(time, values, streams=tuple(streams), stream=stream)

    def _times(self, piece: Piece, reading: Reading) -> Ints:
        clock = self._plan.clock
        if clock is None:
            ticks = reading.position + np.arange(len(piece.frame), dtype=np.int64)
            return FIRST_TIME + ticks * self._plan.period
        time = clock.read(piece.frame, reading.local)
        if NO_TIME_READ not in self.tally.examples and (time == NO_TIME).any():
            at = int(np.argmax(time == NO_TIME))
            self.tally.examples[NO_TIME_READ] = self._moment(piece, at)
        return time

    def _compare(self, piece: Piece, time: Ints, reading: Reading) -> None:
        """Count a file that begins before the end of the files above it."""
        if piece.source != reading.source:
            known = time[time != NO_TIME]
            if not len(known):
                return
            first, last = (
                np.datetime64(int(t), "ns") for t in (known[0], reading.latest)
            )
            if reading.source and known[0] < reading.latest:
                when = f"from {first}, where {reading.source} ends at {last}"
                self.tally.add(OVERLAP, 1, f"{piece.source}: {when}")
            reading.source = piece.source
        reading.latest = max(reading.latest, int(time.max(initial=NO_TIME)))

    def _without_ahead(
        self, time: Ints, stream: NDArray[np.int32] | None, piece: Piece
    ) -> Ints:
        """Replace times far ahead of their stream's pace by NO_TIME, and count them."""
        places = pace.ahead(time, stream)
        if not len(places):
            return time
        first = self._moment(piece, int(places[0]))
        self.tally.add(FAR_AHEAD, len(places), first)
        self.tally.examples.setdefault(NO_TIME_READ, first)
        kept = time.copy()
        kept[places] = NO_TIME
        return kept

    def _moment(self, piece: Piece, at: int) -> str:
        """Describe a row: its file, its number and the text of its time."""
        columns = self._plan.clock.columns if self._plan.clock else ()
        cells = (piece.frame[name][at] for name in columns)
        shown = " ".join("" if cell is None else str(cell) for cell in cells)
        return f"{piece.source} row {piece.number(at)}: {shown!r}"

    def _numbers(self, column: pl.Series, piece: Piece) -> Floats:
        """Turn a column of any type into float64; count cells that become NaN."""
        dtype = column.dtype
        if dtype.base_type() in (pl.String, pl.Categorical, pl.Enum):
            cells = column.cast(pl.String)
            values, odd = numbers.read(cells, self._plan.notation)
            self._count(NO_NUMBER, odd.to_numpy(), cells, piece)
        elif dtype.is_numeric() or dtype.base_type() in (pl.Boolean, pl.Null):
            values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
            values = numbers.without(values, self._plan.notation)
        else:
            problem = f"expected numbers, was {dtype}"
            raise FeedError(piece.source, problem, column=column.name)
        values = self._void(
            SENTINEL, numbers.is_sentinel(values), values, column, piece
        )
        if scale := self._plan.scales.get(column.name):
            values = numbers.scaled(values, scale)
        if column.name in self._plan.prices:
            values = self._void(ZERO_PRICE, values == 0, values, column, piece)
        return values

    def _void(
        self, reason: str, at: NDArray[np.bool_], values: Floats, column: pl.Series,
        piece: Piece,
    ) -> Floats:  # fmt: skip
        """Replace the numbers at a mask by NaN, and count them."""
        if not at.any():
            return values
        self._count(reason, at, column, piece)
        return np.where(at, np.nan, values)

    def _count(
        self, reason: str, at: NDArray[np.bool_], column: pl.Series, piece: Piece
    ) -> None:
        if not at.any():
            return
        row = int(np.argmax(at))
        place = f"{piece.source} row {piece.number(row)} column {column.name!r}"
        self.tally.add(reason, int(at.sum()), f"{place}: {column[row]!r}")


class LineTable(Table):
    """A feed from files of lines; it also reads lines as they arrive."""

    def follow(self, texts: Texts) -> Iterator[Block]:
        """Give the rows of lines as they arrive, in the layout of the first file.

        Args:
            texts: whole lines from the start of the file, and whether they are the
                last; read when the caller has taken all earlier events.

        Raises:
            FeedError: if the last line is cut off.
        """
        reading = self._begun()
        path = self._paths[0]
        for piece in self._read_live(path, self._legible(path, texts)):
            self._places.clear()  # an endless feed must not remember all places
            yield self._events(piece, reading)
            if self._plan.rows and reading.position >= self._plan.rows:
                return

    def _pieces(self) -> Iterator[Piece]:
        for path in self._paths:
            yield from self._read(path, self._legible(path, self._texts(path)))

    def _legible(self, path: str, texts: Texts) -> Texts:
        """Count the characters that could not be read; give the text unchanged."""
        above = 0
        for lines, last in texts:
            count, at, line = encodings.unread(lines)
            if count:
                self.tally.add(UNREAD, count, f"{path} line {above + at}: {line!r}")
            above += lines.count(b"\n")
            yield lines, last

    @abstractmethod
    def _texts(self, path: str) -> Texts:
        """Give a file as pieces of whole lines, each with whether it is the last."""

    @abstractmethod
    def _read(self, path: str, texts: Texts) -> Iterator[Piece]:
        """Give the rows of a file's lines."""

    def _read_live(self, path: str, texts: Texts) -> Iterator[Piece]:
        """Give the rows of lines as they arrive, in the layout of a file."""
        return self._read(path, texts)


def _streams(column: pl.Series, streams: dict[str, int]) -> NDArray[np.int32]:
    names = column.cast(pl.String)
    there = names.unique(maintain_order=True).to_list()
    index = [streams.setdefault(name, len(streams)) for name in there]
    return names.replace_strict(there, index, return_dtype=pl.Int32).to_numpy()
