"""Checkpoints: atomic snapshots of the engine's whole state.

    folder/000000123456/state.safetensors   the arrays
    folder/000000123456/manifest.json       their types, shapes and hash

A snapshot is written under a temporary name and renamed, so a folder whose name is a
number is complete. While a snapshot with the same number is replaced, the old one is
called `<seq>.before`, and is used until the new one has its name. Loading is strict: a
snapshot is restored completely or refused. A snapshot of events that were lost is
renamed to `<seq>.aside-<n>` and never loaded again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import safetensors
import safetensors.numpy

from sfm_stream.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch
from sfm_stream.storage import atomic, tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Misfit: TypeAlias = Callable[[Mapping[str, Any]], str]

FORMAT = 1
STATE, MANIFEST = "state.safetensors", "manifest.json"
OURS = ("format", "seq", "sha256", "arrays", "check")
BEFORE, ASIDE = ".before", ".aside"
MOST_ASIDE = 4
"""Snapshots that are kept for inspection after they were set aside."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a saved snapshot.

    Attributes:
        arrays: the arrays by name.
        manifest: the caller's values; `format`, `seq`, hash and shapes of the arrays.
    """

    arrays: Mapping[str, NDArray[Any]]
    manifest: Mapping[str, Any]


def save(
    folder: Path,
    seq: int,
    arrays: Mapping[str, tensors.Array],
    manifest: Mapping[str, Any],
    keep: int = 3,
    guard: Callable[[], None] = lambda: None,
    journalled: int | None = None,
) -> Path:
    """Write a snapshot and drop all but the newest ones.

    Args:
        folder: the checkpoints of a run; made if absent.
        seq: number of events before the snapshot.
        arrays: numbers or booleans, of any shape.
        manifest: the caller's values, of any type that JSON can hold.
        keep: number of snapshots to keep, this one included, at least 1.
        guard: called right before the snapshot gets its name; an error that it raises
            stops the snapshot.
        journalled: number of events in the journal, if there is one. A snapshot after
            more events does not count as kept; an earlier one of these is dropped.

    Returns:
        The snapshot's own folder.

    Raises:
        CheckpointError: if it could not be written; older ones are untouched.
    """
    final = folder / f"{seq:012d}"
    temporary = final.with_name(final.name + atomic.TEMPORARY)
    if taken := sorted(set(OURS) & set(manifest)):
        raise CheckpointError(
            str(final), f"manifest keys {taken} are reserved", "rename them"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        _write(temporary, seq, arrays, manifest)
        guard()
        if final.exists():  # from before a restart; it may be the only good one
            final.rename(final.with_name(final.name + BEFORE))
        temporary.rename(final)
        atomic.sync(folder)
        _remove_replaced(folder)
        for old in _superseded(folder, seq, keep, journalled):
            _discard(old)
    except OSError as e:
        raise CheckpointError(str(final), *atomic.explain(e)) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def latest(folder: Path) -> Path | None:
    """Give the newest snapshot that has both files, even if damaged, or None."""
    complete = (
        path
        for path in _numbered(folder)
        if (path / STATE).is_file() and (path / MANIFEST).is_file()
    )
    return next(complete, None)


def load(path: Path) -> Snapshot:
    """Read a snapshot, or refuse it.

    Args:
        path: the snapshot's own folder.

    Raises:
        CheckpointCorrupt: if a file is missing, unreadable or not as it was written.
        CheckpointMismatch: if it was written in another format.
    """
    manifest = read_manifest(path)
    try:
        _expect(path, "hash of the state", manifest["sha256"], _hash(path))
        arrays = safetensors.numpy.load_file(path / STATE)
    except (OSError, safetensors.SafetensorError) as e:
        raise CheckpointCorrupt(str(path), f"{STATE} cannot be read: {e}") from e
    _expect(path, "arrays", manifest["arrays"], _described(arrays))
    return Snapshot(arrays, manifest)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a snapshot.

    Args:
        path: the snapshot's own folder.

    Raises:
        CheckpointCorrupt: if it is missing, unreadable or not as it was written.
        CheckpointMismatch: if it was written in another format.
    """
    try:
        text = (path / MANIFEST).read_bytes()
        manifest = msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as e:
        raise CheckpointCorrupt(str(path), f"{MANIFEST} cannot be read: {e}") from e
    whole = {key: value for key, value in manifest.items() if key != "check"}
    _expect(path, "hash of the manifest", manifest.get("check"), _check(whole))
    if manifest["format"] != FORMAT:
        raise CheckpointMismatch(
            str(path),
            f"expected format {FORMAT}, was {manifest['format']}",
            "use the version of sfm-stream that wrote it",
        )
    return manifest


def newest_good(
    folder: Path, warn: Callable[[str], None], misfit: Misfit = lambda _: ""
) -> Snapshot | None:
    """Read the newest snapshot that is undamaged and usable; None if there is none.

    Args:
        folder: the checkpoints of a run.
        warn: called with a message for each snapshot that is skipped.
        misfit: takes a manifest; gives why its snapshot is unusable, or an empty text.

    Raises:
        CheckpointMismatch: if an undamaged one was written in another format.
    """
    return _first_good(_numbered(folder), warn, misfit, "before")


def oldest_good(
    folder: Path,
    warn: Callable[[str], None],
    since: int,
    misfit: Misfit = lambda _: "",
) -> Snapshot | None:
    """Read the oldest snapshot that is undamaged and usable; None if there is none.

    Args:
        folder: the checkpoints of a run.
        warn: called with a message for each snapshot that is skipped.
        since: smallest number of events before the snapshot.
        misfit: takes a manifest; gives why its snapshot is unusable, or an empty text.

    Raises:
        CheckpointMismatch: if an undamaged one was written in another format.
    """
    newest_first = _numbered(folder)
    paths = [path for path in reversed(newest_first) if _seq(path) >= since]
    return _first_good(paths, warn, misfit, "after")


