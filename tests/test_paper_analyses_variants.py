"""One thing changed at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream import config
from sfm_stream.cell.baselines.catalogue import model
from sfm_stream.cell.baselines.stock import StockSFMCell
from sfm_stream.errors import ConfigError
from sfm_stream.paper.analyses.absolute import AbsoluteCell
from sfm_stream.paper.analyses.variants import VARIANTS, cell_of

torch.set_num_threads(1)
X = torch.linspace(-1, 1, 36).reshape(6, 3, 2)


def born(name):
    return lambda seed: model(name, "signals", seed=seed)


def built(name):
    return VARIANTS[name].build(born(VARIANTS[name].name), 0)


def memory(net):
    """Give the complex memory after a sequence."""
    _, state = net(X)
    return torch.complex(state.re, state.im)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_answers_and_learns(name):
    net = built(name)
    said, _ = net(X)
    said.square().mean().backward()
    assert said.shape == (6, 3, 1)
    assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters()
               if p.grad is not None)  # fmt: skip


@pytest.mark.parametrize(("name", "plain"), [("paper", "sfm"), ("adaptive", "a-sfm")])
def test_what_is_unchanged_is_the_slides_model(name, plain):
    torch.testing.assert_close(built(name)(X)[0], model(plain, "signals", seed=0)(X)[0])


def test_a_variant_keeps_the_sizes_and_the_memory_of_the_task():
    def with_short_memory(seed):
        return model("sfm", "signals", options={"longest_memory": 9.0}, seed=seed)

    net = VARIANTS["half grid"].build(with_short_memory, 0)
    assert cell_of(net).sizes == cell_of(with_short_memory(0)).sizes


def test_a_model_that_is_no_sfm_is_refused():
    with pytest.raises(ConfigError, match="expected an SFM cell, was GRUCell"):
        VARIANTS["paper"].build(born("gru"), 0)
    with pytest.raises(ConfigError, match="expected a layer and its head, was Linear"):
        cell_of(torch.nn.Linear(1, 1))


def test_without_a_basis_memory_is_real_and_all_frequencies_are_alike():
    found = memory(built("no basis"))
    assert found.imag.abs().max() == 0.0
    # all that is left of a frequency is its gate
    assert memory(built("paper")).imag.abs().max() > 0.01


def test_the_constant_alone_is_one_frequency():
    net = built("DC only")
    assert net.layer.cell.omega.remainder(2 * torch.pi).tolist() == pytest.approx([0.0])


def test_grids_differ_and_begin_where_they_should():
    omegas = {n: built(n).layer.cell.omega for n in ("paper", "half grid", "log grid")}
    assert omegas["paper"][-1].item() == pytest.approx(2 * np.pi)
    assert omegas["half grid"].tolist() == pytest.approx(
        [k * np.pi / 4 for k in range(4)]
    )
    assert (2 * np.pi / omegas["log grid"][1]).item() == pytest.approx(256.0)


def test_the_usual_birth_is_a_memory_of_two_ticks():
    cell = built("usual birth").layer.cell
    w_in = cell.w_in[-1]
    forget = torch.sigmoid(w_in[:50])[None] * torch.sigmoid(w_in[50:54])[:, None]
    assert forget.min().item() == pytest.approx(0.534, abs=1e-3)
    assert forget.max().item() == pytest.approx(0.534, abs=1e-3)


def test_the_absolute_phase_is_a_cell_of_its_own():
    assert isinstance(built("adaptive + absolute phase").layer.cell, AbsoluteCell)


@pytest.mark.parametrize("task", ["signals", "music", "phonemes"])
def test_the_stock_price_form_has_as_many_states_as_fit(task):
    def size(net):
        return sum(p.numel() for p in net.layer.cell.parameters())

    def plain(seed):
        return model("sfm", task, seed=seed)

    net = VARIANTS["stock-price form"].build(plain, 0)
    assert isinstance(net.layer.cell, StockSFMCell)
    assert 0.85 * size(plain(0)) < size(net) <= size(plain(0))


def test_the_stock_price_form_is_born_from_the_seed_alone():
    variant = VARIANTS["stock-price form"]
    once, again = (variant.build(born("sfm"), 3).layer.cell for _ in range(2))
    other = variant.build(born("sfm"), 4).layer.cell
    assert torch.equal(once.w_x, again.w_x)
    assert not torch.equal(once.w_x, other.w_x)


def test_what_the_engine_offers_it_takes():
    offered = [v.online for v in VARIANTS.values() if v.online is not None]
    for settings in offered:
        config.from_tree({"model": dict(settings)})
    absent = [name for name, v in VARIANTS.items() if v.online is None]
    assert absent == ["no basis", "adaptive + absolute phase", "stock-price form"]
