from __future__ import annotations

import json
import shutil
import sqlite3

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.errors import SinkError
from sfm_stream.records import KINDS, Records
from sfm_stream.sinks import SqliteSink, sqlite
from sfm_stream.storage import atomic
from tests.records_rig import cut, refuse, some

BLOCK = some(0, 40)


def told(kind, *blocks):
    """Give the records of a kind as rows of the database, the last of each key."""
    found = {}
    for block in blocks:
        for record in block.rows():
            if type(record) is KINDS[kind]:
                row = msgspec.structs.asdict(record)
                for name in ("weights", "amplitude", "quantiles"):
                    if name in row:
                        row[name] = tuple(row[name]) or None
                names = (*sqlite.KEYS, *sqlite.SHARED.get(kind, ()))
                found[tuple(row[k] for k in names if k in row)] = row
    return [found[key] for key in sorted(found)]


def stored(path, kind):
    base = sqlite3.connect(path)
    base.row_factory = sqlite3.Row
    try:
        names = [name for name in sqlite.KEYS if name in KINDS[kind].__struct_fields__]
        question = f"SELECT * FROM {kind} ORDER BY {', '.join(names)}"  # noqa: S608 ours
        rows = base.execute(question)
        found = [dict(row) for row in rows]
    finally:
        base.close()
    for row in found:
        for name in ("weights", "amplitude", "quantiles"):
            if row.get(name) is not None:
                row[name] = tuple(json.loads(row[name]))
        if row.get("covered") is not None:
            row["covered"] = bool(row["covered"])
    return found


def expect(path, *blocks):
    for kind in KINDS:
        rows = stored(path, kind)
        assert rows == told(kind, *blocks)
        assert rows or not blocks


def filled(path, *blocks):
    sink = SqliteSink(path)
    for block in blocks:
        sink.write(block)
    return sink


def test_tables_hold_what_the_rows_say(tmp_path):
    path = tmp_path / "deep" / "records.sqlite"
    filled(path, BLOCK).close()
    expect(path, BLOCK)
    assert [path.name for path in path.parent.iterdir()] == ["records.sqlite"]


@settings(max_examples=15)
@given(places=st.lists(st.integers(0, 40), max_size=6).map(sorted), data=st.data())
def test_any_chunking_and_any_repetition_gives_the_same_rows(
    tmp_path_factory, places, data
):
    path = tmp_path_factory.mktemp("base") / "records.sqlite"
    blocks = cut(BLOCK, *places)
    again = data.draw(st.lists(st.sampled_from(range(len(blocks))), max_size=4))
    filled(path, *blocks, *(blocks[i] for i in again)).close()
    expect(path, BLOCK)


def test_resume_forgets_what_was_said_after_the_position(tmp_path):
    path = tmp_path / "records.sqlite"
    first, rest = cut(BLOCK, 17)
    sink = filled(path, first)
    sink.flush()
    position = json.loads(json.dumps(sink.position()))
    sink.write(some(17, 60, ("a", "b", "c"), seed=3))
    sink.close()
    sink = SqliteSink(path, position)
    expect(path, first)
    assert sink.position() == position
    sink.write(rest)
    sink.close()
    expect(path, BLOCK)


def test_files_of_a_process_that_died_are_enough_to_go_on(tmp_path):
    path, copy = tmp_path / "live" / "records.sqlite", tmp_path / "dead"
    first, rest = cut(BLOCK, 20)
    sink = filled(path, first)
    sink.flush()
    position = sink.position()
    sink.write(some(20, 30, seed=4))
    shutil.copytree(path.parent, copy)  # as kill -9 leaves them: nothing is closed
    sink.close()
    sink = SqliteSink(copy / path.name, position)
    expect(copy / path.name, first)
    sink.write(rest)
    sink.close()
    expect(copy / path.name, BLOCK)


def test_flush_waits_for_the_disk_and_says_when_it_refuses(tmp_path, monkeypatch):
    path, synced = tmp_path / "records.sqlite", []
    sink = filled(path, BLOCK)
    monkeypatch.setattr(atomic, "sync", lambda path: synced.append(path.name))
    sink.flush()
    assert synced == ["records.sqlite-wal"]
    monkeypatch.setattr(atomic, "sync", refuse)
    with pytest.raises(SinkError, match=r"records.sqlite: the disk is full"):
        sink.flush()
    sink.close()


def test_run_without_a_checkpoint_begins_again_from_nothing(tmp_path):
    path = tmp_path / "records.sqlite"
    filled(path, BLOCK).close()
    sink = SqliteSink(path, {})
    expect(path)
    sink.write(BLOCK)
    sink.close()
    expect(path, BLOCK)


def test_readers_see_whole_writes_and_hold_up_none(tmp_path):
    path = tmp_path / "records.sqlite"
    first, rest = cut(BLOCK, 20)
    sink = filled(path, first)
    reader = sqlite3.connect(path)
    count = "SELECT count(*) FROM forecasts"
    reader.execute("BEGIN")
    before = reader.execute(count).fetchone()
    sink.write(rest)
    sink.flush()
    assert reader.execute(count).fetchone() == before
    assert before == (len(told("forecasts", first)),)
    reader.rollback()
    assert reader.execute(count).fetchone() == (len(told("forecasts", BLOCK)),)
    reader.close()
    sink.close()


