"""The folder of a run: all files needed to resume it or to verify it.

RUN/config.toml            every setting, resolved
RUN/run.json               fingerprint, source, fields, targets, horizons, experts
RUN/records/*.parquet      the records of the engine
RUN/checkpoints/<seq>/     state of the engine after `seq` events
RUN/start/                 state of the engine at the start, if it began warm
RUN/summary.json           scores of the run
RUN/lock                   held by the process that replays it
"""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from sfm_stream import config
from sfm_stream.errors import (
    CheckpointCorrupt,
    CheckpointMismatch,
    ConfigError,
    SinkError,
    SourceChanged,
    listed,
)
from sfm_stream.storage import atomic, fingerprint, lock, toml

if TYPE_CHECKING:
    from sfm_stream.backends.contract import Backend
    from sfm_stream.engine import Engine
    from sfm_stream.feeds import Source

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
CONFIG, INFO, SUMMARY = "config.toml", "run.json", "summary.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder and its content.

    Attributes:
        folder: path of the folder.
        config: settings of the run.
        info: content of `run.json`.
    """

    folder: Path
    config: config.Config
    info: Mapping[str, Any]

    @property
    def records(self) -> Path:
        """The folder of records."""
        return self.folder / "records"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def start(self) -> Path:
        """The folder of the checkpoint that the run began with."""
        return self.folder / "start"

    @property
    def journal(self) -> Path:
        """The folder of the journal of a live run."""
        return self.folder / "journal"


def create(
    folder: Path,
    settings: config.Config,
    feed: Source,
    engine: Engine,
    guard: Callable[[], None] = lambda: None,
) -> Run:
    """Make the folder of a new run.

    Args:
        folder: path of the folder.
        settings: the settings, resolved.
        feed: the source of its ticks.
        engine: an engine that has seen no tick.
        guard: raises `Fenced` if another process has taken the run.

    Raises:
        SinkError: if it holds a run already or cannot be written.
        Fenced: as `guard` raises it, before a file of the other process is changed.
    """
    if (folder / INFO).exists():
        hint = f"run `sfm-stream resume {folder}` or name another with --out"
        raise SinkError(str(folder), "holds a run already", hint)
    info = {
        "fingerprint": fingerprint.of(settings, engine.backend),
        "source": feed.source(),
        "fields": list(feed.fields),
        "targets": list(engine.targets),
        "horizons": list(engine.horizons),
        "experts": list(engine.experts),
        "frequencies": engine.frequencies.tolist(),
    }
    make(folder)
    guard()
    write(folder / CONFIG, toml.write(config.to_tree(settings)).encode())
    (folder / CONFIG).chmod(PRIVATE_FILE)
    guard()
    write(folder / INFO, to_json(info))
    return Run(folder, settings, plain(info))


def expect_free(folder: Path, marks: Sequence[str] = (INFO,)) -> None:
    """Refuse a folder that holds files but none of the command that asks.

    Args:
        folder: path of the folder; it may be absent.
        marks: names of files and folders of which such a folder has one, as patterns.

    Raises:
        SinkError: naming some of the files.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    # a run that was killed while it was made may have left its lock and settings
    ours = {lock.NAME, CONFIG} if lock.NAME in names else set()
    found = sorted(names - ours)
    if found and not any(fnmatch.filter(found, mark) for mark in marks):
        problem = f"expected a new or empty folder, was one with {listed(found, 3)}"
        raise SinkError(str(folder), problem, "name another with --out")


