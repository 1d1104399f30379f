"""Choosing a backend: what is absent is an error."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest

from sfm_stream.backends import contract
from sfm_stream.errors import ConfigError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["auto", "numba"])
def test_auto_is_the_compiled_tick(name):
    from sfm_stream.kernels import tick

    chosen = contract.choose(name, "cpu")
    assert (chosen.name, chosen.device, chosen.threads) == ("numba", "cpu", 1)
    assert chosen.advance is tick.advance


@pytest.mark.parametrize("name", contract.BACKENDS)
def test_every_backend_has_what_the_contract_asks(name):
    try:
        chosen = contract.choose(name, "cpu")
    except ConfigError as e:
        pytest.skip(str(e))
    assert chosen.name == name
    assert all(metadata.version(package) for package in chosen.packages)
    assert chosen.threads >= 1
    assert callable(chosen.advance)
    assert chosen.is_ready() in {True, False}


def test_unknown_backend_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"run.backend: expected one of auto, numba"):
        contract.choose("triton", "cpu")


def test_absent_package_is_an_error_and_no_other_is_taken(monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        contract, "find_spec", lambda name: None if name == "torch" else found(name)
    )
    with pytest.raises(ConfigError, match=r"run.backend: 'torch' needs .*; install"):
        contract.choose("torch", "cpu")
    assert contract.choose("auto", "cpu").name == "numba"


@pytest.mark.parametrize("device", ["cuda:99", "cupboard"])
def test_absent_device_is_an_error(device):
    with pytest.raises(ConfigError, match=f"run.device: .*{device}.*; use cpu"):
        contract.choose("torch", device)


def test_numba_refuses_another_device_than_the_cpu():
    with pytest.raises(ConfigError, match=r"run.device: the numba backend"):
        contract.choose("numba", "cuda")


def test_numba_backend_imports_neither_torch_nor_cuda():
    program = (
        "import sys; from sfm_stream.backends import contract; assert 'numba' not in sys.modules;"
        "contract.choose('auto', 'cpu').is_ready();"
        "assert 'numba' in sys.modules and 'torch' not in sys.modules;"
        "assert not {'cuda', 'numba.cuda'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)  # noqa: S603
