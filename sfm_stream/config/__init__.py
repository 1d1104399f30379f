"""Reads settings from TOML; refuses unknown keys and invalid values."""

from __future__ import annotations

from sfm_stream.config.catalogue import keys, leaves
from sfm_stream.config.checks import expect_once
from sfm_stream.config.identity import (
    FIRST_EXPERTS,
    TOGETHER,
    changes,
    digest,
    of_first_runs,
    of_model,
)
from sfm_stream.config.reading import (
    each_feed,
    from_tree,
    load,
    parse,
    read_table,
    to_tree,
    written,
)
from sfm_stream.settings import Config, Target

__all__ = [
    "FIRST_EXPERTS", "TOGETHER", "Config", "Target", "changes", "digest", "each_feed",
    "expect_once", "from_tree", "keys", "leaves", "load", "of_first_runs", "of_model",
    "parse", "read_table", "to_tree", "written",
]  # fmt: skip
