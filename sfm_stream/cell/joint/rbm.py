"""The restricted Boltzmann machine over binary vectors.

The likelihood contains a sum over all binary vectors, so this module estimates it.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import at_least_one, of_width
from sfm_stream.cell.seeding import Seed, drawn, generator, uniform

if TYPE_CHECKING:
    from torch import Generator


class RBM(nn.Module):
    """A restricted Boltzmann machine of V bits, its biases set by a context.

        b = z W_b + b_0,   c = z W_c + c_0
        F(v | z) = -v · b - Σ_j log(1 + e^{c_j + (v W)_j})
        p(v | z) = e^{-F(v | z)} / Z(z)

    Args:
        context_size: M, of z.
        visible_size: V.
        hidden_size: H.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for sizes below 1.

    References:
        Boulanger-Lewandowski, Bengio & Vincent, Modeling Temporal Dependencies in
        High-Dimensional Sequences, ICML 2012.
    """

    def __init__(
        self,
        context_size: int,
        visible_size: int,
        hidden_size: int,
        *,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        at_least_one(
            context_size=context_size,
            visible_size=visible_size,
            hidden_size=hidden_size,
        )
        draw = uniform(hidden_size, generator(seed), dtype, device)
        self.visible_bias = drawn(nn.Linear, context_size, visible_size, draw=draw)
        self.hidden_bias = drawn(nn.Linear, context_size, hidden_size, draw=draw)
        self.w = nn.Parameter(draw(visible_size, hidden_size))

    def free_energy(self, v: Tensor, z: Tensor) -> Tensor:
        """Compute F(v | z).

        Args:
            v: zeros and ones [..., V].
            z: [..., M].

        Returns:
            [...], in nats.

        Raises:
            ShapeError: if v or z does not fit.
        """
        b, c = self._biases(z)
        hidden = _softened(self._fields(v, c))
        return -(v * b).sum(-1) - hidden

    def contrast(self, v: Tensor, z: Tensor, steps: int, chance: Generator) -> Tensor:
        """Compute the objective of contrastive divergence, F(v | z) - F(v' | z).

        v' is v after some steps of Gibbs sampling. The gradient approximates the
        gradient of -log p(v | z); the value does not approximate -log p(v | z).

        Args:
            v: zeros and ones [..., V].
            z: [..., M].
            steps: k of CD-k, at least 1.
            chance: the generator that draws v'.

        Returns:
            [...].

        Raises:
            ShapeError: if v or z does not fit.
            ConfigError: if steps is below 1.
        """
        dreamt = self.gibbs(v, z, steps, chance)
        return self.free_energy(v, z) - self.free_energy(dreamt, z)

    @torch.no_grad()
    def gibbs(self, v: Tensor, z: Tensor, steps: int, chance: Generator) -> Tensor:
        """Draw the hidden units, then v from them, `steps` times; give the last v.

        Raises:
            ShapeError: if v or z does not fit.
            ConfigError: if steps is below 1.
        """
        at_least_one(steps=steps)
        b, c = self._biases(z)
        for _ in range(steps):
            v = self._drawn(self._fields(v, c), b, 1.0, chance)
        return v

    @torch.no_grad()
    def estimated_log_likelihood(
        self, v: Tensor, z: Tensor, *, chains: int, levels: int, chance: Generator
    ) -> Tensor:
        """Estimate log p(v | z) by annealed importance sampling of Z(z).

        The estimate of Z is unbiased. So the estimate of log Z is too low on average,
        and the likelihood is too high; the bias falls with more chains and levels.

        Args:
            v: zeros and ones [..., V].
            z: [..., M].
            chains: number of independent chains per context.
            levels: number of temperatures between no coupling and full coupling.
            chance: the generator that draws the chains.

        Returns:
            [...], in nats.

        Raises:
            ShapeError: if v or z does not fit.
            ConfigError: if chains or levels is below 1.

        References:
            Salakhutdinov & Murray, On the Quantitative Analysis of Deep Belief
            Networks, ICML 2008.
        """
        log_z = self.estimated_log_partition(
            z, chains=chains, levels=levels, chance=chance
        )
        return -self.free_energy(v, z) - log_z

    @torch.no_grad()
    def estimated_log_partition(
        self, z: Tensor, *, chains: int, levels: int, chance: Generator
    ) -> Tensor:
        """Estimate log Z(z) [...] as `estimated_log_likelihood` does."""
        at_least_one(chains=chains, levels=levels)
        b, c = self._biases(z)
        v = _bits(torch.sigmoid(b).expand(chains, *b.shape), chance)
        weight = v.new_zeros(v.shape[:-1])
        # The coupling to the hidden units grows from 0, where the bits are independent.
        for level in range(levels):
            cold, warm = level / levels, (level + 1) / levels
            field = self._fields(v, c)
            weight += _softened(warm * field) - _softened(cold * field)
            v = self._drawn(field, b, warm, chance)
        uncoupled = nn.functional.softplus(b).sum(-1) + c.shape[-1] * log(2.0)
        return uncoupled + weight.logsumexp(0) - log(chains)

    def _biases(self, z: Tensor) -> tuple[Tensor, Tensor]:
        of_width("z", z, self.visible_bias.in_features)
        return self.visible_bias(z), self.hidden_bias(z)

    def _fields(self, v: Tensor, c: Tensor) -> Tensor:
        of_width("v", v, self.w.shape[0])
        return c + v @ self.w

    def _drawn(
        self, field: Tensor, b: Tensor, part: float, chance: Generator
    ) -> Tensor:
        h = _bits(torch.sigmoid(part * field), chance)
        return _bits(torch.sigmoid(b + part * (h @ self.w.T)), chance)


def _softened(field: Tensor) -> Tensor:
    return nn.functional.softplus(field).sum(-1)


def _bits(p: Tensor, chance: Generator) -> Tensor:
    # takes a third of the time of torch.bernoulli on a CPU
    return torch.empty_like(p).uniform_(generator=chance).lt_(p)
