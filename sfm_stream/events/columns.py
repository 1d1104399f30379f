"""Events as columns: a block of them, and a block that grows event by event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import nan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import FeatureError, ShapeError
from sfm_stream.events.kinds import (
    ALL_STREAMS,
    CONTROLS,
    Closed,
    Control,
    Event,
    Gap,
    Heartbeat,
    Label,
    Tick,
    described,
    expect_numbers,
    held,
    misfit,
)

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """T events as columns.

    Attributes:
        streams: table of stream names.
        kind: int8 [T], one of TICK, GAP, HEARTBEAT, CONTROL, CLOSED, LABEL.
        stream: int32 [T], index into `streams`, or ALL_STREAMS.
        time: int64 [T], ns at the source; NO_TIME where it could not be read.
        received: int64 [T], ns at the receiver.
        values: float64 [T, F], the fields of a tick or label; NaN where missing.
        code: int64 [T], missed ticks of a gap (-1 unknown, `ANEW`), action of a
            control, or `LATE` of a tick.
        notes: by position, the reason of a gap or of the feed's end.

    Examples:
        >>> tick = Tick("hall", 1_700_000_000 * 10**9, (20.5, 0.3))
        >>> gap = Gap("hall", 1_700_000_060 * 10**9, "the sensor was off", missed=59)
        >>> block = Block.of([tick, gap], width=2)
        >>> block.streams, block.kind.tolist(), block.code.tolist()
        (('hall',), [0, 1], [0, 59])
        >>> block.values.tolist()
        [[20.5, 0.3], [nan, nan]]
        >>> list(block.events()) == [tick, gap]
        True
    """

    streams: tuple[str, ...]
    kind: NDArray[np.int8]
    stream: NDArray[np.int32]
    time: Ints
    received: Ints
    values: Floats
    code: Ints
    notes: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def holds_ticks_alone(self) -> bool:
        """Whether all events are ticks."""
        # TICK is 0; a live batch is a few bytes, for which numpy's `any` takes longer
        return self.kind.tobytes().count(0) == len(self.kind)

    def __getitem__(self, part: slice) -> Block:
        """Return a part of the block, sharing memory; steps of 1 only."""
        start, stop, _ = part.indices(len(self))
        notes = {i - start: n for i, n in self.notes.items() if start <= i < stop}
        return Block(
            streams=self.streams,
            kind=self.kind[part],
            stream=self.stream[part],
            time=self.time[part],
            received=self.received[part],
            values=self.values[part],
            code=self.code[part],
            notes=notes,
        )

    @classmethod
    def ticks(
        cls,
        time: Ints,
        values: Floats,
        *,
        streams: tuple[str, ...],
        stream: NDArray[np.int32] | None = None,
        received: Ints | None = None,
    ) -> Block:
        """Make a block of ticks.

        Args:
            time: [T], ns.
            values: [T, F].
            streams: table of stream names.
            stream: [T], index into `streams`; the first stream when absent.
            received: [T], ns; the same as `time` when absent.

        Raises:
            ShapeError: if the columns differ in length.
            FeatureError: if times are not whole numbers, or values not numbers.

        Examples:
            >>> time = (1_700_000_000 + np.arange(3)) * 10**9
            >>> block = Block.ticks(time, np.ones((3, 2)), streams=("hall",))
            >>> len(block), block.values.shape, len(block[1:])
            (3, (3, 2), 2)
        """
        time, values = _whole("time", time), _numbers(values)
        count = len(time)
        if values.ndim != 2 or len(values) != count:
            raise ShapeError("values", f"({count}, F)", str(values.shape))
        return cls(
            streams=streams,
            kind=np.zeros(count, np.int8),
            stream=np.zeros(count, np.int32) if stream is None else stream,
            time=time,
            received=time if received is None else _whole("received", received),
            values=values,
            code=np.zeros(count, np.int64),
        )

    @classmethod
    def of(cls, events: Sequence[Event], width: int) -> Block:
        """Turn single events into columns.

        Args:
            events: in order.
            width: number of fields F of a tick.

        Raises:
            ShapeError: if a tick or label does not have F values.
            FeatureError: if a value or time is not a number.
            ConfigError: if the action of a control is unknown.
        """
        growing = Growing(width)
        for event in events:
            growing.add(event)
            expect_numbers(event)
        return growing.take()

    def events(self) -> Iterator[Event]:
        """Give the events one by one."""
        for i in range(len(self)):
            yield self._event(i)

    def _event(self, i: int) -> Event:
        index = int(self.stream[i])
        name = "" if index == ALL_STREAMS else self.streams[index]
        time, code = int(self.time[i]), int(self.code[i])
        match int(self.kind[i]):
            case 0:  # TICK
                values = tuple(self.values[i].tolist())
                return Tick(name, time, values, int(self.received[i]))
            case 1:  # GAP
                note = self.notes.get(i, "")
                return Gap(name, time, note, None if code < 0 else code)
            case 2:  # HEARTBEAT
                return Heartbeat(name, time)
            case 3:  # CONTROL
                return Control(name, time, CONTROLS[code])
            case 4:  # CLOSED
                return Closed(time, self.notes.get(i, ""))
            case _:
                return Label(name, time, tuple(self.values[i].tolist()))


class Growing:
    """Collects single events and gives them as a block.

    The table of stream names is kept from block to block and stays the same object
    until a new name is added: the reader of the blocks may cache what it derives from
    the table.

    Args:
        width: number of fields F of a tick.

    Attributes:
        streams: table of stream names so far.
    """

    def __init__(self, width: int) -> None:
        self.streams: tuple[str, ...] = ()
        self._width, self._missing = width, (nan,) * width
        self._numbers: dict[str, int] = {}
        self._clear()

    def __len__(self) -> int:
        return len(self._time)

    def add(self, event: Event) -> None:
        """Append an event.

        Raises:
            ShapeError: if a tick or label does not have F values.
            ConfigError: if the action of a control is unknown.
        """
        received, values = 0, self._missing
        if isinstance(event, Tick):
            received, values = event.received, event.values
        else:
            self._others[len(self._time)] = event, *described(event)
            values = event.values if isinstance(event, Label) else values
        if len(values) != self._width:
            kind = type(event).__name__.lower()
            raise ShapeError(f"{kind}.values", f"({self._width},)", str(event))
        self._stream.append(self._number(event))
        self._time.append(event.time)
        self._received.append(received)
        self._values.append(values)

    def take(self) -> Block:
        """Give the collected events as a block, and start to collect anew.

        Raises:
            FeatureError: if a value is not a number.
        """
        count, others = len(self._time), self._others.items()
        kind, code = np.zeros(count, np.int8), np.zeros(count, np.int64)
        for i, (_, kind_of_it, code_of_it) in others:
            kind[i], code[i] = kind_of_it, code_of_it
        flat = chain.from_iterable(self._values)
        try:
            values = np.fromiter(flat, np.float64, count * self._width)
        except (TypeError, ValueError, OverflowError) as e:
            ticks = (Tick("", 0, values) for values in self._values)
            raise next(filter(None, map(misfit, ticks)), e) from e
        block = Block(
            streams=self.streams,
            kind=kind,
            stream=np.array(self._stream, np.int32),
            time=_held(self._time),
            received=_held(self._received),
            values=values.reshape(count, self._width),
            code=code,
            notes={i: e.reason for i, (e, *_) in others if isinstance(e, Gap | Closed)},
        )
        self._clear()
        return block

    def _number(self, event: Event) -> int:
        """Give the number of an event's stream; number it first if it is new."""
        name = event.stream
        number = self._numbers.get(name)
        if name == "" and not isinstance(event, Tick):
            return ALL_STREAMS
        if number is None:
            number = self._numbers[name] = len(self.streams)
            self.streams = (*self.streams, name)
        return number

    def _clear(self) -> None:
        self._stream: list[int] = []
        self._time: list[int] = []
        self._received: list[int] = []
        self._values: list[tuple[float, ...]] = []
        self._others: dict[int, tuple[Event, int, int]] = {}


def _whole(name: str, times: Ints) -> Ints:
    """Check that times are whole ns; a float cannot hold a current time to the ns."""
    found = np.asarray(times)
    if found.dtype == "M8[ns]":
        return found.view(np.int64)
    if found.dtype.kind not in "iu":
        hint = "turn them into whole ns before, as int64"
        raise FeatureError(name, found.dtype.name, "whole numbers of ns", hint)
    return found


def _numbers(values: Floats) -> Floats:
    try:
        return np.ascontiguousarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as e:
        hint = "give NaN where one is missing"
        was = np.asarray(values).dtype.name
        raise FeatureError("values", was, "floats", hint) from e


def _held(times: list[int]) -> Ints:
    try:
        return np.array(times, np.int64)
    except OverflowError:
        return np.array([held(time) for time in times], np.int64)
