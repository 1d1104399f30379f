"""The clockwork RNN: each module steps at its own period."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import Cell, at_least_one
from sfm_stream.cell.seeding import Seed, generator, uniform
from sfm_stream.errors import ConfigError


class CWRNNState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        h: the output [..., H].
        tick: number of ticks, modulo the least common multiple of the periods, int64
            [...].
    """

    h: Tensor
    tick: Tensor


class CWRNNCell(Cell[CWRNNState]):
    """One tick of a clockwork RNN.

        h'_i = tanh(x W_i + Σ_j h_j U_ji + b_i)   over the modules j with T_j >= T_i
        h_i  = h'_i if t mod T_i = 0, else h_i

    U has weights for all pairs of modules, as the slides count them; the weights from a
    faster module to a slower one are never read.

    Args:
        input_size: N.
        output_size: H, a multiple of the number of periods.
        periods: T_i in ticks, one per module; all modules have the same width.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes or periods.

    References:
        Koutnik, Greff, Gomez & Schmidhuber, A Clockwork RNN, ICML 2014.
    """

    period: Tensor
    heard: Tensor

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        periods: Sequence[int] = (1, 2, 4, 8, 16),
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        at_least_one(modules=len(periods), period=min(periods, default=1))
        if output_size % len(periods):
            problem = f"expected a multiple of {len(periods)}, was {output_size}"
            raise ConfigError("output_size", problem, "modules are of equal width")
        draw = uniform(output_size, generator(seed), dtype, device)
        self.w_x = nn.Parameter(draw(input_size, output_size))
        self.w_h = nn.Parameter(draw(output_size, output_size))
        self.b = nn.Parameter(draw(output_size))
        self.cycle = lcm(*periods)
        each = torch.tensor(periods, device=device)
        period = each.repeat_interleave(output_size // len(periods))
        self.register_buffer("period", period)
        self.register_buffer("heard", period[:, None] >= period)

    def initial_state(self, batch: Sequence[int] = ()) -> CWRNNState:
        """Give the empty memory at a tick where every module steps."""
        h = self.b.new_zeros((*batch, self.output_size))
        return CWRNNState(h, self.period.new_zeros(tuple(batch)))

    def project(self, x: Tensor) -> Tensor:
        """Compute x W + b [..., H]."""
        return x @ self.w_x + self.b

    def advance(
        self, projected: Tensor, state: CWRNNState, elapsed: Tensor | None
    ) -> tuple[Tensor, CWRNNState]:
        """Give z and the state after a tick, from the result of `project`."""
        del elapsed
        stepped = torch.tanh(projected + state.h @ (self.w_h * self.heard))
        due = state.tick[..., None] % self.period == 0
        h = torch.where(due, stepped, state.h)
        return h, CWRNNState(h, (state.tick + 1) % self.cycle)
