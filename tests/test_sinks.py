from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from sfm_stream import records, sinks
from sfm_stream.errors import SinkError
from sfm_stream.records import KINDS, Records
from sfm_stream.sinks import JsonlSink, MemorySink, ParquetSink

EXPERTS = ("last", "rls", "sfm")
TABLES = {
    "target": ("mid", "spread"),
    "horizon": ("1", "10", "1s"),
    "experts": EXPERTS,
    "skipped": records.SKIPPED_REASONS,
    "field": ("", "bid"),
    "voided.reason": records.VOIDED_REASONS,
    "rejected.reason": records.REJECTED_REASONS,
}


def some(start, ticks, streams=("a", "b"), seed=0):
    """Make records of all kinds; each tick says two forecasts and a score."""
    rng = np.random.default_rng([seed, start])
    seq = np.arange(start, start + ticks)

    def names(count, *wanted):
        tables = {"stream": streams, **TABLES}
        return {
            name: rng.integers(0, len(tables[name]), count).astype(np.int32)
            for name in wanted
        }

    twice = np.repeat(seq, 2)
    amplitude = rng.random((2 * ticks, 4)).astype(np.float32)
    amplitude[1::2] = np.nan
    lower = rng.normal(size=2 * ticks)
    lower[rng.random(2 * ticks) < 0.3] = np.nan
    forecasts = {
        "seq": twice,
        **names(2 * ticks, "stream", "target", "horizon"),
        "origin": twice - start,
        "time": twice * 10**9,
        "due": twice + 1,
        "mean": rng.normal(size=2 * ticks),
        "lower": lower,
        "upper": lower + 1,
        "weights": rng.random((2 * ticks, 3)),
        "amplitude": amplitude,
    }
    scores = {
        "seq": seq,
        **names(ticks, "stream", "target", "horizon"),
        "origin": seq - 1,
        "time": seq * 10**9,
        "truth": rng.normal(size=ticks),
        "mean": rng.normal(size=ticks),
        "naive": rng.normal(size=ticks),
        "covered": rng.integers(-1, 2, ticks).astype(np.int8),
    }
    few = seq[::5]
    updates = {
        "seq": few,
        **names(len(few), "stream", "target"),
        "version": few,
        "labels": few,
        "loss": rng.random(len(few)),
        "norm": rng.random(len(few)),
        **names(len(few), "skipped"),
    }
    voided = {
        "seq": few,
        **names(len(few), "stream", "target", "horizon"),
        "origin": few,
        "reason": rng.integers(0, 2, len(few)).astype(np.int8),
    }
    rejected = {
        "seq": few,
        **names(len(few), "stream"),
        "time": few,
        **names(len(few), "field"),
        "reason": rng.integers(0, 6, len(few)).astype(np.int8),
    }
    columns = {
        "forecasts": forecasts,
        "scores": scores,
        "updates": updates,
        "voided": voided,
        "rejected": rejected,
    }
    return Records(columns, {"stream": streams, **TABLES})


def plain_rows(kind, written):
    """Give the records of a kind, as `Records.rows` tells them, as Parquet rows."""
    for block in written:
        for record in block.rows():
            if type(record) is KINDS[kind]:
                row = msgspec.structs.asdict(record)
                if kind == "forecasts":
                    weights = zip(EXPERTS, row.pop("weights"), strict=True)
                    row |= {f"weight_{name}": value for name, value in weights}
                    row["amplitude"] = list(row["amplitude"]) or None
                yield row


def stored_rows(folder, kind):
    return [row for part in sinks.read(folder, kind) for row in part.to_dicts()]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("part_rows", [7, 64, 131_072])
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
    assert sink.position() == {"parts": {}, "rows": {}}


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
    with pytest.raises(SinkError, match="holds records already; resume"):
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
    with pytest.raises(
        SinkError, match=r"000001.parquet: the disk is full; free space"
    ):
        sink.flush()
    monkeypatch.undo()
    assert files(tmp_path) == before
    sink.flush()
    assert stored_rows(tmp_path, "scores") == list(plain_rows("scores", written))


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="records: cannot be used"):
        ParquetSink(tmp_path / "file" / "records", TABLES)
    with pytest.raises(SinkError, match=r"r.jsonl: cannot be used"):
        JsonlSink(tmp_path / "file" / "r.jsonl")


def test_jsonl_holds_one_record_per_line_in_order(tmp_path):
    block = some(0, 20)
    sink = JsonlSink(tmp_path / "run" / "records.jsonl")
    sink.write(block)
    sink.write(Records({}, {}))
    sink.close()
    lines = (tmp_path / "run" / "records.jsonl").read_bytes().splitlines()
    union = KINDS["forecasts"] | KINDS["scores"] | KINDS["updates"]
    union |= KINDS["voided"] | KINDS["rejected"]
    found = [msgspec.json.decode(line, type=union) for line in lines]
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
    assert torn.position() == {"bytes": (tmp_path / "whole").stat().st_size}


def test_jsonl_refuses_an_old_run_and_a_shorter_file(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"{}\n")
    with pytest.raises(SinkError, match="holds records already; resume"):
        JsonlSink(path)
    with pytest.raises(SinkError, match="expected at least 4 bytes, was 3"):
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


def test_memory_keeps_records():
    sink = MemorySink()
    for start in (0, 10):
        sink.write(some(start, 10))
    sink.flush()
    sink.close()
    assert [len(block) for block in sink.records] == [36, 36]
    assert list(sink.rows())[36:] == list(some(10, 10).rows())
    assert sink.position() == {"blocks": 2}


@pytest.mark.parametrize("room", ["sinks", "metrics", "journal", "checkpoint"])
def test_rooms_are_entered_without_polars(room):
    code = f"import sys, sfm_stream.{room}; sys.exit('polars' in sys.modules)"
    root = Path(sinks.__file__).parent.parent
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=False, cwd=root).returncode == 0  # noqa: S603
