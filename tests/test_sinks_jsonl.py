from __future__ import annotations

import json
import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.errors import RecordsLost, SinkError
from sfm_stream.records import Record, Records
from sfm_stream.sinks import JsonlSink
from tests.records_rig import cut, refuse, some


def test_jsonl_holds_one_record_per_line_in_order(tmp_path):
    block = some(0, 20)
    sink = JsonlSink(tmp_path / "run" / "records.jsonl")
    sink.write(block)
    sink.write(Records({}, {}))
    sink.close()
    lines = (tmp_path / "run" / "records.jsonl").read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=Record) for line in lines]
    assert [type(r) for r in found] == [type(r) for r in block.rows()]
    assert list(map(msgspec.json.encode, block.rows())) == lines


def test_resumed_jsonl_equals_an_undisturbed_run(tmp_path):
    whole, torn = JsonlSink(tmp_path / "whole"), JsonlSink(tmp_path / "torn")
    for sink in (whole, torn):
        sink.write(some(0, 10))
        sink.flush()
    position = json.loads(json.dumps(torn.position()))
    torn.write(some(10, 10))
    torn.close()
    with (tmp_path / "torn").open("ab") as file:
        file.write(b'{"type":"fore')
    torn = JsonlSink(tmp_path / "torn", position)
    for sink in (whole, torn):
        sink.write(some(10, 15))
        sink.close()
    assert (tmp_path / "torn").read_bytes() == (tmp_path / "whole").read_bytes()
    assert torn.position() == whole.position()
    assert torn.position()["bytes"] == (tmp_path / "whole").stat().st_size


def test_a_file_that_is_moved_away_is_left_and_a_new_one_begun(tmp_path, caplog):
    path, moved = tmp_path / "records.jsonl", tmp_path / "records.jsonl.1"
    sink = JsonlSink(path)
    sink.write(some(0, 10))
    before = path.rename(moved).read_bytes()
    path.touch()  # as programs that rotate logs do
    sink.write(some(10, 10))
    assert moved.read_bytes() == before
    [record] = caplog.records
    assert record.getMessage() == "a file of records was moved: a new one is begun"
    assert (record.path, record.bytes) == (str(path), len(before))
    position = sink.position()
    sink.close()
    whole = JsonlSink(tmp_path / "whole")
    whole.write(some(10, 10))
    whole.close()
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()
    JsonlSink(path, position).close()


def test_a_longer_file_that_begins_otherwise_is_not_the_one_of_before(tmp_path):
    sink = JsonlSink(tmp_path / "records.jsonl")
    sink.write(some(0, 10))
    position = sink.position()
    sink.close()
    later = JsonlSink(tmp_path / "later")
    later.write(some(10, 30))
    later.close()
    before = (tmp_path / "later").read_bytes()
    with pytest.raises(RecordsLost, match="expected its own file, was another"):
        JsonlSink(tmp_path / "later", position)
    assert (tmp_path / "later").read_bytes() == before


def test_jsonl_refuses_an_old_run_and_a_shorter_file(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"{}\n")
    with pytest.raises(SinkError, match="holds records already; resume the run"):
        JsonlSink(path)
    with pytest.raises(SinkError, match="expected at least 4 bytes of records, was 3"):
        JsonlSink(path, {"bytes": 4})
    assert path.read_bytes() == b"{}\n"


def test_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    sink = JsonlSink(tmp_path / "records.jsonl")
    sink.write(some(0, 10))
    before = (tmp_path / "records.jsonl").read_bytes()
    write, calls = os.write, []

    def half(handle, data):
        calls.append(data)
        return write(handle, data[:100]) if len(calls) == 1 else refuse()

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(SinkError, match=r"records.jsonl: the disk is full; free space"):
        sink.write(some(10, 10))
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SinkError, match="the disk is full"):
        sink.close()
    assert (tmp_path / "records.jsonl").read_bytes() == before


@settings(max_examples=25)
@given(places=st.lists(st.integers(0, 40), max_size=6).map(sorted))
def test_any_chunking_gives_the_same_lines(tmp_path_factory, places):
    folder, block = tmp_path_factory.mktemp("lines"), some(0, 40)
    for name, blocks in {"one": [block], "many": cut(block, *places)}.items():
        sink = JsonlSink(folder / name)
        for part in blocks:
            sink.write(part)
        sink.close()
    assert (folder / "many").read_bytes() == (folder / "one").read_bytes()


def test_empty_position_begins_again_from_nothing(tmp_path):
    sink = JsonlSink(tmp_path / "records.jsonl")
    sink.write(some(0, 10))
    sink.close()
    JsonlSink(tmp_path / "records.jsonl", {}).close()
    assert (tmp_path / "records.jsonl").read_bytes() == b""


def test_a_file_that_cannot_be_cut_is_closed_and_named(tmp_path, monkeypatch):
    closed, close = [], os.close
    monkeypatch.setattr(os, "ftruncate", refuse)
    monkeypatch.setattr(os, "close", lambda handle: closed.append(close(handle)))
    with pytest.raises(SinkError, match=r"records\.jsonl: the disk is full"):
        JsonlSink(tmp_path / "records.jsonl")
    assert len(closed) == 1
