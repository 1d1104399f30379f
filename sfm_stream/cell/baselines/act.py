"""Adaptive computation time: a network that chooses its number of steps per tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from sfm_stream.cell.baselines.pondering import Pondering, Weights, ponder
from sfm_stream.cell.layer import Cell, at_least_one
from sfm_stream.cell.seeding import Seed, drawn, generator, uniform


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

    A loss adds a small part of the cost of every tick (see `run_pondered`). Only R has
    a gradient: N is a count.

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
        """Compute x W + b [..., 3H] of the core, the same at each step of a tick."""
        return linear(x, self.core.weight_ih[:, :-1], self.core.bias_ih)

    def advance(
        self, projected: Tensor, state: ACTState, elapsed: Tensor | None
    ) -> tuple[Tensor, ACTState]:
        """Give z and the state after a tick; step until the whole batch has halted."""
        del elapsed
        z, cost, _ = ponder(self._weights(), projected, state.h, self.longest)
        return z, ACTState(z, cost)

    def run(
        self, x: Tensor, state: ACTState, elapsed: Tensor | None = None
    ) -> tuple[Tensor, ACTState]:
        """Give z [T, B, M] of every tick of x [T, B, N], and the state after."""
        del elapsed
        z, costs = self.run_pondered(x, state)
        return z, ACTState(z[-1], costs[-1])

    def run_pondered(self, x: Tensor, state: ACTState) -> tuple[Tensor, Tensor]:
        """Give z [T, B, M] and N + R [T, B] of every tick of x [T, B, N]."""
        weights = self._weights()
        z, costs = Pondering.apply(  # type: ignore[no-untyped-call] # torch's own
            self.project(x), state.h, self.longest, *weights
        )
        return z, costs

    def _weights(self) -> Weights:
        return Weights(
            self.core.weight_ih[:, -1],
            self.core.weight_hh,
            self.core.bias_hh,
            self.w_halt,
            self.b_halt,
        )
