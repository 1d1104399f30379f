"""The recurrent highway network: several gated layers per tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import Cell, at_least_one
from sfm_stream.cell.parameters import FORGET_CAP
from sfm_stream.cell.seeding import Seed, generator, uniform

# At birth a layer mostly carries its input: sig(2) is .88 and sig(-2) is .12.
CARRY_BIAS = 2.0


class RHNState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        s: the output [..., H].
    """

    s: Tensor


class RHNCell(Cell[RHNState]):
    """One tick of a recurrent highway network.

        for l = 1..depth:
            [h, t, c] = s R^l + b^l      and for l = 1 also x W
            s = tanh(h) ∘ sig(t) + s ∘ (1 - 2^-12) sig(c)

    The carry gate has its own weights, which fits the parameter count on the slides. It
    stays below 1: with a carry of 1 every tick would add to s, and s could grow without
    bound.

    Args:
        input_size: N.
        output_size: H.
        depth: layers per tick.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes.

    References:
        Zilly, Srivastava, Koutnik & Schmidhuber, Recurrent Highway Networks, ICML 2017.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        depth: int = 4,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        at_least_one(depth=depth)
        draw = uniform(output_size, generator(seed), dtype, device)
        self.w_x = nn.Parameter(draw(input_size, 3 * output_size))
        self.w_s = nn.Parameter(draw(depth, output_size, 3 * output_size))
        bias = draw(depth, 3, output_size)
        bias[:, 1] -= CARRY_BIAS
        bias[:, 2] += CARRY_BIAS
        self.b = nn.Parameter(bias.flatten(1))

    def initial_state(self, batch: Sequence[int] = ()) -> RHNState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        return RHNState(self.b.new_zeros((*batch, self.output_size)))

    def project(self, x: Tensor) -> Tensor:
        """Compute x W [..., 3H], which only the first layer reads."""
        return x @ self.w_x

    def advance(
        self, projected: Tensor, state: RHNState, elapsed: Tensor | None
    ) -> tuple[Tensor, RHNState]:
        """Give z and the state after a tick, from the result of `project`."""
        del elapsed
        s, arriving = state.s, projected
        for w_s, b in zip(self.w_s, self.b, strict=True):
            h, t, c = (arriving + s @ w_s + b).chunk(3, -1)
            carry = FORGET_CAP * torch.sigmoid(c)
            s = torch.tanh(h) * torch.sigmoid(t) + s * carry
            arriving = torch.zeros_like(projected)
        return s, RHNState(s)
