"""Adaptive computation time: a network that chooses its number of steps per tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import Cell, at_least_one
from sfm_stream.cell.seeding import Seed, drawn, generator, uniform

# The steps stop when at most this halting probability is left, so one can be enough.
SLACK = 0.01


class ACTState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        h: the output [..., H].
        ponder: N + R of this tick [...], the cost of its steps; only the loss reads it.
    """

    h: Tensor
    ponder: Tensor


class ACTCell(Cell[ACTState]):
    """One tick of a GRU that takes a variable number of steps per tick.

        h^m = GRU([x, 1 if m = 1 else 0], h^{m-1})      from h^0 = h
        p^m = sig(h^m w + b)
        N   = the first m with p^1 + ... + p^m >= 1 - .01, or `longest`
        R   = 1 - p^1 - ... - p^{N-1}
        h   = Σ_{m<N} p^m h^m + R h^N

    A loss adds a small part of `ponder` of every tick (see `Cell.trace`). Only R has a
    gradient: N is a count.

    Args:
        input_size: N.
        output_size: H.
        longest: the largest number of steps per tick.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes.

    References:
        Graves, Adaptive Computation Time for Recurrent Neural Networks, 2016. The core
        is a GRU: it fits the parameter count on the slides.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        longest: int = 10,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        at_least_one(longest=longest)
        self.longest = longest
        draw = uniform(output_size, generator(seed), dtype, device)
        self.core = drawn(nn.GRUCell, input_size + 1, output_size, draw=draw)
        self.w_halt = nn.Parameter(draw(output_size))
        self.b_halt = nn.Parameter(torch.ones_like(self.w_halt[0]))

    def initial_state(self, batch: Sequence[int] = ()) -> ACTState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        h = self.w_halt.new_zeros((*batch, self.output_size))
        return ACTState(h, self.w_halt.new_zeros(tuple(batch)))

    def project(self, x: Tensor) -> Tensor:
        """Give x itself: the core multiplies it at each step."""
        return x

    def advance(
        self, projected: Tensor, state: ACTState, elapsed: Tensor | None
    ) -> tuple[Tensor, ACTState]:
        """Give z and the state after a tick; step until the whole batch has halted."""
        del elapsed
        h, mean = state.h, torch.zeros_like(state.h)
        left, steps = torch.ones_like(state.ponder), torch.zeros_like(state.ponder)
        rest, thinking = torch.zeros_like(left), torch.ones_like(left, dtype=torch.bool)
        for m in range(self.longest):
            h = self.core(_flagged(projected, first=m == 0), h)
            p = torch.sigmoid(h @ self.w_halt + self.b_halt)
            halts = (p >= left - SLACK) | (m == self.longest - 1)
            share = torch.where(halts, left, p) * thinking
            mean = mean + share[..., None] * h
            rest = rest + left * (halts & thinking)
            steps = steps + thinking
            left, thinking = left - share, thinking & ~halts
            if not thinking.any():
                break
        return mean, ACTState(mean, steps + rest)


def _flagged(x: Tensor, *, first: bool) -> Tensor:
    return torch.cat([x, torch.full_like(x[..., :1], float(first))], -1)
