"""Reads piano rolls, the data of the paper's second task: the sounding keys per frame.

The data was published with RNN-RBM as pickles, and with TCN as the `.mat` files that
this module reads: three lists of pieces, each piece a matrix of frames and 88 keys.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.paper.data.sequences import Sequences
from sfm_stream.paper.training.loop import Splits

KEYS = 88
# File of each set, by the names and in the order of the slides' table.
FILES: Mapping[str, str] = {
    "muse-data": "MuseData.mat",
    "jsb": "JSB_Chorales.mat",
    "piano-midi": "Piano_midi.mat",
    "nottingham": "Nottingham.mat",
}
LISTS = ("traindata", "validdata", "testdata")


def present(folder: Path) -> list[str]:
    """Name the sets whose files are in a folder.

    Raises:
        FeedError: if the folder has no such file.
    """
    names = [name for name, file in FILES.items() if (folder / file).is_file()]
    if not names:
        problem = f"expected some of {', '.join(FILES.values())}, was none"
        raise FeedError(str(folder), problem, "name their folder with --data")
    return names


def load(
    name: str, folder: Path, pieces: int | None = None, frames: int | None = None
) -> Splits:
    """Read a set: for each piece, all frames but the last, and their next frames.

    Args:
        name: one of `FILES`.
        folder: that contains the file.
        pieces: number of first pieces of each split to take; None takes all.
        frames: number of first frames of each piece to take; None takes all.

    Raises:
        ConfigError: for another name, or if scipy is absent.
        FeedError: if the file is absent, damaged, or has no piano rolls.
    """
    if name not in FILES:
        problem = f"expected some of {', '.join(FILES)}, was {name!r}"
        raise ConfigError("--sets", problem)
    path = folder / FILES[name]
    found = _read(path)
    splits = (_sequences(path, found, part, pieces, frames) for part in LISTS)
    return Splits(*splits)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as e:
        hint = "install it: pip install 'sfm-stream[paper]'"
        raise ConfigError("paper", "scipy is absent", hint) from e
    try:
        kept = path.read_bytes()
    except OSError as e:
        problem = f"cannot be read: {e.strerror or e}"
        raise FeedError(str(path), problem, "name its folder with --data") from e
    try:
        found: Mapping[str, Any] = loadmat(BytesIO(kept))
    except (OSError, ValueError, TypeError, MatReadError, zlib.error) as e:
        problem = f"expected a MATLAB file, was damaged: {e}"
        raise FeedError(str(path), problem, "fetch it again") from e
    return found


def _sequences(
    path: Path,
    found: Mapping[str, Any],
    part: str,
    pieces: int | None,
    frames: int | None,
) -> Sequences:
    if part not in found:
        raise FeedError(str(path), f"expected {', '.join(LISTS)}, had no {part}")
    rolls = [
        _roll(path, part, at, roll)[:frames]
        for at, roll in enumerate(found[part].ravel()[:pieces], 1)
    ]
    return Sequences([roll[:-1] for roll in rolls], [roll[1:] for roll in rolls])


def _roll(path: Path, part: str, at: int, roll: NDArray[np.generic]) -> Tensor:
    if roll.ndim != 2 or roll.shape[0] < 2 or roll.shape[1] != KEYS:
        problem = f"expected [2 or more frames, {KEYS}], was {list(roll.shape)}"
        raise FeedError(str(path), problem, row=at, column=part)
    if not np.isin(roll, (0, 1)).all():
        raise FeedError(str(path), "expected zeros and ones", row=at, column=part)
    return torch.tensor(roll.astype(np.float32))
