"""Machine code on disk: what was made of other sources is never loaded."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from sfm_stream.backends import numba
from sfm_stream.backends.numba import Numba
from sfm_stream.cell.sequence import numba_kernels
from sfm_stream.engine import bins
from sfm_stream.jit import cache as cache_room


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Stand in for the folders where numba keeps what it compiled of the tick."""
    rooms = [str(tmp_path), str(tmp_path / "experts")]
    monkeypatch.setattr(Numba, "_folders", lambda _: rooms)
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    return tmp_path / f"tick.advance-1.{version}.nbi"


def test_nothing_is_compiled_in_an_empty_cache(cache):
    Numba("cpu")
    assert cache.parent.exists()
    assert not Numba("cpu").is_ready()


def test_what_was_compiled_of_these_sources_is_kept(cache):
    Numba("cpu")
    cache.touch()
    Numba("cpu")
    assert cache.exists()
    assert Numba("cpu").is_ready()


@pytest.mark.parametrize("change", [1, -(10**9)], ids=["newer", "older"])
def test_a_changed_source_throws_away_what_was_compiled(cache, monkeypatch, change):
    Numba("cpu")
    of_a_room = cache.parent / "experts" / "mature.settle_due-1.nbi"
    cache.touch()
    of_a_room.touch()
    stat = Path.stat

    def touched(path, **options):
        found = stat(path, **options)
        if path.name != "targets.py":
            return found
        fields = list(found)
        times = {name: getattr(found, name) for name in dir(found) if "_ns" in name}
        times["st_mtime_ns"] += change
        return os.stat_result(fields, times)

    monkeypatch.setattr(Path, "stat", touched)
    assert not Numba("cpu").is_ready()
    Numba("cpu")
    assert not cache.exists()
    assert not of_a_room.exists()


def test_every_room_of_the_kernels_is_cleared():
    rooms = {path.parent for path in (PACKAGE / "kernels").rglob("*.py")}
    rooms = {room for room in rooms if any(map(compiled, room.glob("*.py")))}
    assert len(cache_room.folders(numba.KERNELS)) == len(rooms)


def test_index_without_a_stamp_is_not_trusted(cache):
    cache.touch()
    assert not Numba("cpu").is_ready()
    Numba("cpu")
    assert not cache.exists()


def test_a_folder_that_is_not_there_is_made(tmp_path):
    sources = cache_room.Sources(("jit/*.py",))
    cache_room.discard([str(tmp_path / "a/b")], sources)
    (tmp_path / "a/b/tick.x-1.py999.nbi").touch()
    assert not cache_room.holds(str(tmp_path / "a/b"), "tick.x", sources)


def test_files_that_are_not_compiled_do_not_count():
    every = [path.name for path in cache_room.Sources(("jit/*.py",)).files()]
    some = cache_room.Sources(("jit/*.py",), ("cache.py",)).files()
    assert {"lanes.py", "scalars.py", "cache.py"} < set(every)
    assert [path.name for path in some] == [n for n in every if n != "cache.py"]


PACKAGE = Path(cache_room.__file__).parents[1]
NOT_COMPILED = {"errors.py", "settings/experts.py", "jit/cache.py"}


def compiled(path):
    """Say whether a file holds functions that are compiled."""
    text = path.read_text(encoding="utf-8")
    return any(f"\n@{how}\n" in text for how in ("jit", "inline", "strict"))


def reached(path):
    """Give the files of the package that a file imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sfm_stream"):
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                whole, part = (
                    PACKAGE.parent.joinpath(*name.split(".")[:cut]).with_suffix(".py")
                    for cut in (None, -1)
                )
                yield from (found for found in (whole, part) if found.exists())


@pytest.mark.parametrize(
    ("entry", "sources"),
    [
        ("kernels/tick.py", numba.SOURCES),
        ("cell/sequence/numba_kernels.py", numba_kernels.SOURCES),
        ("engine/bins.py", bins.SOURCES),
    ],
)
def test_no_file_that_machine_code_is_made_of_is_left_out(entry, sources):
    known, waiting = set(), [PACKAGE / entry]
    while waiting:
        path = waiting.pop()
        known.add(path)
        waiting += [p for p in reached(path) if compiled(path) and p not in known]
    known = {
        path for path in known if str(path.relative_to(PACKAGE)) not in NOT_COMPILED
    }
    assert known <= set(sources.files())
