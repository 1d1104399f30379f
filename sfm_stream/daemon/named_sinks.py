"""The names of a live run's sinks, and what their records are kept under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfm_stream.settings import Sink as Settings

if TYPE_CHECKING:
    from sfm_stream.config import Config

RECORDS = "records"
"""Name of the sink that is the run's own records."""
OWN = Settings(kind="parquet", path=RECORDS)
SPILL = "spill"
"""Folder of the run in which records wait that a sink is too slow for."""


def named(config: Config) -> dict[str, Settings]:
    """Name the sinks of a configuration by kind and place."""
    found = {}
    for settings in config.sink:
        place = settings.path or settings.kind
        found[f"{settings.kind} {place}".replace("/", "-")] = settings
    return found
