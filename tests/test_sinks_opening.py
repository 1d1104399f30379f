from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from sfm_stream import outsiders
from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.settings import Sink as Settings
from sfm_stream.sinks import (
    JsonlSink,
    MemorySink,
    ParquetSink,
    SqliteSink,
    expect_sinks,
    open_anew,
    open_sink,
)
from tests.records_rig import TABLES, some

BLOCK = some(0, 20)


class Theirs(MemorySink):
    def __init__(self, settings, folder, position):
        super().__init__()
        self.given = settings, folder, position


@pytest.mark.parametrize(
    ("kind", "found", "place"),
    [
        ("jsonl", JsonlSink, "records.jsonl"),
        ("parquet", ParquetSink, "parquet/scores-000000.parquet"),
        ("sqlite", SqliteSink, "records.sqlite"),
    ],
)
@pytest.mark.parametrize("path", ["", "else/where"])
def test_our_own_kinds_open_and_resume(tmp_path, kind, found, place, path):
    settings = Settings(kind=kind, path=path)
    sink = open_sink(settings, tmp_path, TABLES)
    assert type(sink.sink) is found
    sink.write(BLOCK)
    sink.flush()
    position = sink.position()
    sink.close()
    wanted = tmp_path / place
    if path:
        wanted = tmp_path / path / (wanted.name if kind == "parquet" else "")
    assert wanted.exists()
    with pytest.raises(SinkError, match="holds records already"):
        open_sink(settings, tmp_path, TABLES)
    again = open_sink(settings, tmp_path, TABLES, position)
    assert again.position() == position
    again.close()
    open_sink(settings, tmp_path, TABLES, {}).close()


@pytest.mark.parametrize(
    ("kind", "there"),
    [
        ("jsonl", ["records.jsonl"]),
        ("parquet", ["parquet"]),
        ("sqlite", ["records.sqlite", "records.sqlite-wal"]),
    ],
)
def test_what_is_left_of_a_sink_that_begins_anew_is_set_aside(tmp_path, kind, there):
    settings = Settings(kind=kind)
    open_sink(settings, tmp_path, TABLES).close()
    for name in there[1:]:
        (tmp_path / name).write_bytes(b"old")
    for number in (1, 2):
        again = open_anew(settings, tmp_path, TABLES)
        again.write(BLOCK)
        again.close()
        assert (tmp_path / f"{there[0]}.aside-{number}").exists()
    if there[1:]:
        assert (tmp_path / "records.sqlite.aside-1-wal").read_bytes() == b"old"


@pytest.mark.parametrize("way", ["place", "entry point"])
def test_outsiders_are_called_with_settings_folder_and_position(
    tmp_path, monkeypatch, way
):
    place = f"{__name__}:Theirs"
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    kind = place if way == "place" else "theirs"

    def installed(group, name):
        points = [EntryPoint("theirs", place, "sfm_stream.sinks")]
        return [p for p in points if (p.group, p.name) == (group, name)]

    monkeypatch.setattr(outsiders, "entry_points", installed)
    settings = Settings(kind=kind)
    sink = open_sink(settings, tmp_path, TABLES, {"blocks": 3})
    assert sink.sink.given == (settings, tmp_path, {"blocks": 3})


def test_only_what_was_chosen_is_written(tmp_path):
    settings = Settings(kind="jsonl", records=("scores",), streams=("a",))
    sink = open_sink(settings, tmp_path, TABLES)
    sink.write(BLOCK)
    sink.close()
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert lines
    assert all('"type":"score"' in line and '"stream":"a"' in line for line in lines)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("sqlit", "sink.kind: expected a sink, was 'sqlit'; did you mean 'sqlite'?"),
        ("kafka", "there are: jsonl, parquet, sqlite, websocket"),
        ("websocket", "'websocket' is served by a daemon"),
        ("no.such.module:Sink", "sink.kind: 'no.such.module:Sink' cannot be imported"),
        ("json:Absent", "sink.kind: 'json:Absent' cannot be imported"),
        ("json:", "expected a sink, was 'json:'"),
        ("os:system", "expected a class with write, flush, position, close, was"),
        ("json:JSONEncoder", "sfm_stream.sinks.Sink says more"),
    ],
)
def test_kind_that_cannot_be_opened_is_named(tmp_path, kind, message):
    with pytest.raises(ConfigError) as caught:
        open_sink(Settings(kind=kind), tmp_path, TABLES)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["kafka", "os:system", "json:Absent"])
def test_what_is_no_sink_is_refused_before_any_is_opened(kind):
    ours = ("jsonl", "websocket", f"{MemorySink.__module__}:MemorySink")
    expect_sinks(map(Settings, ours))
    with pytest.raises(ConfigError) as caught:
        expect_sinks([Settings("jsonl"), Settings(kind)])
    assert caught.value.at == "sink.kind"
