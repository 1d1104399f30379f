"""The states of a supervisor, and the steps from one state to the next, as one table.

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
    """The state of a supervisor."""

    INIT = "init"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    STALE = "stale"
    BACKOFF = "backoff"
    CLOSED = "closed"


class Step(Enum):
    """A step of a supervisor, which may change its state."""

    TRY = "a connection is tried"
    STAND = "the handshake is done"
    SPEAK = "data came"
    HUSH = "no data came for longer than usual"
    END = "the connection ended"
    STOP = "no further connection is tried"


HELD = MappingProxyType(
    {
        Step.SPEAK: State.LIVE,
        Step.HUSH: State.STALE,
        Step.END: State.BACKOFF,
        Step.STOP: State.CLOSED,
    }
)
"""The next states while a connection is open."""
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
    """Give the state that follows from a step.

    Raises:
        InvalidState: if the step is not possible in the state.
    """
    following = TRANSITIONS[state].get(step)
    if following is None:
        possible = (
            ", ".join(sorted(one.name for one in TRANSITIONS[state])) or "nothing"
        )
        problem = f"{state.value}: expected {possible}, was {step.name}: {step.value}"
        raise InvalidState(problem)
    return following
