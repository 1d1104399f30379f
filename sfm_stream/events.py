"""What a feed can tell, one event at a time or as columns.

A live feed speaks in single events; a file speaks in a `Block`, the same events as
columns. `Block.of` turns the first form into the second, so the engine knows one form
only. Times are int64 nanoseconds since the epoch, UTC. Events carry no number: their
order is their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import nan
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError, ShapeError

__all__ = [
    "ALL_STREAMS", "CLOSED", "CONTROL", "CONTROLS", "GAP", "HEARTBEAT", "LABEL",
    "NO_TIME", "TICK", "Block", "Closed", "Control", "Event", "Floats", "Gap",
    "Heartbeat", "Ints", "Label", "Tick", "to_json",
]  # fmt: skip

TICK, GAP, HEARTBEAT, CONTROL, CLOSED, LABEL = range(6)
ALL_STREAMS = -1
NO_TIME, LARGEST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)
CONTROLS = (
    "learn", "freeze", "adapt", "catch-up", "caught-up", "quarantine", "release",
    "unjournalled", "journalled",
)  # fmt: skip
# Positions in it that change what the engine does; the others are said only.
UNFREEZE, FREEZE, ADAPT, CATCH_UP, CAUGHT_UP = range(5)
# The code of a tick that comes too late for its bin.
LATE = 1
# The code of a gap after which a stream's times begin anew, earlier than before.
ANEW = -2

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """One observation of one stream.

    Attributes:
        stream: name of the stream.
        time: when it happened at the source, ns.
        values: one float per field, in the feed's order; NaN where missing.
        received: when it reached us, ns; not assumed to be after `time`.
    """

    stream: str
    time: int
    values: tuple[float, ...]
    received: int = 0


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """A known loss of data: what is pending can never be known.

    Attributes:
        stream: name of the stream, or empty for all of them.
        time: when it was noticed, ns.
        reason: why, in a few words.
        missed: number of lost ticks, or None.
    """

    stream: str
    time: int
    reason: str
    missed: int | None = None


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Time has passed without a tick.

    Attributes:
        stream: name of the stream, or empty for all of them.
        time: the feed's clock, ns.
    """

    stream: str
    time: int


class Control(msgspec.Struct, frozen=True, tag="control"):
    """A decision taken outside the engine, journalled so that it can be replayed.

    Attributes:
        stream: name of the stream, or empty for all of them.
        time: when it was taken, ns.
        action: one of `CONTROLS`: whether to learn; whether to learn while catching
            up; to learn faster for a while; that a stream was shut out or let in; that
            events go on without a journal or with one.
    """

    stream: str
    time: int
    action: str


class Label(msgspec.Struct, frozen=True, tag="label"):
    """What the next tick's targets will be, known before that tick comes.

    What waits for them is settled at once; the next tick then settles nothing more. A
    target that is NaN or infinite stays unknown for good: what waited is voided.

    Attributes:
        stream: name of the stream.
        time: when it was known, ns.
        values: one float per field, as a tick has; only the targets' count.
    """

    stream: str
    time: int
    values: tuple[float, ...]


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """The feed has ended.

    Attributes:
        time: when, ns.
        reason: why, in a few words.
    """

    time: int
    reason: str
    stream: str = ""


