"""Events in, records out: the core's only stateful object."""

from __future__ import annotations

from sfm_stream.engine.core import Engine

__all__ = ["Engine"]
