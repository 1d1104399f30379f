"""The aggregation trusts whoever was right, and can change its mind."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.backends import contract
from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.kernels.experts import aggregate

# Throws away what older sources were compiled to.
contract.choose("numba", "cpu")

EXPERTS = 3
KEPT = aggregate.SLOW, aggregate.QUICK
START, SECOND = 1_600_000_000 * 10**9, 10**9


class Mixer:
    """Arrays of one horizon's aggregation."""

    def __init__(self, experts=EXPERTS):
        self.prior = np.full(experts, 0.5 / (experts - 1))
        self.prior[0] = 0.5
        self.begin()

    def begin(self):
        self.weight, self.quick = self.prior.copy(), self.prior.copy()
        # of the slow and of the quick memory: regrets, their squares, the largest
        self.memories = np.zeros((2, 3, len(self.prior)))

    def learn(self, experts, label, wait=1):
        mixed = aggregate.mixture(self.weight, experts)
        for weight, memory, kept in zip(
            (self.weight, self.quick), self.memories, KEPT, strict=True
        ):
            aggregate.update(
                weight, *memory, self.prior, experts,
                mixed, 2.0 * (mixed - label), wait, kept,
            )  # fmt: skip
        aggregate.join(self.weight, self.quick)
        return mixed


def transcribed(m, experts, label, wait):
    """Write the update of all weights as formulas over arrays."""
    mixed = m.weight @ experts
    r = 2.0 * (mixed - label) * (mixed - experts)
    said = [
        weighed(m.prior, r, memory, wait, kept)
        for memory, kept in zip(m.memories, KEPT, strict=True)
    ]
    return np.mean(said, axis=0)


def weighed(prior, r, memory, wait, kept):
    """Give the weights of one memory."""
    regret, square, bound = memory
    square = kept * square + np.sqrt(wait) * r**2
    bound = np.maximum(kept * bound, np.abs(r))
    eta = np.minimum(
        0.5 / np.maximum(bound, aggregate.TINY),
        np.sqrt(np.log(2.0 / prior) / np.maximum(square, aggregate.TINY)),
    )
    surplus = np.where(eta * r > 0.5, bound, 0.0)
    regret = kept * regret + 0.5 * (r - eta * np.sqrt(wait) * r**2) + surplus
    score = np.log(prior * eta) + eta * regret
    trust = np.exp(score - score.max())
    share = aggregate.SHARE
    return (1 - share) * trust / trust.sum() + share * prior


def noisy(count, spread, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.standard_normal(count)
    return labels[:, None] + spread * rng.standard_normal((count, len(spread))), labels


@pytest.mark.parametrize("wait", [1, 24])
def test_weights_are_those_of_the_formula(wait):
    m = Mixer()
    experts, labels = noisy(500, np.array([1.0, 0.5, 2.0]))
    for said, label in zip(experts, labels, strict=True):
        expected = transcribed(m, said, label, wait)
        m.learn(said, label, wait)
        np.testing.assert_allclose(m.weight, expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("best", range(EXPERTS))
def test_best_expert_wins_and_weights_sum_to_one(best):
    m, spread = Mixer(), np.ones(EXPERTS)
    spread[best] = 0.1
    for said, label in zip(*noisy(2_000, spread), strict=True):
        m.learn(said, label)
        assert m.weight.sum() == pytest.approx(1.0, abs=1e-12)
        assert (m.weight > 0).all()
    assert m.weight.argmax() == best
    assert m.weight[best] > 0.9


def test_labels_that_overlap_talk_nobody_into_forecasting_a_random_walk():
    skills = []
    for seed in range(8):
        walk = np.random.default_rng(seed).standard_normal(12_000).cumsum()
        time = START + np.arange(len(walk)) * 86_400 * SECOND
        engine = Engine(from_tree({"target": {"horizons": [48]}}), ["x"])
        said = engine.run(Block.ticks(time, walk[:, None], streams=("s",)))
        # the first hundreds go to finding out that there is nothing to find
        scores = {k: column[600:] for k, column in said.columns["scores"].items()}
        truth = scores["truth"]
        mse, naive = (np.square(truth - scores[k]).mean() for k in ("mean", "naive"))
        skills.append(1.0 - mse / naive)
    assert np.mean(skills) > -0.009


def test_mixture_loses_little_to_the_best_expert():
    m = Mixer()
    experts, labels = noisy(5_000, np.array([1.0, 0.3, 2.0]))
    mixed = np.array(
        [m.learn(said, y) for said, y in zip(experts, labels, strict=True)]
    )
    assert np.mean((mixed - labels) ** 2) < 1.05 * np.mean(
        (experts[:, 1] - labels) ** 2
    )


def test_trust_moves_after_a_change_of_regime():
    m = Mixer()
    for said, y in zip(*noisy(20_000, np.array([1.0, 0.1, 1.0])), strict=True):
        m.learn(said, y)
    assert m.weight.argmax() == 1
    after = noisy(2_000, np.array([1.0, 1.0, 0.1]), seed=1)
    for said, y in zip(*after, strict=True):
        m.learn(said, y)
    assert m.weight.argmax() == 2


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-12, 1e12])
def test_weights_stay_finite_at_any_scale(size):
    m = Mixer()
    for said, y in zip(*noisy(300, np.array([1.0, 0.5, 2.0])), strict=True):
        m.learn(size * said, size * y)
    assert np.isfinite(m.weight).all()
    assert m.weight.sum() == pytest.approx(1.0)


def test_one_expert_alone_has_all_the_weight():
    m = Mixer(2)
    m.prior = np.ones(1)
    m.begin()
    for said, y in zip(*noisy(100, np.array([1.0])), strict=True):
        m.learn(said, y)
    assert m.weight[0] == pytest.approx(1.0)
