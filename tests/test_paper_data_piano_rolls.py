"""Piano rolls from `.mat` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.paper.data import piano_rolls

REAL = Path(__file__).parents[2] / "shared/data/music"


def cells(*parts):
    """Give MATLAB's list of matrices."""
    held = np.empty((1, len(parts)), object)
    held[0, :] = parts
    return held


def piece(frames, seed=0):
    drawn = np.random.default_rng(seed).random((frames, piano_rolls.KEYS))
    return (drawn < 0.05).astype(np.uint8)


def keep(folder, name="jsb", **changes):
    lists = {part: cells(piece(5, 1), piece(3, 2)) for part in piano_rolls.LISTS}
    savemat(folder / piano_rolls.FILES[name], {**lists, **changes})


def test_a_frame_is_followed_by_the_next(tmp_path):
    keep(tmp_path)
    for part in piano_rolls.load("jsb", tmp_path):
        assert [len(x) for x in part.x] == [4, 2]
        roll = torch.tensor(piece(5, 1)).float()
        assert torch.equal(part.x[0], roll[:-1])
        assert torch.equal(part.y[0], roll[1:])


def test_the_first_pieces_of_each_split_are_enough_where_so_many_are_asked(tmp_path):
    keep(tmp_path)
    assert [len(part.x) for part in piano_rolls.load("jsb", tmp_path, 1)] == [1, 1, 1]


def test_sets_that_are_there_are_named_in_the_order_of_the_slides(tmp_path):
    keep(tmp_path, "nottingham")
    keep(tmp_path, "muse-data")
    assert piano_rolls.present(tmp_path) == ["muse-data", "nottingham"]


def test_a_folder_without_a_set_is_refused(tmp_path):
    with pytest.raises(
        FeedError, match=r"some of MuseData.mat.*, was none; name their"
    ):
        piano_rolls.present(tmp_path)
    with pytest.raises(FeedError, match=r"JSB_Chorales.mat: cannot be read"):
        piano_rolls.load("jsb", tmp_path)


def test_a_set_of_another_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--sets: expected some of muse-data"):
        piano_rolls.load("abba", tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    keep(tmp_path)
    path = tmp_path / piano_rolls.FILES["jsb"]
    whole = path.read_bytes()
    for damaged in (b"", b"no matlab", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(FeedError, match="expected a MATLAB file, was damaged"):
            piano_rolls.load("jsb", tmp_path)


@pytest.mark.parametrize(
    ("roll", "problem"),
    [
        (np.zeros((4, 87)), r"row 2 column 'testdata': .*, 88\], was \[4, 87\]"),
        (np.zeros((1, 88)), r"\[2 or more frames, 88\], was \[1, 88\]"),
        (np.full((4, 88), 2), "expected zeros and ones"),
    ],
)
def test_what_is_no_piano_roll_is_refused_by_its_place(tmp_path, roll, problem):
    keep(tmp_path, testdata=cells(piece(3), roll))
    with pytest.raises(FeedError, match=problem):
        piano_rolls.load("jsb", tmp_path)


def test_a_missing_split_is_refused(tmp_path):
    savemat(
        tmp_path / piano_rolls.FILES["jsb"], {"traindata": cells(piece(3), piece(3))}
    )
    with pytest.raises(FeedError, match="had no validdata"):
        piano_rolls.load("jsb", tmp_path)


@pytest.mark.skipif(not REAL.exists(), reason="the piano rolls are not there")
def test_the_chorales_have_the_pieces_and_frames_they_are_known_for():
    splits = piano_rolls.load("jsb", REAL)
    assert [len(part.x) for part in splits] == [229, 76, 77]
    frames = [sum(len(y) + 1 for y in part.y) for part in splits]
    assert frames == [13807, 4602, 4725]


def test_the_first_frames_of_each_piece_are_enough_where_so_many_are_asked(tmp_path):
    keep(tmp_path)
    for part in piano_rolls.load("jsb", tmp_path, frames=3):
        assert [len(x) for x in part.x] == [2, 2]
        assert torch.equal(part.y[0], torch.tensor(piece(5, 1)).float()[1:3])
