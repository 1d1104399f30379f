from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream import sinks
from sfm_stream.errors import RecordsLost, SinkError
from sfm_stream.records import KINDS, Records
from sfm_stream.sinks import JsonlSink, ParquetSink
from sfm_stream.sinks.parquet import growing
from sfm_stream.storage import atomic
from tests.records_rig import TABLES, cut, files, plain_rows, refuse, some, stored_rows


@pytest.mark.parametrize("part_rows", [7, 64, 100_000])
@pytest.mark.parametrize("ticks", [1, 5, 40])
def test_parquet_holds_what_the_rows_say(tmp_path, ticks, part_rows):
    written = [some(start, ticks) for start in range(0, 120, ticks)]
    sink = ParquetSink(tmp_path, TABLES, part_rows=part_rows)
    for block in written:
        sink.write(block)
    sink.close()
    for kind in KINDS:
        assert stored_rows(tmp_path, kind) == list(plain_rows(kind, written))


def test_many_single_ticks_equal_one_block(tmp_path):
    block = some(0, 700)
    sink = ParquetSink(tmp_path / "one", TABLES)
    sink.write(block)
    sink.close()
    sink = ParquetSink(tmp_path / "many", TABLES)
    for i in range(1_400):  # more than the sink joins at a time
        rows = {name: c[i : i + 1] for name, c in block.columns["forecasts"].items()}
        sink.write(Records({"forecasts": rows}, block.tables))
    sink.close()
    name = "forecasts-000000.parquet"
    assert files(tmp_path / "one")[name] == files(tmp_path / "many")[name]


def test_columns_have_the_promised_types(tmp_path):
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(some(0, 10))
    sink.close()
    schema = next(sinks.read(tmp_path, "forecasts")).schema
    assert schema["stream"] == pl.String
    assert schema["horizon"] == pl.Enum(TABLES["horizon"])
    assert schema["time"] == pl.Int64
    assert schema["weight_rls"] == pl.Float64
    assert schema["amplitude"] == pl.Array(pl.Float32, 4)
    scores = next(sinks.read(tmp_path, "scores"))
    assert scores.schema["covered"] == pl.Boolean
    assert scores["covered"].null_count() > 0


def test_parts_are_full_but_for_the_last(tmp_path):
    sink = ParquetSink(tmp_path, TABLES, part_rows=30)
    sink.write(some(0, 50))
    waiting = [len(part) for part in sinks.read(tmp_path, "forecasts")]
    sink.close()
    assert waiting == [30, 30, 30]
    assert [len(part) for part in sinks.read(tmp_path, "forecasts")] == [30] * 3 + [10]


def test_all_parts_can_be_scanned_at_once_though_streams_were_added(tmp_path):
    sink = ParquetSink(tmp_path, TABLES)
    for start, streams in ((0, ("a",)), (50, ("a", "b", "c"))):
        sink.write(some(start, 50, streams))
        sink.flush()
    sink.close()
    found = pl.read_parquet(tmp_path / "forecasts-*.parquet")
    assert len(found) == 200
    assert set(found["stream"]) == {"a", "b", "c"}
    assert set(found["stream"][:100]) == {"a"}


def test_streams_added_while_rows_wait_keep_their_names(tmp_path):
    written = [some(0, 9, ("a",)), some(9, 9, ("a", "b"))]
    sink = ParquetSink(tmp_path, TABLES)
    for block in written:
        sink.write(block)
    sink.close()
    assert stored_rows(tmp_path, "scores") == list(plain_rows("scores", written))


def test_model_without_frequencies_has_no_amplitudes(tmp_path):
    block = some(0, 3)
    rows = {**block.columns["forecasts"], "amplitude": np.empty((6, 0), np.float32)}
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(Records({"forecasts": rows}, block.tables))
    sink.close()
    assert "amplitude" not in next(sinks.read(tmp_path, "forecasts")).columns


def test_nothing_said_writes_nothing(tmp_path):
    sink = ParquetSink(tmp_path / "records", TABLES)
    sink.write(Records({}, {}))
    sink.write(some(0, 0))
    sink.close()
    assert files(tmp_path / "records") == {}
    assert list(sinks.read(tmp_path / "records", "scores")) == []
    assert sink.position() == {"parts": {}, "rows": {}, "last": {}}


