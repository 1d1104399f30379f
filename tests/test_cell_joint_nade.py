"""NADE: a distribution whose likelihood is exact."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from sfm_stream.cell.joint.nade import NADE
from sfm_stream.errors import ConfigError, ShapeError

V, H, M = 6, 4, 3
EVERY = torch.tensor(list(product([0.0, 1.0], repeat=V)), dtype=torch.float64)


# Weights four times those of birth couple the bits enough for a test to see it.
def make(**changes):
    nade = NADE(M, V, H, **{"dtype": torch.float64, "seed": 1, **changes})
    with torch.no_grad():
        for parameter in nade.parameters():
            parameter.mul_(4.0)
    return nade


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_likelihood_over_all_vectors_sums_to_one():
    nade, z = make(), 3 * noise(5, 1, M)
    total = nade.log_likelihood(EVERY.expand(5, -1, -1), z).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5).double(), rtol=1e-12, atol=0)


def test_likelihood_is_the_product_of_its_conditionals_bit_by_bit():
    nade, z = make(), noise(M)
    b, a = nade.visible_bias(z), nade.hidden_bias(z)
    v, expected = EVERY[37], 0.0
    for i in range(V):
        p = torch.sigmoid(b[i] + nade.w_out[i] @ torch.sigmoid(a))
        expected = expected + torch.log(p if v[i] else 1 - p)
        a = a + v[i] * nade.w_in[i]
    torch.testing.assert_close(nade.log_likelihood(v, z), expected)


def test_likelihood_of_no_vectors_is_empty():
    assert make().log_likelihood(EVERY[:0], noise(0, M)).shape == (0,)


def test_likelihood_depends_on_the_context():
    nade = make()
    said = nade.log_likelihood(EVERY[5].expand(2, V), noise(2, M))
    assert (said[0] - said[1]).abs() > 0.1


def test_samples_come_as_often_as_their_likelihood_says():
    nade, z = make(), noise(M)
    drawn = nade.sample(z.expand(20_000, M), torch.Generator().manual_seed(0))
    place = (drawn @ 2.0 ** torch.arange(V - 1, -1, -1).double()).long()
    seen = place.bincount(minlength=2**V) / 20_000
    expected = nade.log_likelihood(EVERY, z).exp()
    assert (seen - expected).abs().max() < 0.015
    assert expected.max() > 0.06


def test_gradients_pass_gradcheck():
    nade = make()
    names = [name for name, _ in nade.named_parameters()]
    given = [noise(2, M), *(p.detach() for p in nade.parameters())]

    def score(z, *weights):
        whole = Scored(nade)
        named = {f"nade.{k}": w for k, w in zip(names, weights, strict=True)}
        return torch.func.functional_call(whole, named, (EVERY[[9, 50]], z))

    assert torch.autograd.gradcheck(score, [v.requires_grad_() for v in given])


class Scored(torch.nn.Module):
    def __init__(self, nade):
        super().__init__()
        self.nade = nade

    def forward(self, v, z):
        return self.nade.log_likelihood(v, z)


def test_likelihood_and_gradients_stay_finite_at_certainty():
    nade = make(dtype=torch.float32)
    with torch.no_grad():
        nade.visible_bias.bias.fill_(1e4)
    score = nade.log_likelihood(torch.zeros(V), torch.zeros(M))
    score.backward()
    assert score.isfinite()
    assert all(p.grad.isfinite().all() for p in nade.parameters())


def test_a_seed_decides_the_weights_and_leaves_torch_alone():
    untouched = torch.get_rng_state()
    first, second = make(seed=4), make(seed=4)
    first.sample(noise(2, M), torch.Generator().manual_seed(1))
    assert torch.equal(untouched, torch.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_vectors_and_contexts_of_another_width_are_refused():
    with pytest.raises(ShapeError, match=r"v: expected shape \[\.\.\., 6\]"):
        make().log_likelihood(torch.zeros(5).double(), noise(M))
    with pytest.raises(ShapeError, match=r"z: expected shape \[\.\.\., 3\]"):
        make().log_likelihood(EVERY, noise(M + 1))
    with pytest.raises(ShapeError, match=r"z: expected shape \[\.\.\., 3\]"):
        make().sample(noise(M + 1), torch.Generator())


def test_sizes_below_one_are_refused():
    with pytest.raises(ConfigError, match="hidden_size: expected at least 1, was 0"):
        NADE(M, V, 0, seed=1)
