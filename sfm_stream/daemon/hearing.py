"""When each stream was heard last, as far as a model remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm_stream.engine import Engine


def heard(engine: Engine, now: int) -> dict[str, int]:
    """Say when each stream was heard last as far as a model remembers, ns.

    Args:
        engine: the model.
        now: when it begins to live: for streams of no tick, and those of clocks ahead.
    """
    latest = engine.latest
    return {name: min(latest.get(name, now), now) for name in engine.streams}
