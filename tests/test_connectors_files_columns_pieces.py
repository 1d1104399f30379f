from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.files.columns.pieces import Lost, Piece, joined, ordered, parted
from sfm_stream.events import NO_TIME
from tests.test_connectors_files_kinds import opened, whole

AHEAD = "a time far ahead of its stream's pace"
MIB = 1 << 20


def numbers(piece):
    return [piece.number(at) for at in range(len(piece.frame))]


@given(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=5), st.integers(0, 8))
def test_parts_of_a_piece_have_its_rows_and_joined_are_the_piece(rows, lost, count):
    frame = pl.DataFrame({"a": list(range(rows))})
    gone = [Lost(at, "odd", "") for at in sorted(at for at in lost if at <= rows)]
    piece = Piece("x.csv", 7, frame, gone)
    first, second = parted(piece, count)
    if second is None:
        assert (first, count >= rows) == (piece, True)
        return
    assert numbers(first) + numbers(second) == numbers(piece)
    again = joined(first, second)
    assert again.frame.equals(frame)
    assert (again.row, list(again.lost)) == (7, gone)


def test_a_file_newest_first_is_turned_round_piece_by_piece():
    frames = [pl.DataFrame({"a": [5, 4]}), pl.DataFrame({"a": [3, 2, 1]})]
    pieces = [Piece("x", 0, frames[0]), Piece("x", 2, frames[1])]
    turned = list(ordered(pieces, "newest-first"))
    assert [n for one in turned for n in one.frame["a"]] == [1, 2, 3, 4, 5]
    assert [n for one in turned for n in numbers(one)] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("back", range(4))
def test_a_time_far_ahead_at_the_end_of_a_piece_costs_its_row_alone(tmp_path, back):
    """Files are read in pieces of 4 MiB; the row stands around the first one's end."""
    width = len("1700000000,1.5\n")
    rows = 4 * MIB // width + 2_000
    lines = [f"{1_700_000_000 + i},1.5" for i in range(rows)]
    at = (4 * MIB - len("when,kwh\n")) // width - back
    lines[at] = f"{1_700_000_000 + at + 10**8},1.5"
    feed = opened(tmp_path, "\n".join(["when,kwh", *lines]) + "\n", time="when")
    block = whole(feed, 65_536)
    assert (block.time == NO_TIME).nonzero()[0].tolist() == [at]
    assert feed.tally.counts[AHEAD] == 1
    assert f"row {at + 1}:" in feed.tally.examples[AHEAD]