def test_read_gives_the_wanted_columns_part_by_part(tmp_path):
    sink = ParquetSink(tmp_path, TABLES, part_rows=10)
    sink.write(some(0, 20))
    sink.close()
    parts = sinks.read(tmp_path, "scores", ["mean", "truth"])
    assert next(parts).columns == ["mean", "truth"]
    (tmp_path / "scores-000001.parquet").write_bytes(b"damage")
    with pytest.raises(SinkError, match=r"scores-000001.parquet: cannot be read"):
        next(parts)


def test_read_refuses_what_is_not_there(tmp_path):
    with pytest.raises(SinkError, match="expected a folder of records, was none"):
        next(sinks.read(tmp_path / "absent", "scores"))
    sink = ParquetSink(tmp_path, TABLES, part_rows=10)
    sink.write(some(0, 30))
    sink.close()
    (tmp_path / "scores-000001.parquet").unlink()
    with pytest.raises(SinkError, match=r"000001.parquet: expected a part, was none"):
        list(sinks.read(tmp_path, "scores"))


def test_resumed_parquet_equals_an_undisturbed_run(tmp_path):
    first, second, third = (some(start, 40) for start in (0, 40, 80))
    whole = ParquetSink(tmp_path / "whole", TABLES, part_rows=25)
    torn = ParquetSink(tmp_path / "torn", TABLES, part_rows=25)
    for sink in (whole, torn):
        sink.write(first)
        sink.flush()
    position = json.loads(json.dumps(torn.position()))
    torn.write(some(40, 90, seed=5))
    torn.flush()
    (tmp_path / "torn" / "scores-000099.parquet.tmp").write_bytes(b"half")
    torn = ParquetSink(tmp_path / "torn", TABLES, position, part_rows=25)
    for sink in (whole, torn):
        sink.write(second)
        sink.write(third)
        sink.close()
    assert files(tmp_path / "torn") == files(tmp_path / "whole")
    assert torn.position() == whole.position()


def test_kinds_first_said_after_the_checkpoint_are_dropped(tmp_path):
    block = some(0, 10)
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(Records({"scores": block.columns["scores"]}, block.tables))
    sink.flush()
    position = sink.position()
    sink.write(block)
    sink.flush()
    ParquetSink(tmp_path, TABLES, position)
    assert list(files(tmp_path)) == ["scores-000000.parquet"]


def test_run_without_a_checkpoint_resumes_from_nothing(tmp_path):
    (tmp_path / "notes.parquet").write_bytes(b"of the user")
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(some(0, 10))
    sink.close()
    ParquetSink(tmp_path, TABLES, {})
    assert list(files(tmp_path)) == ["notes.parquet"]


def test_new_run_does_not_write_over_an_old_one(tmp_path):
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(some(0, 10))
    sink.close()
    before = files(tmp_path)
    with pytest.raises(SinkError, match="holds records already; resume the run"):
        ParquetSink(tmp_path, TABLES)
    assert files(tmp_path) == before


@pytest.mark.parametrize("damage", ["lost", "shortened", "other rows"])
def test_resume_refuses_parts_that_are_not_as_they_were(tmp_path, damage):
    sink = ParquetSink(tmp_path, TABLES, part_rows=10)
    sink.write(some(0, 20))
    sink.flush()
    path = tmp_path / "scores-000001.parquet"
    if damage == "lost":
        path.unlink()
    elif damage == "shortened":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        pl.read_parquet(path)[:5].write_parquet(path)
    with pytest.raises(SinkError, match="scores"):
        ParquetSink(tmp_path, TABLES, sink.position())


def test_full_disk_leaves_whole_parts_and_keeps_the_rows(tmp_path, monkeypatch):
    written = [some(0, 20), some(20, 20)]
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(written[0])
    sink.flush()
    before = files(tmp_path)
    sink.write(written[1])
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SinkError, match=r"000000.log: the disk is full; free space"):
        sink.flush()
    monkeypatch.undo()
    left = files(tmp_path)
    assert left.pop("forecasts-000000.log") == b""
    assert left == before
    sink.flush()
    for kind in KINDS:
        assert stored_rows(tmp_path, kind) == list(plain_rows(kind, written))


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="records: cannot be used"):
        ParquetSink(tmp_path / "file" / "records", TABLES)
    with pytest.raises(SinkError, match=r"r.jsonl: cannot be used"):
        JsonlSink(tmp_path / "file" / "r.jsonl")


