"""The time of each stream's last tick, from the model's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm_stream.engine import Engine


def heard(engine: Engine, now: int) -> dict[str, int]:
    """Give the time of each stream's last tick, from the model's state, ns.

    Args:
        engine: the model.
        now: time of the start; used for streams without a tick or with a later time.
    """
    latest = engine.latest
    return {name: min(latest.get(name, now), now) for name in engine.streams}
