"""Events that a feed gives (ticks, gaps, ...), one at a time or as columns.

A live feed gives single events; a file gives a `Block`, the same events as columns.
`Block.of` turns single events into a block, so that the engine handles blocks only.
Times are int64 nanoseconds since the epoch, UTC. Events carry no number: the number of
an event is its position in the feed.
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
