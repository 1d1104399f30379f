"""A-SFM with the slides' own phase."""

from __future__ import annotations

import pytest
import torch

from sfm_stream.cell.layer import Layer
from sfm_stream.cell.oracle import oracle_start, oracle_step
from sfm_stream.cell.sfm import SFMCell
from sfm_stream.errors import ConfigError
from sfm_stream.paper.analyses.absolute import AbsoluteCell

T = 12
torch.set_num_threads(1)


def adaptive(readout="amplitude"):
    cell = SFMCell(2, 3, states=5, frequencies=4, grid="paper", readout=readout,
                   adaptive=True, seed=1, dtype=torch.float64)  # fmt: skip
    with torch.no_grad():  # so that the frequencies do move
        cell.w_in += 0.3 * torch.randn(cell.w_in.shape, generator=torch.manual_seed(0))
    return cell


@pytest.fixture
def x():
    generator = torch.manual_seed(2)
    return torch.randn(T, 2, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("readout", ["amplitude", "amplitude+phase"])
def test_it_is_the_oracle_in_absolute_time(readout, x):
    cell = adaptive(readout)
    found, _ = Layer(AbsoluteCell(cell))(x)
    state = oracle_start(cell.sizes, cell.omega, 2)
    differs = False
    for t in range(T):
        z, state, _ = oracle_step(
            cell.sizes, cell.weights, cell.omega, cell.delta, x[t], state,
            phase="absolute",
        )  # fmt: skip
        torch.testing.assert_close(found[t], z)
        differs |= not torch.allclose(found[t], Layer(cell)(x)[0][t])
    assert differs


def test_it_shares_the_weights_of_the_cell_it_is_made_of():
    cell = adaptive()
    made = AbsoluteCell(cell)
    assert {id(p) for p in made.parameters()} == {id(p) for p in cell.parameters()}
    assert [key for key in made.state_dict() if key.startswith("delta")] == []


def test_its_gradient_grows_with_time(x):
    cell = adaptive()
    made = AbsoluteCell(cell)
    grads = []
    for t in (10.0, 1000.0):
        state = made.initial_state((2,))
        _, state = made(x[0], state)
        state = state._replace(t=state.t + t)
        z, _ = made(x[1], state)
        cell.zero_grad()
        z.square().sum().backward()
        grads.append(cell.w_in.grad.abs().max().item())
    assert grads[1] > 10 * grads[0]


def test_a_cell_of_fixed_frequencies_is_refused():
    fixed = SFMCell(2, 3, states=5, frequencies=4, seed=1)
    with pytest.raises(ConfigError, match="expected an adaptive one"):
        AbsoluteCell(fixed)
