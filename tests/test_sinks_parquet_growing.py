from __future__ import annotations

import os

import pytest

from sfm_stream.errors import SinkError
from sfm_stream.sinks.parquet import growing
from tests.records_rig import refuse, some


def appended(path, *starts):
    for start in starts:
        block = some(start, 5)
        growing.append(path, 7, "scores", block.columns["scores"], block.tables)


def test_a_log_gives_back_its_blocks_and_where_it_goes_on(tmp_path):
    path = tmp_path / "scores-000000.log"
    assert growing.load(path) is None
    appended(path, 0, 5)
    found = growing.load(path)
    assert found.after == 7
    assert [block.count("scores") for block in found.blocks] == [5, 5]
    assert list(found.blocks[1].rows()) == [
        row for row in some(5, 5).rows() if type(row).__name__ == "Score"
    ]
    assert found.ends[-1] == path.stat().st_size


def test_a_log_is_cut_where_a_block_ends(tmp_path):
    path = tmp_path / "scores-000000.log"
    appended(path, 0, 5, 10)
    growing.cut(path, growing.load(path), "scores", 10)
    assert len(growing.load(path).blocks) == 2
    with pytest.raises(SinkError, match="expected 7 rows, was 10"):
        growing.cut(path, growing.load(path), "scores", 7)
    growing.cut(path, growing.load(path), "scores", 0)
    assert not path.exists()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch, call):
    path = tmp_path / "scores-000000.log"
    appended(path, 0)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(OSError, match="No space left"):
            appended(path, 5)
    assert path.read_bytes() == before
    appended(path, 5)
    assert len(growing.load(path).blocks) == 2


def test_a_torn_log_holds_what_is_whole(tmp_path):
    path = tmp_path / "scores-000000.log"
    appended(path, 0, 5)
    whole, end = path.read_bytes(), growing.load(path).ends[0]
    for size in (0, 3, 12, end, len(whole) - 1):
        path.write_bytes(whole[:size])
        found = growing.load(path)
        assert (0 if found is None else len(found.blocks)) == (size >= end)
