"""All settings, as a frozen tree of tables."""

from __future__ import annotations

from sfm_stream.settings.experts import EXPERTS, PARTS, Expert, Part
from sfm_stream.settings.sections import PIPE
from sfm_stream.settings.tables import (
    Config,
    Daemon,
    Features,
    Feed,
    Forecast,
    Learn,
    Model,
    RecordKind,
    Run,
    Sink,
    Stream,
    Target,
)

__all__ = [
    "EXPERTS", "PARTS", "PIPE", "Config", "Daemon", "Expert", "Features", "Feed",
    "Forecast", "Learn", "Model", "Part", "RecordKind", "Run", "Sink", "Stream",
    "Target",
]  # fmt: skip