@pytest.mark.parametrize(
    "room", ["sinks", "running.metrics", "storage.journal", "storage.checkpoint"]
)
def test_rooms_are_entered_without_polars(room):
    code = f"import sys, sfm_stream.{room}; sys.exit('polars' in sys.modules)"
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=False, cwd=root).returncode == 0  # noqa: S603


def test_flush_after_flush_lets_the_last_part_grow(tmp_path):
    written = [some(start, 4) for start in range(0, 40, 4)]
    sink = ParquetSink(tmp_path, TABLES, part_rows=30)
    for i, block in enumerate(written):
        sink.write(block)
        sink.flush()
        for kind in KINDS:
            assert stored_rows(tmp_path, kind) == list(
                plain_rows(kind, written[: i + 1])
            )
    assert [len(p) for p in sinks.read(tmp_path, "forecasts")] == [30, 30, 4, 8, 8]
    assert sink.position()["parts"]["forecasts"] == 3
    assert sink.position()["last"]["forecasts"] == 20


def test_flush_writes_only_what_has_grown(tmp_path):
    sink = ParquetSink(tmp_path, TABLES, part_rows=30)
    sink.write(some(0, 50))
    sink.flush()
    before = files(tmp_path)
    sink.flush()
    assert files(tmp_path) == before
    sink.write(Records({"scores": some(50, 1).columns["scores"]}, some(50, 1).tables))
    sink.flush()
    assert files(tmp_path).items() > before.items()
    assert files(tmp_path).keys() - before.keys() == {"scores-000001.log"}


