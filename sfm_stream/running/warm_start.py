"""Starts an engine: cold, or warm with the learned state of another run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sfm_stream import config
from sfm_stream.errors import CheckpointError, CheckpointMismatch
from sfm_stream.storage import checkpoint, run_folder

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.storage.run_folder import Run


def adopt(engine: Engine, other: Run, warn: Callable[[str], None]) -> None:
    """Give an engine the learned state of another run.

    Args:
        engine: a new engine.
        other: the run; its newest good checkpoint is used.
        warn: called with a message for each damaged checkpoint that is skipped.

    Raises:
        CheckpointError: if the run has no good checkpoint.
        CheckpointMismatch: if the models differ, naming the settings that differ.
    """
    held = checkpoint.newest_good(other.checkpoints, warn)
    if held is None:
        path = str(other.checkpoints)
        raise CheckpointError(
            path, "expected a checkpoint, was none", "resume it first"
        )
    try:
        engine.adopt(held.arrays, held.manifest["engine"])
    except CheckpointMismatch as e:
        models = map(config.of_model, (other.config, engine.config))
        changed = config.changes(*models)
        if not changed:
            raise
        hint = "start from a run with the same settings, or cold"
        problem = f"expected {run_folder.differing(changed)}"
        raise CheckpointMismatch(str(other.folder), problem, hint) from e


def keep(run: Run, engine: Engine) -> None:
    """Save the state that a run begins with in its folder.

    Raises:
        CheckpointError: if it cannot be written.
    """
    arrays, meta = engine.snapshot()
    checkpoint.save(run.start, 0, arrays, {"engine": meta})


def restore(run: Run, engine: Engine) -> None:
    """Restore the state that a run began with: a cold start leaves the engine as it is.

    Raises:
        CheckpointError: if the checkpoint that it began with is damaged.
    """
    path = checkpoint.latest(run.start)
    if path is not None:
        held = checkpoint.load(path)
        engine.restore(held.arrays, held.manifest["engine"])
