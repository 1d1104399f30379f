"""What every sink must do; give a row of SINKS to one of your own."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from sfm_stream import settings
from sfm_stream.errors import RecordsLost, SinkError
from sfm_stream.records import KINDS, Records
from sfm_stream.sinks import Chosen, Delivery, JsonlSink, ParquetSink, SqliteSink
from tests.records_rig import TABLES, cut, files, some
from tests.sinks_rig import settle

FIRST, SECOND, THIRD = cut(some(0, 60), 20, 40)
LATER = some(20, 70, ("a", "b", "c"), seed=8)


class Ours(NamedTuple):
    """A sink: how it is opened in a folder at a position, and all that it holds."""

    open: Callable[..., Any]
    held: Callable[..., Any]


def of_database(folder):
    base = sqlite3.connect(folder / "records.sqlite")
    found = {k: base.execute(f"SELECT * FROM {k}").fetchall() for k in KINDS}  # noqa: S608 ours
    base.close()
    return found


SINKS = {
    "jsonl": Ours(lambda at, where: JsonlSink(at / "records.jsonl", where), files),
    "parquet": Ours(lambda at, where: ParquetSink(at, TABLES, where), files),
    "small parquet": Ours(
        lambda at, where: ParquetSink(at, TABLES, where, part_rows=9), files
    ),
    "sqlite": Ours(lambda at, where: SqliteSink(at / "records.sqlite", where), of_database),
}  # fmt: skip


@pytest.fixture(params=SINKS)
def ours(request):
    return SINKS[request.param]


def held(ours, folder, *blocks):
    """Give what a new sink holds of these records."""
    folder.mkdir()
    sink = ours.open(folder, None)
    for block in blocks:
        sink.write(block)
    sink.close()
    return ours.held(folder)


def test_resumed_sink_holds_what_an_undisturbed_one_does(tmp_path, ours):
    sink = ours.open(tmp_path, None)
    sink.write(FIRST)
    sink.flush()
    position = json.loads(json.dumps(sink.position()))
    sink.write(LATER)
    sink.flush()
    sink.close()
    sink = ours.open(tmp_path, position)
    assert sink.position() == position
    for block in (SECOND, THIRD):
        sink.write(block)
    sink.close()
    found = ours.held(tmp_path)
    assert found == held(ours, tmp_path / "whole", FIRST, SECOND, THIRD)
    assert found != held(ours, tmp_path / "part", FIRST)


def test_new_run_refuses_what_another_left_and_touches_none_of_it(tmp_path, ours):
    before = held(ours, tmp_path / "sink", FIRST)
    with pytest.raises(SinkError, match="holds records already"):
        ours.open(tmp_path / "sink", None)
    assert ours.held(tmp_path / "sink") == before


def test_empty_position_begins_again_from_nothing(tmp_path, ours):
    held(ours, tmp_path / "sink", LATER)
    sink = ours.open(tmp_path / "sink", {})
    sink.write(FIRST)
    sink.close()
    assert ours.held(tmp_path / "sink") == held(ours, tmp_path / "whole", FIRST)


@pytest.mark.parametrize("call", ["write", "flush"])
def test_sink_whose_files_are_removed_says_so_once_and_begins_anew(
    tmp_path, ours, call
):
    sink = ours.open(tmp_path / "sink", None)
    sink.write(FIRST)
    sink.flush()
    shutil.rmtree(tmp_path / "sink")
    (tmp_path / "sink").mkdir()
    with pytest.raises(RecordsLost, match=r"expected .* removed"):
        sink.write(SECOND) if call == "write" else sink.flush()
    sink.write(SECOND)
    sink.flush()
    position = json.loads(json.dumps(sink.position()))
    sink.close()
    again = ours.open(tmp_path / "sink", position)
    again.write(THIRD)
    again.close()
    found = ours.held(tmp_path / "sink")
    assert found == held(ours, tmp_path / "whole", SECOND, THIRD)


def test_sink_opened_where_its_files_are_gone_says_what_is_lost(tmp_path, ours):
    sink = ours.open(tmp_path / "sink", None)
    sink.write(FIRST)
    sink.flush()
    position = sink.position()
    sink.close()
    shutil.rmtree(tmp_path / "sink")
    with pytest.raises(RecordsLost, match=r"expected .* was"):
        ours.open(tmp_path / "sink", position)


def test_nothing_is_written_without_harm(tmp_path, ours):
    found = held(ours, tmp_path / "sink", Records({}, {}), FIRST, Records({}, {}))
    assert found == held(ours, tmp_path / "whole", FIRST)


def test_delivery_brings_what_direct_writing_does(tmp_path, ours):
    (tmp_path / "sink").mkdir()
    sink = ours.open(tmp_path / "sink", None)
    delivery = Delivery("ours", Chosen(sink), settings.Sink(kind="ours"), tmp_path)
    for block in (FIRST, *cut(SECOND, *range(20, 40))):
        delivery.offer(block)
    position = settle(delivery)
    delivery.offer(THIRD)
    assert delivery.close(30)
    assert json.loads(json.dumps(position)) == position
    found = ours.held(tmp_path / "sink")
    assert found == held(ours, tmp_path / "whole", FIRST, SECOND, THIRD)
    ours.open(tmp_path / "sink", position).close()
    assert ours.held(tmp_path / "sink") == held(ours, tmp_path / "part", FIRST, SECOND)
