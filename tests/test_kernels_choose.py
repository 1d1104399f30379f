"""Choosing a backend: what is absent is an error, and nothing stale is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from sfm_stream import kernels
from sfm_stream.errors import ConfigError

ROOT = Path(__file__).parents[1]


def test_auto_is_the_compiled_tick():
    from sfm_stream.kernels import tick

    assert kernels.choose("auto", "cpu") == ("numba", tick.advance)
    assert kernels.choose("numba", "cpu") == ("numba", tick.advance)


def test_torch_is_named_and_callable():
    name, advance = kernels.choose("torch", "cpu")
    assert name == "torch"
    assert callable(advance)


def test_unknown_backend_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"run.backend: expected one of auto, numba"):
        kernels.choose("triton", "cpu")


def test_absent_package_is_an_error_and_no_other_is_taken(monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        kernels, "find_spec", lambda name: None if name == "torch" else found(name)
    )
    with pytest.raises(ConfigError, match=r"run.backend: 'torch' needs .*; install"):
        kernels.choose("torch", "cpu")
    assert kernels.choose("auto", "cpu")[0] == "numba"


@pytest.mark.parametrize("device", ["cuda:99", "cupboard"])
def test_absent_device_is_an_error(device):
    with pytest.raises(ConfigError, match=f"run.device: .*{device}.*; use cpu"):
        kernels.choose("torch", device)


def test_numba_refuses_another_device_than_the_cpu():
    with pytest.raises(ConfigError, match=r"run.device: the numba backend"):
        kernels.choose("auto", "cuda")


def test_numba_backend_does_not_import_torch():
    program = (
        "import sys; from sfm_stream import kernels; assert 'numba' not in sys.modules;"
        "kernels.choose('auto', 'cpu'); kernels.is_compiled();"
        "assert 'numba' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)  # noqa: S603


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Stand in for the folder where numba keeps what it compiled."""
    monkeypatch.setattr(kernels, "_cache", lambda: tmp_path)
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    return tmp_path / f"tick.advance-1.{version}.nbi"


def test_nothing_is_compiled_in_an_empty_cache(cache):
    kernels.choose("numba", "cpu")
    assert cache.parent.exists()
    assert not kernels.is_compiled()


def test_what_was_compiled_of_these_sources_is_kept(cache):
    kernels.choose("numba", "cpu")
    cache.touch()
    kernels.choose("numba", "cpu")
    assert cache.exists()
    assert kernels.is_compiled()


@pytest.mark.parametrize("change", [1, -(10**9)], ids=["newer", "older"])
def test_a_changed_source_throws_away_what_was_compiled(cache, monkeypatch, change):
    kernels.choose("numba", "cpu")
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
    assert not kernels.is_compiled()
    kernels.choose("numba", "cpu")
    assert not cache.exists()


def test_index_without_a_stamp_is_not_trusted(cache):
    cache.touch()
    assert not kernels.is_compiled()
    kernels.choose("numba", "cpu")
    assert not cache.exists()
