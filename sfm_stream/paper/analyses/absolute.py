"""A-SFM as the slides write it: the phase of tick t is ω_t t, not the sum of all ω.

This cell is only for short sequences and comparison: a change of the frequency changes
the phase t times as much. So the phase grows noisier, and its gradients larger, with
every tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sfm_stream.cell.layer import Cell
from sfm_stream.cell.parameters import Weights, columns
from sfm_stream.cell.sfm import SFMCell
from sfm_stream.cell.step import SFMState, step_projected
from sfm_stream.errors import ConfigError


class AbsoluteState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        re: Re R [..., K, D], in the frame that turns with the phase.
        im: Im R [..., K, D].
        z: the output [..., M].
        t: ticks so far [...].
        phase: ω_t t of the last tick [..., K], radians.
    """

    re: Tensor
    im: Tensor
    z: Tensor
    t: Tensor
    phase: Tensor


class AbsoluteCell(Cell[AbsoluteState]):
    """One tick of A-SFM with the phase φ_t = ω_t t, on the weights of another cell.

    The frame turns by φ_t - φ_{t-1}.

    Args:
        cell: an adaptive cell; this cell shares its parameters.

    Raises:
        ConfigError: for a cell with fixed frequencies, where both phases are the same.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017.
    """

    delta: Tensor

    def __init__(self, cell: SFMCell) -> None:
        super().__init__(cell.input_size, cell.output_size)
        if cell.delta is None:
            problem = "expected an adaptive one, was one of fixed frequencies"
            raise ConfigError("cell", problem, "its phases are the same")
        self.cell = cell
        self.register_buffer("delta", cell.delta, persistent=False)

    def initial_state(self, batch: Sequence[int] = ()) -> AbsoluteState:
        """Give the empty memory at time 0; `batch` holds the leading dimensions."""
        memory = self.cell.initial_state(batch)
        phase = memory.z.new_zeros((*batch, self.cell.sizes.frequencies))
        return AbsoluteState(*memory, memory.z.new_zeros(tuple(batch)), phase)

    def project(self, x: Tensor) -> Tensor:
        """Compute the part of a tick or sequence that does not depend on the state."""
        return self.cell.project(x)

    def advance(
        self, projected: Tensor, state: AbsoluteState, elapsed: Tensor | None
    ) -> tuple[Tensor, AbsoluteState]:
        """Give z and the state after a tick, from the result of `project`."""
        del elapsed
        w_in, w_heads, b_z = self.cell.weights
        at = columns(self.cell.sizes)["omega"]
        recurrent = w_in[-1 - self.output_size : -1, at]
        moved = torch.tanh(projected[..., at] + state.z @ recurrent)
        t = state.t + 1.0
        phase = (self.cell.omega + self.delta * moved) * t[..., None]
        z, after, _ = step_projected(
            Weights(_without(w_in, at), w_heads, b_z),
            phase - state.phase,
            None,
            _without(projected, at),
            SFMState(state.re, state.im, state.z),
        )
        return z, AbsoluteState(*after, t, phase)


def _without(array: Tensor, at: slice) -> Tensor:
    return torch.cat([array[..., : at.start], array[..., at.stop :]], -1)