def make(folder: Path) -> bool:
    """Make a folder that only its owner can read: addresses may hold tokens.

    Returns:
        False if it exists already; then its mode is not changed.

    Raises:
        SinkError: if it cannot be made, or its name cannot be written down.
    """
    try:
        str(folder).encode()
        folder.mkdir(PRIVATE_FOLDER, parents=True)
    except UnicodeEncodeError as e:
        problem = "expected a path in UTF-8, was one of other bytes"
        raise SinkError(str(folder), problem, "name another with --out") from e
    except FileExistsError:
        return False
    except OSError as e:
        raise SinkError(str(folder), *atomic.explain(e)) from e
    return True


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a run without a journal against other processes of this machine.

    Args:
        folder: folder of the run; made if absent.

    Raises:
        SinkError: if another process holds the lock, or the disk refuses.
    """
    make(folder)
    handle = lock.hold(folder, SinkError)
    try:
        yield
    finally:
        os.close(handle)


def load(folder: Path) -> Run:
    """Read the folder of a run.

    Raises:
        ConfigError: if it is no run, or its settings cannot be read.
        CheckpointCorrupt: if its `run.json` cannot be read.
        CheckpointMismatch: if its settings changed since it was made.
    """
    try:
        info = msgspec.json.decode((folder / INFO).read_bytes(), type=dict[str, Any])
    except OSError as e:
        problem = f"expected a run with a {INFO}, was none"
        raise ConfigError(str(folder), problem, "name the folder of a run") from e
    except msgspec.DecodeError as e:
        raise CheckpointCorrupt(str(folder / INFO), f"cannot be read: {e}") from e
    run = Run(folder, _settings(folder / CONFIG), info)
    expect_model(folder / CONFIG, run, run.config)
    return run


def _settings(path: Path) -> config.Config:
    """Read the settings of a run, with former defaults for keys that it lacks.

    Without `features.widest`, runs saw all fields, however many. Without
    `features.helpers`, targets had no helpers. Without `features.most`, they saw all
    fields that are no targets. Without `learn.schedule`, streams learned together.
    """
    with warnings.catch_warnings():
        # a run keeps its old keys, so a warning would help no user
        warnings.simplefilter("ignore", FutureWarning)
        try:
            settings = config.load(path)
        except ConfigError as e:
            at = "" if e.at == str(path) else f"{e.at}: "
            hint = "restore the file as the run wrote it"
            raise ConfigError(str(path), f"{at}{e.problem}", hint) from e
    written = config.written(path)
    features, learn = settings.features, settings.learn
    if "widest" not in written.get("features", {}):
        features = replace(features, widest=None)
    elif "helpers" not in written.get("features", {}):
        features = replace(features, helpers=None)
    if "most" not in written.get("features", {}):
        features = replace(features, most=None)
    if "schedule" not in written.get("learn", {}):
        learn = replace(learn, schedule=config.TOGETHER)
    return replace(settings, features=features, learn=learn)


def expect_model(where: Path, run: Run, settings: config.Config) -> None:
    """Refuse settings whose model differs from the model of a run.

    Args:
        where: place named in the error.
        run: the run to continue.
        settings: the settings to continue it with.

    Raises:
        CheckpointMismatch: naming the keys that differ, with both values; or the
            digests, if the run's own settings changed since it was made.
    """
    expected, was = run.info["fingerprint"]["config"], config.digest(settings)
    if expected == was:
        return
    changed = config.changes(run.config, settings)
    digests = f"settings with digest {expected[:12]}, was {was[:12]}"
    problem = f"expected {differing(changed) or digests}"
    hint = "restore the settings or start a new run"
    raise CheckpointMismatch(str(where), problem, hint)


def differing(changed: Sequence[tuple[str, Any, Any]]) -> str:
    """Write the settings that differ, as `config.changes` gives them, as text."""
    named = [f"{key} {old!r}, was {new!r}" for key, old, new in changed]
    return "; expected ".join(named)


def expect_source(run: Run, feed: Source) -> None:
    """Refuse a source that differs from the source of the run.

    Raises:
        SourceChanged: naming the first difference, with both values.
        FeedError: if the source cannot be read.
    """
    before, now = run.info["source"], plain(feed.source())
    if before == now:
        return
    old = dict(_leaves("", before))
    new = dict(_leaves("", now))
    for path in dict.fromkeys([*old, *new]):
        if old.get(path) != new.get(path):
            name = _blamed(now, path)
            raise SourceChanged(
                name, f"{path} {old.get(path)}", f"{path} {new.get(path)}"
            )


def differences(run: Run, backend: Backend) -> dict[str, tuple[Any, Any]]:
    """Compare a run's fingerprints with the fingerprint of this process.

    Returns:
        Each part that differs: name to (value in the run, value now).
    """
    now = fingerprint.of(run.config, backend)
    found = {}
    for before in (run.info["fingerprint"], *run.info.get("resumed", ())):
        for name, value in now.items():
            if before.get(name) != value:
                found[name] = (before.get(name), value)
    return found


def note_resumed(run: Run, backend: Backend) -> Run:
    """Write into `run.json` that the run was resumed under another fingerprint."""
    now = plain(fingerprint.of(run.config, backend))
    info = {**run.info, "resumed": [*run.info.get("resumed", ()), now]}
    write(run.folder / INFO, to_json(info))
    return Run(run.folder, run.config, info)


def write(path: Path, data: bytes) -> None:
    """Write a small file of a run, completely or not at all.

    Raises:
        SinkError: if the disk is full or refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, data)
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e


def to_json(tree: Mapping[str, Any]) -> bytes:
    """Give indented JSON, for people to read."""
    return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"


def plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Give a tree as it reads after it was written as JSON."""
    return msgspec.json.decode(msgspec.json.encode(tree), type=dict[str, Any])


def _leaves(at: str, tree: object) -> list[tuple[str, object]]:
    match tree:
        case Mapping():
            items = [(f"{at}.{key}".lstrip("."), v) for key, v in tree.items()]
        case list():
            items = [(f"{at}[{i}]", v) for i, v in enumerate(tree)]
        case _:
            return [(at, tree)]
    return [leaf for path, value in items for leaf in _leaves(path, value)]


def _blamed(source: Mapping[str, Any], at: str) -> str:
    """Name the file that differs, or else the connector."""
    found = re.match(r"files\[(\d+)\]", at)
    files = source.get("files", ())
    if found and int(found[1]) < len(files):
        return str(files[int(found[1])]["path"])
    return str(source.get("connector", "source"))
