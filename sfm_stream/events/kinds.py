"""The kinds of events, one struct each, and what their codes mean."""

from __future__ import annotations

import struct
from typing import TypeAlias

import msgspec
import numpy as np

from sfm_stream.errors import ConfigError, FeatureError, ShapeError

TICK, GAP, HEARTBEAT, CONTROL, CLOSED, LABEL = range(6)
ALL_STREAMS = -1
FLOATS = frozenset([float])
NO_TIME, LARGEST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)
CONTROLS = (
    "learn", "freeze", "adapt", "catch-up", "caught-up", "quarantine", "release",
    "unjournalled", "journalled",
)  # fmt: skip
# Positions in it that change what the engine does; the others are only recorded.
UNFREEZE, FREEZE, ADAPT, CATCH_UP, CAUGHT_UP = range(5)
# The code of a tick that comes too late for its bin.
LATE = 1
# The code of a gap after which a stream's times begin anew, earlier than before.
ANEW = -2


class Tick(msgspec.Struct, frozen=True, tag="tick", gc=False):
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
    """A known loss of data: pending truths can never be known.

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


def described(event: Event) -> tuple[int, int]:
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


def expect_width(event: Tick | Label, width: int) -> tuple[float, ...]:
    """Give the values of a tick or label.

    Raises:
        ShapeError: if they are not one per field.
    """
    if len(event.values) != width:
        kind = type(event).__name__.lower()
        raise ShapeError(f"{kind}.values", f"({width},)", str(event))
    return event.values


def expect_numbers(event: Event) -> None:
    """Refuse an event with a value or time that is no number: a caller's mistake.

    Raises:
        FeatureError: naming it.
    """
    values = getattr(event, "values", ())
    # nearly all are such, and a look at each would double what this costs
    if event.time.__class__ is int and FLOATS.issuperset(map(type, values)):
        return
    if (error := misfit(event)) is not None:
        raise error


def misfit(event: Event) -> FeatureError | None:
    """Name the first part of an event that is no number; None if all are."""
    kind = type(event).__name__.lower()
    for name in ("time", "received"):
        if not hasattr(when := getattr(event, name, 0), "__index__"):
            hint = "turn seconds into nanoseconds, as round(s * 10**9)"
            return FeatureError(f"{kind}.{name}", when, "a whole number of ns", hint)
    for i, value in enumerate(getattr(event, "values", ())):
        try:
            struct.pack("d", value)
        except (struct.error, OverflowError):
            hint = "give NaN where it is missing"
            return FeatureError(f"{kind}.values[{i}]", value, "a float", hint)
    return None


def to_json(event: Event) -> str:
    """Write an event as one line of JSON; NaN is null.

    Examples:
        >>> print(to_json(Tick("hall", 1, (20.5, float("nan")))))
        {"type":"tick","stream":"hall","time":1,"values":[20.5,null],"received":0}
    """
    return msgspec.json.encode(event).decode()
