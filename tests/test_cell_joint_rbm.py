"""The restricted Boltzmann machine against sums over everything it can be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from sfm_stream.cell.joint.rbm import RBM
from sfm_stream.errors import ConfigError, ShapeError

V, H, M = 5, 4, 3


def all_bits(count):
    return torch.tensor(list(product([0.0, 1.0], repeat=count)), dtype=torch.float64)


# Weights this large couple the bits enough for a test to see it.
def make(**changes):
    rbm = RBM(M, V, H, **{"dtype": torch.float64, "seed": 1, **changes})
    with torch.no_grad():
        rbm.w *= 4.0
    return rbm


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def exact_log_partition(rbm, z):
    return torch.logsumexp(-rbm.free_energy(all_bits(V), z), -1)


def test_free_energy_sums_the_hidden_units_out():
    rbm, z = make(), noise(M)
    b, c, h = rbm.visible_bias(z), rbm.hidden_bias(z), all_bits(H)
    for v in all_bits(V):
        energy = -(v @ b) - h @ c - h @ (v @ rbm.w)
        expected = -torch.logsumexp(-energy, 0)
        torch.testing.assert_close(rbm.free_energy(v, z), expected)


def test_estimated_partition_meets_the_sum_over_all_vectors():
    rbm, z = make(), noise(3, M)
    estimate = rbm.estimated_log_partition(z, chains=4000, levels=50, chance=chance())
    exact = torch.stack([exact_log_partition(rbm, context) for context in z])
    torch.testing.assert_close(estimate, exact, rtol=0, atol=0.02)


def test_estimated_likelihood_meets_the_exact_one():
    rbm, z, v = make(), noise(3, M), all_bits(V)[[0, 11, 30]]
    estimate = rbm.estimated_log_likelihood(
        v, z, chains=4000, levels=50, chance=chance()
    )
    for i in range(3):
        exact = -rbm.free_energy(v[i], z[i]) - exact_log_partition(rbm, z[i])
        assert estimate[i].item() == pytest.approx(exact.item(), abs=0.02)


def test_one_chain_of_one_level_sees_too_little_of_the_partition():
    rbm, z = make(), noise(M).expand(2000, M)
    estimate = rbm.estimated_log_partition(z, chains=1, levels=1, chance=chance())
    exact = exact_log_partition(rbm, z[0])
    assert estimate.mean() < exact - 0.05
    # the partition itself is estimated without bias
    assert estimate.exp().mean() == pytest.approx(exact.exp().item(), rel=0.05)


def test_gibbs_sampling_comes_to_the_distribution():
    rbm, z = make(), noise(M)
    drawn = rbm.gibbs(torch.zeros(20_000, V).double(), z, 30, chance())
    place = (drawn @ 2.0 ** torch.arange(V - 1, -1, -1).double()).long()
    seen = place.bincount(minlength=2**V) / 20_000
    expected = torch.softmax(-rbm.free_energy(all_bits(V), z), 0)
    assert (seen - expected).abs().max() < 0.015
    assert expected.max() > 0.06


def test_long_contrast_has_the_gradient_of_the_likelihood():
    rbm, z, v = make(), noise(M), all_bits(V)[[3]]
    exact = rbm.free_energy(v[0], z) + exact_log_partition(rbm, z)
    expected = torch.autograd.grad(exact, list(rbm.parameters()))
    rbm.contrast(v.expand(20_000, V), z, 30, chance()).mean().backward()
    for parameter, gradient in zip(rbm.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=0.03)
    assert max(gradient.abs().max() for gradient in expected) > 0.3


def test_descending_the_contrast_raises_the_likelihood():
    rbm, z = RBM(M, V, H, dtype=torch.float64, seed=1), torch.zeros(M).double()
    seen = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 1, 1, 0]]).double().repeat(20, 1)

    def likelihood():
        return (-rbm.free_energy(seen, z) - exact_log_partition(rbm, z)).mean().item()

    before, draws = likelihood(), chance()
    optimizer = torch.optim.Adam(rbm.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        rbm.contrast(seen, z, 1, draws).mean().backward()
        optimizer.step()
    # two vectors of equal chance: -log 2 is the best there is
    assert before < -3.0
    assert likelihood() > -1.3


def test_gradients_pass_gradcheck():
    rbm = make()
    names = [name for name, _ in rbm.named_parameters()]
    given = [noise(2, M), *(p.detach() for p in rbm.parameters())]

    def energy(z, *weights):
        named = {f"rbm.{k}": w for k, w in zip(names, weights, strict=True)}
        return torch.func.functional_call(Energy(rbm), named, (all_bits(V)[[9, 30]], z))

    assert torch.autograd.gradcheck(energy, [v.requires_grad_() for v in given])


class Energy(torch.nn.Module):
    def __init__(self, rbm):
        super().__init__()
        self.rbm = rbm

    def forward(self, v, z):
        return self.rbm.free_energy(v, z)


def test_chance_is_what_was_given_and_torch_is_left_alone():
    untouched = torch.get_rng_state()
    rbm, twin, z = make(seed=4), make(seed=4), noise(9, M)
    v = torch.zeros(9, V).double()
    assert torch.equal(rbm.gibbs(v, z, 3, chance(1)), twin.gibbs(v, z, 3, chance(1)))
    rbm.estimated_log_likelihood(v, z, chains=2, levels=2, chance=chance())
    assert torch.equal(untouched, torch.get_rng_state())


def test_vectors_and_contexts_of_another_width_are_refused():
    with pytest.raises(ShapeError, match=r"v: expected shape \[\.\.\., 5\]"):
        make().free_energy(torch.zeros(4).double(), noise(M))
    with pytest.raises(ShapeError, match=r"z: expected shape \[\.\.\., 3\]"):
        make().free_energy(torch.zeros(V).double(), noise(M + 1))


def test_numbers_below_one_are_refused():
    rbm, v, z = make(), torch.zeros(V).double(), noise(M)
    with pytest.raises(ConfigError, match="visible_size: expected at least 1, was 0"):
        RBM(M, 0, H, seed=1)
    with pytest.raises(ConfigError, match="steps: expected at least 1, was 0"):
        rbm.contrast(v, z, 0, chance())
    with pytest.raises(ConfigError, match="levels: expected at least 1, was 0"):
        rbm.estimated_log_partition(z, chains=1, levels=0, chance=chance())
