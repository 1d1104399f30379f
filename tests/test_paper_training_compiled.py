"""Compiled ticks against the loop of the cell."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

from sfm_stream.cell import CWRNNCell, Layer, LSTMCell, PhasedLSTMCell
from sfm_stream.cell.baselines.catalogue import Headed
from sfm_stream.errors import ConfigError
from sfm_stream.paper.training import compiled as subject
from sfm_stream.paper.training.loop import Contender, Objective

# torch's own compiler calls what torch warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
]
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles with g++, which is absent"
)
OBJECTIVE = Objective(
    lambda *_: torch.zeros(1), lambda *_: {}, lambda *_: torch.zeros(1)
)


def built(make, build=lambda one: one):
    def model(seed):
        cell = make(3, 10, seed=seed, dtype=torch.float64)
        return Headed(Layer(cell), torch.nn.Identity())

    return build(Contender(model, OBJECTIVE)).build(7)


def descended(model, x, **more):
    z, _ = model(x, **more)
    z.square().sum().backward()
    return z.detach(), [p.grad for p in model.parameters()]


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()


@needs_compiler
@pytest.mark.parametrize("timed", [False, True])
def test_compiled_ticks_give_the_values_and_gradients_of_the_loop(monkeypatch, timed):
    monkeypatch.setattr(subject, "TICKS", 2)
    make = PhasedLSTMCell if timed else CWRNNCell
    x = noise(7, 2, 3)
    more = {"elapsed": x[..., 0].abs()} if timed else {}
    plain, fast = built(make), built(make, subject.compiled)
    assert isinstance(fast.layer, subject.CompiledLayer)
    torch.testing.assert_close(descended(fast, x, **more), descended(plain, x, **more))


def test_a_copy_of_a_compiled_model_runs_its_own_weights():
    fast, plain = built(CWRNNCell, subject.compiled), built(CWRNNCell)
    x = noise(9, 2, 3)
    mean = copy.deepcopy(fast)
    for model in (mean, plain):
        for weights in model.parameters():
            weights.data *= 0.5
    with torch.no_grad():
        torch.testing.assert_close(mean(x), plain(x))


@needs_compiler
def test_a_pass_without_gradients_compiles_nothing():
    fast = built(CWRNNCell, subject.compiled)
    with torch.no_grad():
        torch.compiler.set_stance("fail_on_recompile")
        try:
            z, _ = fast(torch.ones(20, 2, 3).double())
        finally:
            torch.compiler.set_stance("default")
    plain, _ = built(CWRNNCell)(torch.ones(20, 2, 3).double())
    torch.testing.assert_close(z, plain.detach())


def test_weights_keep_their_names():
    plain, fast = built(CWRNNCell), built(CWRNNCell, subject.compiled)
    assert list(plain.state_dict()) == list(fast.state_dict())


def test_a_layer_of_torch_stays_as_it_is():
    fast = built(LSTMCell, subject.compiled)
    assert type(fast.layer) is Layer


def test_a_missing_compiler_is_refused_with_the_reason(monkeypatch):
    def missing(_):
        raise RuntimeError("no working C++\ncompiler\n\nmore")

    monkeypatch.setattr(torch, "compile", missing)
    with pytest.raises(ConfigError, match=r"was: no working C\+\+ compiler; install"):
        subject.expect_compiler("cpu")