def test_other_writer_is_an_error_and_the_write_can_be_made_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sqlite, "WAIT_S", 0)
    path = tmp_path / "records.sqlite"
    first, rest = cut(BLOCK, 20)
    sink = filled(path, first)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SinkError, match=r"records.sqlite: .*locked"):
        sink.write(rest)
    other.close()
    expect(path, first)
    sink.write(rest)
    sink.close()
    expect(path, BLOCK)


def test_write_that_fails_half_way_takes_nothing(tmp_path):
    path = tmp_path / "records.sqlite"
    sink = filled(path)
    blocker = sqlite3.connect(path)
    blocker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON updates "
        "BEGIN SELECT raise(ABORT, 'database or disk is full'); END"
    )
    blocker.close()
    with pytest.raises(SinkError, match="disk is full"):
        sink.write(BLOCK)
    assert sink.position()["seq"] == -1
    sink.close()
    expect(path)


def test_numbers_come_back_to_the_last_bit_and_nan_as_nothing(tmp_path):
    path = tmp_path / "records.sqlite"
    updates = {name: c[:2] for name, c in some(0, 20).columns["updates"].items()}
    updates["loss"], updates["norm"] = (
        np.array([np.nan, 0.1 + 0.2]),
        np.array([3, 5e-324]),
    )
    filled(path, Records({"updates": updates}, BLOCK.tables)).close()
    [(first, _), (second, third)] = (
        (row["loss"], row["norm"])
        for row in sorted(stored(path, "updates"), key=lambda row: row["seq"])
    )
    assert first is None
    assert (second, third) == (0.1 + 0.2, 5e-324)


def test_names_of_any_kind_are_stored(tmp_path):
    path = tmp_path / "records.sqlite"
    block = some(0, 20, ("x'; DROP TABLE scores; --", "ü", ""))
    sink = filled(path, block)
    position = sink.position()
    sink.close()
    SqliteSink(path, {**position, "seq": 9}).close()
    expect(path, cut(block, 10)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "holds records already; resume the run"),
        ({"database": "another", "seq": 5}, "expected the database of this run"),
        ({"seq": 10**6}, "expected records up to 1000000, was 39"),
    ],
)
def test_database_that_does_not_fit_the_position_is_refused(tmp_path, change, message):
    path = tmp_path / "records.sqlite"
    sink = filled(path, BLOCK)
    position = None if change is None else sink.position() | change
    sink.close()
    with pytest.raises(SinkError, match=message):
        SqliteSink(path, position)
    expect(path, BLOCK)


def test_position_of_a_database_that_is_gone_is_refused(tmp_path):
    path = tmp_path / "records.sqlite"
    sink = filled(path, BLOCK)
    position = sink.position()
    sink.close()
    path.unlink()
    with pytest.raises(SinkError, match="expected the database of this run"):
        SqliteSink(path, position)


@pytest.mark.parametrize("position", [None, {}])
def test_database_of_someone_else_is_refused(tmp_path, position):
    path = tmp_path / "theirs.sqlite"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE notes (text)")
    base.close()
    before = path.read_bytes()
    with pytest.raises(SinkError, match="holds records already"):
        SqliteSink(path, position)
    assert path.read_bytes() == before


def test_database_of_an_earlier_version_gets_the_columns_of_now(tmp_path):
    path = tmp_path / "records.sqlite"
    sink = filled(path, BLOCK)
    position = sink.position()
    sink.close()
    base = sqlite3.connect(path)
    base.execute("ALTER TABLE forecasts DROP COLUMN quantiles")
    for column in ("winkler", "crps"):
        base.execute(f"ALTER TABLE scores DROP COLUMN {column}")
    base.execute("PRAGMA user_version = 1")
    base.commit()
    base.close()
    sink = SqliteSink(path, {**position, "seq": -1})
    sink.write(BLOCK)
    sink.close()
    expect(path, BLOCK)


def test_newer_schema_and_what_is_no_database_are_refused(tmp_path):
    path = tmp_path / "records.sqlite"
    filled(path, BLOCK).close()
    base = sqlite3.connect(path)
    base.execute(f"PRAGMA user_version = {sqlite.SCHEMA + 1}")
    base.close()
    with pytest.raises(SinkError, match="expected schema 2, was 3; read it with"):
        SqliteSink(path, {})
    path.write_bytes(b"no database at all, but a text of some length" * 100)
    with pytest.raises(SinkError, match="not a database"):
        SqliteSink(path, {})
    with pytest.raises(SinkError, match="cannot be used"):
        SqliteSink(path / "below")


def test_cutting_reads_no_more_than_it_must(tmp_path):
    path = tmp_path / "records.sqlite"
    filled(path, BLOCK).close()
    base = sqlite3.connect(path)
    question = "EXPLAIN QUERY PLAN DELETE FROM scores WHERE stream = ? AND seq > ?"
    plan = base.execute(question, ("a", 3)).fetchone()[-1]
    base.close()
    assert plan.startswith("SEARCH scores USING PRIMARY KEY (stream=? AND seq>?)")


def test_records_of_several_bins_that_one_event_closed_are_all_kept(tmp_path):
    path = tmp_path / "records.sqlite"
    rejected = {
        "seq": np.array([7, 7]), "stream": np.array([0, 0]), "time": np.array([5, 6]),
        "field": np.array([0, 0]), "reason": np.array([4, 4]),
    }  # fmt: skip
    filled(path, Records({"rejected": rejected}, BLOCK.tables)).close()
    assert [row["time"] for row in stored(path, "rejected")] == [5, 6]
