"""Machine code on disk: what was made of other sources is never loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sfm_stream.backends import contract
from sfm_stream.jit import cache as stale


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Stand in for the folder where numba keeps what it compiled of the tick."""
    monkeypatch.setattr(contract, "_cache", lambda: str(tmp_path))
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    return tmp_path / f"tick.advance-1.{version}.nbi"


def test_nothing_is_compiled_in_an_empty_cache(cache):
    contract.choose("numba", "cpu")
    assert cache.parent.exists()
    assert not contract.is_compiled()


def test_what_was_compiled_of_these_sources_is_kept(cache):
    contract.choose("numba", "cpu")
    cache.touch()
    contract.choose("numba", "cpu")
    assert cache.exists()
    assert contract.is_compiled()


@pytest.mark.parametrize("change", [1, -(10**9)], ids=["newer", "older"])
def test_a_changed_source_throws_away_what_was_compiled(cache, monkeypatch, change):
    contract.choose("numba", "cpu")
    cache.touch()
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
    assert not contract.is_compiled()
    contract.choose("numba", "cpu")
    assert not cache.exists()


def test_index_without_a_stamp_is_not_trusted(cache):
    cache.touch()
    assert not contract.is_compiled()
    contract.choose("numba", "cpu")
    assert not cache.exists()


def test_a_folder_that_is_not_there_is_made(tmp_path):
    sources = stale.Sources(("jit/*.py",))
    stale.discard(str(tmp_path / "a/b"), sources)
    (tmp_path / "a/b/tick.x-1.py999.nbi").touch()
    assert not stale.holds(str(tmp_path / "a/b"), "tick.x", sources)


def test_files_that_are_not_compiled_do_not_count():
    every = [path.name for path in stale.Sources(("jit/*.py",)).files()]
    some = stale.Sources(("jit/*.py",), ("cache.py",)).files()
    assert {"lanes.py", "scalars.py", "cache.py"} < set(every)
    assert [path.name for path in some] == [n for n in every if n != "cache.py"]
