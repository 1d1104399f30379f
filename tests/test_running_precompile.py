from __future__ import annotations

import pytest

from sfm_stream import config
from sfm_stream.backends.numba import Numba
from sfm_stream.running import precompile

TREE = {"model": {"states": 2, "frequencies": 2, "outputs": 2}}
SMALL = config.from_tree(TREE)


@pytest.fixture
def children(monkeypatch):
    """Note what would be run in a process of its own, and run nothing."""
    called = []
    monkeypatch.setattr(precompile, "child", called.append)
    return called


@pytest.mark.parametrize("compiled", [True, False])
def test_kernels_never_compiled_are_compiled_apart_and_said_so(
    monkeypatch, children, compiled
):
    monkeypatch.setattr(Numba, "is_ready", lambda _: compiled)
    said = []
    precompile.prepare(SMALL, ["value"], said.append)
    assert said == ([] if compiled else [precompile.NOTICE])
    assert children == ([] if compiled else [["-c", precompile.COMPILE]])


def test_torch_has_nothing_to_compile(monkeypatch, children):
    monkeypatch.setattr(Numba, "is_ready", lambda _: False)
    chosen = config.from_tree(TREE | {"run": {"backend": "torch"}})
    said = []
    precompile.prepare(chosen, ["value"], said.append)
    assert said == children == []


def test_a_child_finds_the_package_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = precompile.child(["-c", "import sfm_stream; print(sfm_stream.__name__)"])
    assert said.stdout.strip() == "sfm_stream"
