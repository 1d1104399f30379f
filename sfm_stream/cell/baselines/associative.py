"""The associative LSTM: a memory of complex numbers that keys write and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import Cell, at_least_one
from sfm_stream.cell.seeding import Seed, generator, uniform
from sfm_stream.errors import ConfigError


class AssociativeState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        h: the output [..., M]: real parts, then imaginary ones.
        memory: [..., 2, copies, M/2]: real parts, then imaginary ones.
    """

    h: Tensor
    memory: Tensor


class AssociativeCell(Cell[AssociativeState]):
    """One tick of an associative LSTM.

        [f, i, o]      = sig(x W + h U + b)            M/2 each
        [r_i, r_o, u]  = bound(x W + h U + b)          M/2 complex numbers each
        C_c = f ∘ C_c + (P_c r_i) ∘ i ∘ u              for each copy c
        h   = o ∘ bound(mean_c (P_c r_o) ∘ C_c)
        bound(v) = v / max(1, |v|)

    P_c is a fixed permutation per copy, so that the noise from the other stored items
    differs between the copies and averages out.

    Args:
        input_size: N.
        output_size: M, even.
        copies: number of copies of the memory.
        seed: of the initial weights and the permutations; None draws one from torch's
            global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes.

    References:
        Danihelka, Wayne, Uria, Kalchbrenner & Graves, Associative Long Short-Term
        Memory, ICML 2016.
    """

    order: Tensor

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        copies: int = 4,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        at_least_one(copies=copies)
        if output_size % 2:
            problem = f"expected an even number, was {output_size}"
            raise ConfigError("output_size", problem, "half of it is imaginary")
        self.units = output_size // 2
        rng = generator(seed)
        draw = uniform(output_size, rng, dtype, device)
        self.w_x = nn.Parameter(draw(input_size, 9 * self.units))
        self.w_h = nn.Parameter(draw(output_size, 9 * self.units))
        bias = draw(9 * self.units)
        bias[: self.units] += 1.0  # of the forget gate
        self.b = nn.Parameter(bias)
        order = np.stack([rng.permutation(self.units) for _ in range(copies)])
        self.register_buffer("order", torch.tensor(order, device=device))

    def initial_state(self, batch: Sequence[int] = ()) -> AssociativeState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        h = self.b.new_zeros((*batch, self.output_size))
        return AssociativeState(h, self.b.new_zeros((*batch, 2, *self.order.shape)))

    def project(self, x: Tensor) -> Tensor:
        """Compute x W + b [..., 9M/2]."""
        return x @ self.w_x + self.b

    def advance(
        self, projected: Tensor, state: AssociativeState, elapsed: Tensor | None
    ) -> tuple[Tensor, AssociativeState]:
        """Give z and the state after a tick, from the result of `project`."""
        del elapsed
        pre = projected + state.h @ self.w_h
        gates, written = pre.tensor_split((3 * self.units,), -1)
        f, i, o = torch.unflatten(torch.sigmoid(gates), -1, (3, 1, -1)).unbind(-3)
        pairs = torch.unflatten(written, -1, (3, 2, -1))
        r_i, r_o, u = (bound(v) for v in pairs.unbind(-3))
        stored = product(r_i[..., self.order], (i * u)[..., None, :])
        memory = f[..., None, :] * state.memory + stored
        read = o * bound(product(r_o[..., self.order], memory).mean(-2))
        return read.flatten(-2), AssociativeState(read.flatten(-2), memory)


def bound(v: Tensor) -> Tensor:
    """Project complex numbers [..., 2, M/2] outside the unit circle onto it."""
    return v / v.square().sum(-2, keepdim=True).clamp_min(1.0).sqrt()


def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply complex numbers [..., 2, copies, M/2], a pair of reals each.

    torch compiles the ticks of real numbers, not of complex ones.
    """
    (a_re, a_im), (b_re, b_im) = a.unbind(-3), b.unbind(-3)
    return torch.stack([a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re], -3)