def set_aside(folder: Path, misfit: Misfit) -> dict[str, str]:
    """Rename every unusable snapshot, so that it is never loaded again.

    Damaged snapshots stay: a newer one with the same number will replace them.

    Args:
        folder: the checkpoints of a run.
        misfit: takes a manifest; gives why its snapshot is unusable, or an empty text.

    Returns:
        The new name of each renamed snapshot, and why it is unusable.

    Raises:
        CheckpointError: if the folder cannot be written.
        CheckpointMismatch: if an undamaged one was written in another format.
    """
    found = {}
    try:
        _remove_replaced(folder)
    except OSError as e:
        raise CheckpointError(str(folder), *atomic.explain(e)) from e
    for path in _numbered(folder):
        try:
            why = misfit(read_manifest(path))
        except CheckpointCorrupt:
            continue
        if why:
            found[_aside(path)] = why
    return found


def _aside(path: Path) -> str:
    seq, there = _seq(path), _set_aside(path.parent)
    # earlier ones may be deleted, so counting them would reuse a number
    last = max((number for of, number in there if of == seq), default=0)
    name = _name_aside(seq, last + 1)
    try:
        for old in there[: -MOST_ASIDE + 1]:
            shutil.rmtree(path.with_name(_name_aside(*old)))
        path.rename(path.with_name(name))
        atomic.sync(path.parent)
    except OSError as e:
        raise CheckpointError(str(path), *atomic.explain(e)) from e
    return name


def _name_aside(seq: int, number: int) -> str:
    return f"{seq:012d}{ASIDE}-{number}"


def _set_aside(folder: Path) -> list[tuple[int, int]]:
    """List seq and number of the snapshots that were set aside, in order."""
    parts = (path.name.split(f"{ASIDE}-") for path in folder.glob(f"*{ASIDE}-*"))
    return sorted((int(a), int(b)) for a, b in parts if (a + b).isdecimal())


def _first_good(
    paths: Sequence[Path], warn: Callable[[str], None], misfit: Misfit, where: str
) -> Snapshot | None:
    for path in paths:
        try:
            why = misfit(read_manifest(path))
            if not why:
                return load(path)
        except CheckpointCorrupt as e:
            warn(f"{e}; trying the checkpoint {where}")
        else:
            warn(f"{path}: {why}; trying the checkpoint {where}")
    return None


def _write(
    folder: Path,
    seq: int,
    arrays: Mapping[str, tensors.Array],
    manifest: Mapping[str, Any],
) -> None:
    folder.mkdir()
    whole = {
        **manifest,
        "format": FORMAT,
        "seq": seq,
        "sha256": tensors.write(folder / STATE, arrays),
        "arrays": _described(arrays),
    }
    # hash the values as they will be read: JSON has no tuples and no NaN
    plain = msgspec.json.decode(msgspec.json.encode(whole), type=dict[str, Any])
    text = msgspec.json.encode({**plain, "check": _check(plain)})
    atomic.write(folder / MANIFEST, msgspec.json.format(text, indent=2))


def _check(manifest: Mapping[str, Any]) -> str:
    text = msgspec.json.encode(manifest, order="sorted")
    return hashlib.sha256(text).hexdigest()


def _hash(path: Path) -> str:
    with (path / STATE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(arrays: Mapping[str, tensors.Array]) -> dict[str, list[Any]]:
    return {name: [a.dtype.name, list(a.shape)] for name, a in arrays.items()}


def _expect(path: Path, what: str, expected: object, was: object) -> None:
    if expected != was:
        raise CheckpointCorrupt(str(path), f"{what}: expected {expected}, was {was}")


def _numbered(folder: Path, up_to: int | None = None) -> list[Path]:
    """List the snapshots, newest first."""
    # backwards, so that `<seq>` follows `<seq>.before` and replaces it in the dict
    paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ()
    numbered = (p for p in paths if p.name.removesuffix(BEFORE).isdecimal())
    found = {_seq(path): path for path in numbered if path.is_dir()}
    wanted = (seq for seq in found if up_to is None or seq <= up_to)
    return [found[seq] for seq in sorted(wanted, reverse=True)]


def _seq(path: Path) -> int:
    return int(path.name.removesuffix(BEFORE))


def _superseded(
    folder: Path, seq: int, keep: int, journalled: int | None
) -> list[Path]:
    """List the snapshots to drop after one of `seq` events was saved."""
    paths = _numbered(folder, up_to=seq)
    if journalled is None:
        return paths[keep:]
    fit = [path for path in paths if _seq(path) <= journalled]
    loose = [path for path in paths if journalled < _seq(path) < seq]
    return [*fit[keep:], *loose]


def _discard(path: Path) -> None:
    # renamed first: an interrupted removal must not look like a snapshot
    doomed = path.with_name(path.name + atomic.TEMPORARY + ".old")
    path.rename(doomed)
    shutil.rmtree(doomed)


def _remove_replaced(folder: Path) -> None:
    for path in folder.glob(f"*{BEFORE}"):
        if path.with_suffix("").exists():
            _discard(path)


def _remove_leftovers(folder: Path) -> None:
    _remove_replaced(folder)
    for path in folder.glob(f"*{atomic.TEMPORARY}*"):
        shutil.rmtree(path)
