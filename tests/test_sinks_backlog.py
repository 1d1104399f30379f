from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.errors import SinkError
from sfm_stream.records import Records
from sfm_stream.sinks import spill
from sfm_stream.sinks.backlog import Backlog, Barrier
from tests.records_rig import cut, some

BLOCK = some(0, 40)
ROWS = list(BLOCK.rows())
BARRIER = Barrier(lambda _: None)


def drain(backlog):
    """Give what waits: records one by one, and barriers between them."""
    found = []
    while (item := backlog.next()) is not None:
        found += [item] if isinstance(item, Barrier) else item.rows()
    return found


@settings(max_examples=50)
@given(
    places=st.lists(st.integers(0, 40), max_size=20).map(sorted),
    capacity=st.integers(1, 200),
    taken=st.lists(st.sampled_from(["add", "next", "bar"]), max_size=40),
)
def test_all_comes_out_in_order_whatever_memory_holds(
    tmp_path_factory, places, capacity, taken
):
    folder = tmp_path_factory.mktemp("spill")
    backlog, found, expected = Backlog(folder, capacity, "spill"), [], []
    blocks = iter(cut(BLOCK, *places))
    for action in taken + ["add"] * (len(places) + 1):
        if action == "bar":
            backlog.add(BARRIER)
            expected.append(BARRIER)
        elif action == "add" and (block := next(blocks, None)) is not None:
            backlog.add(block)
            expected += block.rows()
        elif action == "next" and (item := backlog.next()) is not None:
            found += [item] if isinstance(item, Barrier) else item.rows()
        waiting = sum(not isinstance(i, Barrier) for i in (*expected, *found))
        waiting -= 2 * sum(not isinstance(i, Barrier) for i in found)
        assert backlog.rows + backlog.spilled == waiting
    assert found + drain(backlog) == expected
    assert (backlog.rows, backlog.spilled, backlog.dropped) == (0, 0, 0)
    assert list(folder.iterdir()) == []


def test_memory_is_bounded_and_the_rest_on_disk(tmp_path):
    backlog = Backlog(tmp_path, 64, "spill")
    for block in cut(BLOCK, *range(1, 40)):
        backlog.add(block)
        assert backlog.rows <= 64 + 8 + len(block)
    assert backlog.spilled > 0
    assert list(tmp_path.glob("*.bin"))


def test_memory_has_room_for_one_block_of_any_size(tmp_path):
    backlog = Backlog(tmp_path, 5, "drop")
    backlog.add(BLOCK)
    assert drain(backlog) == ROWS
    backlog.add(BLOCK)
    backlog.add(some(100, 10))
    assert drain(backlog) == ROWS
    assert backlog.dropped == len(some(100, 10))


def test_barrier_is_kept_where_records_are_dropped(tmp_path):
    backlog = Backlog(tmp_path, 8, "drop")
    backlog.add(BLOCK)
    backlog.add(some(100, 10))
    backlog.add(BARRIER)
    assert drain(backlog) == [*ROWS, BARRIER]


def test_what_an_earlier_process_spilled_is_removed(tmp_path):
    spill.write(tmp_path / "000000000003.bin", BLOCK)
    (tmp_path / "notes.txt").write_text("of the user")
    assert drain(Backlog(tmp_path, 8, "spill")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_that_cannot_be_cleared_is_an_error(tmp_path):
    (tmp_path / "0.bin").mkdir()
    with pytest.raises(SinkError, match="cannot be used"):
        Backlog(tmp_path, 8, "spill")


def test_full_disk_drops_and_says_so_until_it_takes_again(tmp_path, monkeypatch):
    def refuse(path, _):
        raise SinkError(str(path), "the disk is full")

    backlog = Backlog(tmp_path, 5, "spill")
    backlog.add(BLOCK)
    monkeypatch.setattr(spill, "write", refuse)
    backlog.add(some(100, 10))
    assert backlog.dropped == len(some(100, 10))
    assert "the disk is full" in backlog.trouble
    monkeypatch.undo()
    backlog.add(some(200, 10))
    assert backlog.trouble == ""
    assert drain(backlog) == [*ROWS, *some(200, 10).rows()]


def test_spilled_piece_that_is_gone_is_counted_as_lost(tmp_path):
    backlog = Backlog(tmp_path, 5, "spill")
    for block in (BLOCK, some(100, 10), some(200, 10)):
        backlog.add(block)
    min(tmp_path.iterdir()).unlink()
    assert drain(backlog) == [*ROWS, *some(200, 10).rows()]
    assert backlog.dropped == len(some(100, 10))
    assert "000000000000.bin" in backlog.trouble
    assert (backlog.rows, backlog.spilled) == (0, 0)
    backlog.add(BLOCK)
    assert list(drain(backlog)) == [*ROWS]
    assert backlog.trouble == ""


def test_nothing_waits_in_nothing(tmp_path):
    backlog = Backlog(tmp_path / "absent", 5, "spill")
    backlog.add(Records({}, {}))
    assert backlog.next() is None
