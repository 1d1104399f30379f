"""Which checkpoints of a live run belong to its journal.

A power cut or a damaged entry may destroy the end of a journal. A checkpoint taken
after that point contains events that are lost. It must not be used, not even when the
journal has grown past its number: by then other events have the same positions. So a
checkpoint keeps the journal's mark, a hash of every event before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sfm_stream.errors import ConfigError, JournalError
from sfm_stream.storage import checkpoint, journal, segment

MARK = "journal"
"""Key of the mark in a manifest; checkpoints of older versions lack it."""


def misfit(folder: Path, position: int) -> Callable[[Mapping[str, Any]], str]:
    """Give a function that says why a checkpoint does not belong to a journal.

    Args:
        folder: folder of the journal.
        position: number of events in the journal.

    Returns:
        A function of a manifest: the reason, or an empty text if it belongs.
    """
    return partial(_misfit, folder, position)


def set_aside(checkpoints: Path, folder: Path, position: int) -> list[str]:
    """Rename the checkpoints of events that a journal does not hold.

    Args:
        checkpoints: folder of the run's checkpoints.
        folder: folder of its journal.
        position: number of events in the journal.

    Returns:
        A message for each of them: its new name, and why it was renamed.

    Raises:
        CheckpointError: if one cannot be renamed.
        JournalError: if the journal cannot be read.
    """
    found = checkpoint.set_aside(checkpoints, misfit(folder, position))
    return [
        f"{checkpoints / name}: {why}; set aside, it will not be used again"
        for name, why in found.items()
    ]


def expect_live(run: Path, hint: str) -> None:
    """Expect that a run is a live run and has its journal.

    Args:
        run: folder of the run.
        hint: the hint of the error for a backtest.

    Raises:
        ConfigError: if it is a backtest.
        JournalError: if it is a live run whose journal is gone.
    """
    folder, was_live = run / "journal", _was_live(run)
    if folder.is_dir() and (segment.firsts(folder) or not was_live):
        return
    if was_live:
        problem = "expected the journal of this live run, was none"
        way_out = (
            "restore it from a copy, or start a new run, warm from this with --from"
        )
        raise JournalError(str(folder), problem, way_out)
    problem = "expected the folder of a live run, was a backtest"
    raise ConfigError(str(run), problem, hint)


def expect_backtest(run: Path) -> None:
    """Expect that a run is a backtest, which `resume` continues.

    Raises:
        ConfigError: if it is a live run, also one whose journal is gone.
    """
    if (run / "journal").is_dir() or _was_live(run):
        problem = "expected a run of replay, was one of a daemon"
        hint = f"continue it with: sfm-stream daemon CONFIG --out {run}"
        raise ConfigError(str(run), problem, hint)


def _was_live(run: Path) -> bool:
    """Say whether the newest checkpoint of a run was taken by a daemon."""
    newest = checkpoint.latest(run / "checkpoints")
    return newest is not None and MARK in checkpoint.read_manifest(newest)


def _misfit(folder: Path, position: int, manifest: Mapping[str, Any]) -> str:
    seq, mark = manifest["seq"], manifest.get(MARK)
    if seq > position:
        return f"taken after event {seq}, but the journal ends at event {position}"
    if mark is None or seq < journal.first(folder):
        return ""  # nothing to compare: an older version, or its segment was deleted
    if mark != journal.mark_at(folder, seq):
        return f"taken after other events than the {seq} that the journal begins with"
    return ""
