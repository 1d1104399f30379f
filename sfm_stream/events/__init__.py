"""What a feed can tell, one event at a time or as columns.

A live feed speaks in single events; a file speaks in a `Block`, the same events as
columns. `Block.of` turns the first form into the second, so the engine knows one form
only. Times are int64 nanoseconds since the epoch, UTC. Events carry no number: their
order is their number.
"""

from sfm_stream.events.columns import Block, Floats, Ints
from sfm_stream.events.kinds import (
    ALL_STREAMS,
    CLOSED,
    CONTROL,
    CONTROLS,
    GAP,
    HEARTBEAT,
    LABEL,
    NO_TIME,
    TICK,
    Closed,
    Control,
    Event,
    Gap,
    Heartbeat,
    Label,
    Tick,
    to_json,
)

__all__ = [
    "ALL_STREAMS", "CLOSED", "CONTROL", "CONTROLS", "GAP", "HEARTBEAT", "LABEL",
    "NO_TIME", "TICK", "Block", "Closed", "Control", "Event", "Floats", "Gap",
    "Heartbeat", "Ints", "Label", "Tick", "to_json",
]  # fmt: skip
