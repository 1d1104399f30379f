"""Explains rejected rows and missing scores of a run: counts, reasons, causes."""

from sfm_stream.running.judgement.aims import expect_targets
from sfm_stream.running.judgement.scored import remarks
from sfm_stream.running.judgement.taken import (
    Reading,
    is_loud,
    lines,
    of_live,
    of_run,
    preview,
    reading_of,
    refuse,
)

__all__ = [
    "Reading",
    "expect_targets",
    "is_loud",
    "lines",
    "of_live",
    "of_run",
    "preview",
    "reading_of",
    "refuse",
    "remarks",
]
