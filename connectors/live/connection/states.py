"""Where a supervisor stands, and what leads from one state to the next: one table.

init -> connecting -> subscribing -> live <-> stale
             ^             |           |        |
             +-- backoff <-+-----------+--------+      any of them -> closed
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from sfm_stream.errors import InvalidState


class State(Enum):
    """Where a supervisor stands."""

    INIT = "init"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    STALE = "stale"
    BACKOFF = "backoff"
    CLOSED = "closed"


class Step(Enum):
    """What happens to a supervisor."""

    TRY = "a connection is tried"
    STAND = "its handshake is done"
    SPEAK = "data came"
    HUSH = "no data came for longer than usual"
    END = "the connection ended"
    STOP = "no further one is tried"


HELD = MappingProxyType(
    {
        Step.SPEAK: State.LIVE,
        Step.HUSH: State.STALE,
        Step.END: State.BACKOFF,
        Step.STOP: State.CLOSED,
    }
)
"""What follows while a connection stands."""
TRANSITIONS: Mapping[State, Mapping[Step, State]] = MappingProxyType(
    {
        State.INIT: {Step.TRY: State.CONNECTING, Step.STOP: State.CLOSED},
        State.CONNECTING: {
            Step.STAND: State.SUBSCRIBING,
            Step.END: State.BACKOFF,
            Step.STOP: State.CLOSED,
        },
        State.SUBSCRIBING: HELD,
        State.LIVE: HELD,
        State.STALE: HELD,
        State.BACKOFF: {Step.TRY: State.CONNECTING, Step.STOP: State.CLOSED},
        State.CLOSED: {},
    }
)


def after(state: State, step: Step) -> State:
    """Give the state that follows.

    Raises:
        InvalidState: if this cannot happen in that state.
    """
    following = TRANSITIONS[state].get(step)
    if following is None:
        possible = (
            ", ".join(sorted(one.name for one in TRANSITIONS[state])) or "nothing"
        )
        problem = f"{state.value}: expected {possible}, was {step.name}: {step.value}"
        raise InvalidState(problem)
    return following
