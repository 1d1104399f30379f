"""The kinds of events, one struct each, and the meaning of their codes."""

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
# Positions of the actions that change the engine; the others are only recorded.
UNFREEZE, FREEZE, ADAPT, CATCH_UP, CAUGHT_UP = range(5)
# The code of a tick that comes too late for its bin.
LATE = 1
# The code of a gap after which a stream's times start again, earlier than before.
ANEW = -2


class Tick(msgspec.Struct, frozen=True, tag="tick", gc=False):
    """One observation of one stream.

    Attributes:
        stream: name of the stream.
        time: when it happened at the source, ns.
        values: one float per field, in the feed's order; NaN where missing.
        received: time of receipt, ns; not assumed to be after `time`.
    """

    stream: str
    time: int
    values: tuple[float, ...]
    received: int = 0


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """A known loss of data; the truth of pending forecasts stays unknown.

    Attributes:
        stream: name of the stream, or empty for all streams.
        time: when the loss was noticed, ns.
        reason: the cause, in a few words.
        missed: number of lost ticks, or None.
    """

    stream: str
    time: int
    reason: str
    missed: int | None = None


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Time has passed without a tick.

    Attributes:
        stream: name of the stream, or empty for all streams.
        time: the feed's clock, ns.
    """

    stream: str
    time: int


class Control(msgspec.Struct, frozen=True, tag="control"):
    """A decision taken outside the engine, journalled so that it can be replayed.

    Attributes:
        stream: name of the stream, or empty for all streams.
        time: when the decision was taken, ns.
        action: one of `CONTROLS`: to learn or not; to stop learning while catching up;
            to learn faster for a while; to exclude or readmit a stream; to continue
            without a journal or with one.
    """

    stream: str
    time: int
    action: str


class Label(msgspec.Struct, frozen=True, tag="label"):
    """The next tick's target values, known before that tick comes.

    Forecasts that wait for these values are scored at once, not again at the tick. A
    target that is NaN or infinite stays unknown: its waiting forecasts are voided.

    Attributes:
        stream: name of the stream.
        time: when the values became known, ns.
        values: one float per field, as in a tick; only those of targets are used.
    """

    stream: str
    time: int
    values: tuple[float, ...]


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """The feed has ended.

    Attributes:
        time: when, ns.
        reason: the cause, in a few words.
    """

    time: int
    reason: str
    stream: str = ""


Event: TypeAlias = Tick | Gap | Heartbeat | Control | Closed | Label


def pause(reasons: int, code: int) -> int:
    """Update the reasons not to learn, kept as bits, by a control.

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
    """Give a time that fits int64, else NO_TIME, which no tick may have."""
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
        ShapeError: if there is not one value per field.
    """
    if len(event.values) != width:
        kind = type(event).__name__.lower()
        raise ShapeError(f"{kind}.values", f"({width},)", str(event))
    return event.values


def expect_numbers(event: Event) -> None:
    """Refuse an event with a value or time that is not a number: a caller's mistake.

    Raises:
        FeatureError: naming that value or time.
    """
    values = getattr(event, "values", ())
    # true of nearly all events; checking each value would double the cost
    if event.time.__class__ is int and FLOATS.issuperset(map(type, values)):
        return
    if (error := misfit(event)) is not None:
        raise error


def misfit(event: Event) -> FeatureError | None:
    """Give the error for the first part of an event that is not a number, or None."""
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
