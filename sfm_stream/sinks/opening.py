"""Opens the sink that the settings name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.outsiders import Sort, class_of
from sfm_stream.sinks.chosen import Chosen
from sfm_stream.sinks.jsonl import JsonlSink
from sfm_stream.sinks.parquet import ParquetSink
from sfm_stream.sinks.sqlite import SqliteSink
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    from sfm_stream.settings import Sink as Settings
    from sfm_stream.sinks.contract import Sink

    Tables: TypeAlias = Mapping[str, tuple[str, ...]]
    Position: TypeAlias = Mapping[str, Any]

KIND, SERVED = "sink.kind", "websocket"
PATHS: Mapping[str, str] = {
    "jsonl": "records.jsonl",
    "parquet": "parquet",
    "sqlite": "records.sqlite",
}
OF_A_SINK = Sort(
    "sink",
    ("write", "flush", "position", "close"),
    "sfm_stream.sinks.Sink",
    others=(*PATHS, SERVED),
    group="sfm_stream.sinks",
)
TWICE = "give one of them another path; / and - count as the same"
OF_SQLITE = ("-wal", "-shm")
"""Suffixes of files beside a database, which a new database would use as its own."""


def open_sink(
    settings: Settings, folder: Path, tables: Tables, position: Position | None = None
) -> Chosen:
    """Open the sink that `sink.kind` names.

    Args:
        settings: `kind` is a sink of this package, an entry point of the group
            `sfm_stream.sinks` in an installed package, or any `package.module:Class`;
            such a class is called with (settings, folder, position).
        folder: folder of the run; `sink.path` is relative to it.
        tables: texts of codes that do not change, and names of `experts`.
        position: the sink's position in a checkpoint; None for a new run, empty for a
            run without a checkpoint.

    Raises:
        ConfigError: if there is no such sink.
        SinkError: if its file or folder cannot be used.
        RecordsLost: if records up to the position are gone.
    """
    sink = _open(settings, folder, tables, position)
    return Chosen(sink, settings.records, settings.streams)


def place_of(settings: Settings) -> str:
    """Name a sink for people: its file or folder, or its kind if it has none."""
    return settings.path or PATHS.get(settings.kind, settings.kind)


def open_anew(settings: Settings, folder: Path, tables: Tables) -> Chosen:
    """Rename what is left of a sink that lost records, and open a new one.

    Args:
        settings: as in `open_sink`.
        folder: folder of the run.
        tables: as in `open_sink`.

    Raises:
        SinkError: if its file or folder cannot be used.
    """
    if settings.kind in PATHS:
        path = _place(settings, folder)
        try:
            atomic.set_aside(path, *OF_SQLITE)
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e
    return open_sink(settings, folder, tables, {})


def _place(settings: Settings, folder: Path) -> Path:
    return folder / (settings.path or PATHS.get(settings.kind, ""))


def _open(
    settings: Settings, folder: Path, tables: Tables, position: Position | None
) -> Sink:
    kind = settings.kind
    path = _place(settings, folder)
    match kind:
        case "jsonl":
            return JsonlSink(path, position)
        case "parquet":
            return ParquetSink(path, tables, position)
        case "sqlite":
            return SqliteSink(path, position)
        case "websocket":
            problem = f"{kind!r} is served by a daemon, and no place to open"
            raise ConfigError(KIND, problem)
    sink: Sink = class_of(kind, KIND, OF_A_SINK)(settings, folder, position)
    return sink


def expect_sinks(wanted: Iterable[Settings]) -> None:
    """Refuse kinds that name no sink, and two sinks with one path; open none.

    Raises:
        ConfigError: naming the first such kind or path.
    """
    taken: dict[str, str] = {}
    for one in wanted:
        if one.kind not in (*PATHS, SERVED):
            class_of(one.kind, KIND, OF_A_SINK)
        place = place_of(one)
        # the folder of spilled records has this name, with - for /
        name = str(PurePath(place)).replace("/", "-")
        if name in taken:
            problem = f"expected a path for each, was {taken[name]!r} and {place!r}"
            raise ConfigError("sink.path", problem, TWICE)
        taken[name] = place