Event: TypeAlias = Tick | Gap | Heartbeat | Control | Closed | Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """T events as columns.

    Attributes:
        streams: table of stream names.
        kind: int8 [T], one of TICK, GAP, HEARTBEAT, CONTROL, CLOSED, LABEL.
        stream: int32 [T], index into `streams`, or ALL_STREAMS.
        time: int64 [T], ns at the source; NO_TIME where it could not be read.
        received: int64 [T], ns here.
        values: float64 [T, F], the fields of a tick or label; NaN where missing.
        code: int64 [T], missed ticks of a gap (-1 unknown), action of a control.
        notes: reason of the gap or closing at a position.

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
        """Make a block of ticks alone.

        Args:
            time: [T], ns.
            values: [T, F].
            streams: table of names.
            stream: [T], index into `streams`; the first one when absent.
            received: [T], ns; the same as `time` when absent.

        Raises:
            ShapeError: if the columns differ in length.

        Examples:
            >>> time = (1_700_000_000 + np.arange(3)) * 10**9
            >>> block = Block.ticks(time, np.ones((3, 2)), streams=("hall",))
            >>> len(block), block.values.shape, len(block[1:])
            (3, (3, 2), 2)
        """
        count = len(time)
        if values.ndim != 2 or len(values) != count:
            raise ShapeError("values", f"({count}, F)", str(values.shape))
        return cls(
            streams=streams,
            kind=np.zeros(count, np.int8),
            stream=np.zeros(count, np.int32) if stream is None else stream,
            time=time,
            received=time if received is None else received,
            values=np.ascontiguousarray(values, np.float64),
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
            ConfigError: if the action of a control is unknown.
        """
        growing = Growing(width)
        for event in events:
            growing.add(event)
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
    """Events that come one by one and leave together, as a block.

    The table of names goes on from block to block and is the same object while no name
    is new: who takes the blocks may remember what it made of the latest table.

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
        """Put an event at the end.

        Raises:
            ShapeError: if a tick or label does not have F values.
            ConfigError: if the action of a control is unknown.
        """
        received, values = 0, self._missing
        if isinstance(event, Tick):
            received, values = event.received, event.values
        else:
            self._others[len(self._time)] = event, *_described(event)
            values = event.values if isinstance(event, Label) else values
        if len(values) != self._width:
            kind = type(event).__name__.lower()
            raise ShapeError(f"{kind}.values", f"({self._width},)", str(event))
        self._stream.append(self._number(event))
        self._time.append(event.time)
        self._received.append(received)
        self._values.append(values)

    def take(self) -> Block:
        """Give all events as a block, and begin anew."""
        count, others = len(self._time), self._others.items()
        kind, code = np.zeros(count, np.int8), np.zeros(count, np.int64)
        for i, (_, kind_of_it, code_of_it) in others:
            kind[i], code[i] = kind_of_it, code_of_it
        flat = chain.from_iterable(self._values)
        values = np.fromiter(flat, np.float64, count * self._width)
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
        """Give the number of an event's stream, a new one if it has none yet."""
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


def pause(reasons: int, code: int) -> int:
    """Give the reasons not to learn, as bits, after a control.

    Args:
        reasons: 1 while frozen, 2 while catching up, 3 for both.
        code: position of the control's action in `CONTROLS`.
    """
    bit = 1 if code in (UNFREEZE, FREEZE) else 2
    if code in (FREEZE, CATCH_UP):
        return reasons | bit
    if code in (UNFREEZE, CAUGHT_UP):
        return reasons & ~bit
    return reasons


def held(time: int) -> int:
    """Give a time as int64 holds it; NO_TIME, which no tick may have, if it cannot."""
    return time if NO_TIME <= time <= LARGEST else NO_TIME


def _described(event: Event) -> tuple[int, int]:
    """Give the kind of an event and its code."""
    match event:
        case Gap():
            return GAP, -1 if event.missed is None else min(event.missed, LARGEST)
        case Control():
            return CONTROL, _code(event.action)
        case Heartbeat():
            return HEARTBEAT, 0
        case Closed():
            return CLOSED, 0
        case Label():
            return LABEL, 0
    return TICK, 0


def _code(action: str) -> int:
    if action not in CONTROLS:
        known = ", ".join(CONTROLS)
        problem = f"expected one of {known}, was {action!r}"
        raise ConfigError("control.action", problem)
    return CONTROLS.index(action)


def _held(times: list[int]) -> Ints:
    try:
        return np.array(times, np.int64)
    except OverflowError:
        return np.array([held(time) for time in times], np.int64)


def expect_width(event: Tick | Label, width: int) -> tuple[float, ...]:
    """Give the values of a tick or label.

    Raises:
        ShapeError: if they are not one per field.
    """
    if len(event.values) != width:
        kind = type(event).__name__.lower()
        raise ShapeError(f"{kind}.values", f"({width},)", str(event))
    return event.values


def to_json(event: Event) -> str:
    """Write an event as one line of JSON; NaN is null.

    Examples:
        >>> print(to_json(Tick("hall", 1, (20.5, float("nan")))))
        {"type":"tick","stream":"hall","time":1,"values":[20.5,null],"received":0}
    """
    return msgspec.json.encode(event).decode()