@settings(max_examples=15)
@given(
    places=st.lists(st.integers(0, 30), max_size=3).map(sorted),
    part_rows=st.integers(10, 70),
    flushed=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_any_chunking_gives_the_same_files(
    tmp_path_factory, places, part_rows, flushed
):
    folder, block = tmp_path_factory.mktemp("parts"), some(0, 30)
    one = ParquetSink(folder / "one", TABLES, part_rows=part_rows)
    one.write(block)
    one.close()
    many = ParquetSink(folder / "many", TABLES, part_rows=part_rows)
    for part, flush in zip(cut(block, *places), flushed, strict=False):
        many.write(part)
        if flush:
            many.flush()
            position = json.loads(json.dumps(many.position()))
            many.write(some(100, 9))
            many.close()
            many = ParquetSink(folder / "many", TABLES, position, part_rows=part_rows)
    many.close()
    assert files(folder / "many") == files(folder / "one")
    assert many.position() == one.position()


def test_resume_cuts_the_last_part_at_once(tmp_path):
    sink = ParquetSink(tmp_path, TABLES, part_rows=30)
    sink.write(some(0, 10))
    sink.flush()
    position, before = sink.position(), files(tmp_path)
    sink.write(some(10, 50))
    sink.close()
    ParquetSink(tmp_path, TABLES, position, part_rows=30)
    assert files(tmp_path) == before


def test_resume_reads_the_last_parts_alone(tmp_path):
    sink = ParquetSink(tmp_path, TABLES, part_rows=10)
    sink.write(some(0, 50))
    sink.close()
    (tmp_path / "scores-000001.parquet").write_bytes(b"never read")
    ParquetSink(tmp_path, TABLES, sink.position(), part_rows=10)
    (tmp_path / "scores-000001.parquet").unlink()
    with pytest.raises(SinkError, match=r"000001.parquet: expected a part, was none"):
        ParquetSink(tmp_path, TABLES, sink.position(), part_rows=10)


def test_write_that_fails_takes_nothing_and_one_that_works_keeps_all(
    tmp_path, monkeypatch
):
    written = [some(start, 20) for start in (0, 20, 40)]
    sink = ParquetSink(tmp_path, TABLES, part_rows=30)
    monkeypatch.setattr(os, "fsync", refuse)
    sink.write(written[0])
    for _ in range(3):
        with pytest.raises(SinkError, match="the disk is full"):
            sink.write(written[1])
    monkeypatch.undo()
    for block in written[1:]:
        sink.write(block)
    sink.close()
    assert stored_rows(tmp_path, "forecasts") == list(plain_rows("forecasts", written))


def test_each_row_is_written_a_few_times_however_often_it_is_flushed(
    tmp_path, monkeypatch
):
    written = []
    store, append = atomic.write, atomic.append

    def counted(call, data, *rest):
        written.append(len(data))
        return call(*rest, data)

    monkeypatch.setattr(atomic, "write", lambda p, d: counted(store, d, p))
    monkeypatch.setattr(atomic, "append", lambda h, d: counted(append, d, h))
    sink = ParquetSink(tmp_path, TABLES, part_rows=4_000, least_rows=200)
    for block in cut(some(0, 3_000), *range(15, 3_000, 15)):
        sink.write(block)
        sink.flush()
    sink.close()
    size = sum(len(data) for data in files(tmp_path).values())
    assert sum(written) < 4 * size


def test_a_log_that_the_parquet_file_took_in_is_ignored(tmp_path):
    written = [some(start, 4) for start in range(0, 12, 4)]
    sink = ParquetSink(tmp_path, TABLES, least_rows=8)
    for block in written[:2]:
        sink.write(block)
        sink.flush()
    log = tmp_path / "scores-000000.log"
    taken_in = log.read_bytes()
    for block in written[2:]:
        sink.write(block)
        sink.flush()
    assert not log.exists()
    log.write_bytes(taken_in)  # killed before it was removed
    assert stored_rows(tmp_path, "scores") == list(plain_rows("scores", written))
    sink.write(some(12, 4))
    sink.flush()
    written.append(some(12, 4))
    assert stored_rows(tmp_path, "scores") == list(plain_rows("scores", written))
    position = sink.position()
    log.write_bytes(taken_in)
    with pytest.raises(SinkError, match="expected 16 rows, was 12"):
        ParquetSink(tmp_path, TABLES, position)


@pytest.mark.parametrize("lost", [1, 9])
def test_a_torn_end_of_a_log_is_cut_or_refused_by_what_the_checkpoint_held(
    tmp_path, lost
):
    sink = ParquetSink(tmp_path, TABLES)
    for start in (0, 10):
        sink.write(some(start, 10))
        sink.flush()
    position = sink.position()
    sink.write(some(20, 10))
    sink.flush()
    log = tmp_path / "scores-000000.log"
    whole = log.read_bytes()
    log.write_bytes(whole[:-lost])
    ParquetSink(tmp_path, TABLES, position)
    written = [some(0, 10), some(10, 10)]
    assert stored_rows(tmp_path, "scores") == list(plain_rows("scores", written))
    log.write_bytes(log.read_bytes()[:-lost])
    with pytest.raises(SinkError, match="expected 10 rows, was 0; rebuild the records"):
        ParquetSink(tmp_path, TABLES, position)
    flipped = bytearray(whole)
    flipped[60] ^= 4
    log.write_bytes(flipped)
    with pytest.raises(SinkError, match=r"scores-000000.log: damaged entry .* repair"):
        list(sinks.read(tmp_path, "scores"))


def test_a_log_that_cannot_be_read_while_it_is_folded_is_tried_again(
    tmp_path, monkeypatch
):
    written = [some(0, 5), some(5, 5)]
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(written[0])
    sink.flush()
    sink.write(written[1])
    with monkeypatch.context() as patch:
        patch.setattr(growing, "load", refuse)
        with pytest.raises(SinkError, match=r"\.parquet: the disk is full"):
            sink.close()
    sink.close()
    for kind in KINDS:
        assert stored_rows(tmp_path, kind) == list(plain_rows(kind, written))


def test_records_that_the_system_does_not_let_be_read_are_not_lost(
    tmp_path, monkeypatch
):
    written = [some(0, 5), some(5, 5)]
    sink = ParquetSink(tmp_path, TABLES)
    sink.write(written[0])
    sink.flush()
    held = sink.position()
    with monkeypatch.context() as patch:
        patch.setattr(pl, "read_parquet", lambda *_, **__: refuse())
        with pytest.raises(SinkError, match="the disk is full") as caught:
            ParquetSink(tmp_path, TABLES, held)
    assert not isinstance(caught.value, RecordsLost)
    again = ParquetSink(tmp_path, TABLES, held)
    again.write(written[1])
    again.close()
    for kind in KINDS:
        assert stored_rows(tmp_path, kind) == list(plain_rows(kind, written))
