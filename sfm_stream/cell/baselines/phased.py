"""The phased LSTM: each unit is open for a part of its own period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import Cell
from sfm_stream.cell.seeding import Seed, generator, uniform
from sfm_stream.errors import ConfigError

# The leak of a closed gate in training, so that its period and shift get gradients.
LEAK = 0.001


class PhasedState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        h: the output [..., H].
        c: the memory [..., H].
        turned: the phase of each unit without its shift, in turns of [0, 1) [..., H].
    """

    h: Tensor
    c: Tensor
    turned: Tensor


class PhasedLSTMCell(Cell[PhasedState]):
    """One tick of a phased LSTM; a tick may have a duration.

        turned = (turned + τ / e^period) mod 1        φ = (turned + shift) mod 1
        k  = 2φ/r if φ < r/2;  2 - 2φ/r if φ < r;  else leak φ
        i  = sig(pre_i + c ∘ p_i)                     pre = x W + h U + b
        f  = sig(pre_f + c ∘ p_f)
        c' = f ∘ c + i ∘ tanh(pre_g)
        o  = sig(pre_o + c' ∘ p_o)
        c  = k c' + (1 - k) c
        h  = k o ∘ tanh(c') + (1 - k) h

    leak is .001 in training and 0 after `eval()`. The phase is accumulated: a phase
    computed from the time since the start would lose precision as that time grows.

    Args:
        input_size: N.
        output_size: H.
        open_ratio: r, the part of its period in which a unit is open.
        periods: shortest and longest period at birth, log-uniform between, in units of
            the usual tick (of `elapsed`, if it is given).
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes, ratio or periods.

    References:
        Neil, Pfeiffer & Liu, Phased LSTM, NIPS 2016; the periods are e^1 to e^3 there.
    """

    timed = True

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        open_ratio: float = 0.05,
        periods: tuple[float, float] = (2.718, 20.09),
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        _expect_rhythm(open_ratio, *periods)
        self.open_ratio = open_ratio
        rng = generator(seed)
        draw = uniform(output_size, rng, dtype, device)
        self.w_x = nn.Parameter(draw(input_size, 4 * output_size))
        self.w_h = nn.Parameter(draw(output_size, 4 * output_size))
        bias = draw(4, output_size)
        bias[1] += 1.0  # of the forget gate
        self.b = nn.Parameter(bias.flatten())
        self.peepholes = nn.Parameter(draw(3, output_size))
        low, high = torch.tensor(periods, dtype=torch.float64).log().tolist()
        rhythm = rng.uniform((low, 0.0), (high, 1.0), (output_size, 2))
        log_period, shift = torch.from_numpy(rhythm).to(bias).T
        self.log_period = nn.Parameter(log_period.clone())
        self.shift = nn.Parameter(shift.clone())

    def initial_state(self, batch: Sequence[int] = ()) -> PhasedState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        empty = self.shift.new_zeros((*batch, self.output_size))
        return PhasedState(empty, empty, empty)

    def project(self, x: Tensor) -> Tensor:
        """Compute x W + b [..., 4H]."""
        return x @ self.w_x + self.b

    def advance(
        self, projected: Tensor, state: PhasedState, elapsed: Tensor | None
    ) -> tuple[Tensor, PhasedState]:
        """Give z and the state after a tick, from the result of `project`."""
        turn = torch.exp(-self.log_period)
        if elapsed is not None:
            turn = turn * elapsed[..., None]
        turned = torch.remainder(state.turned + turn, 1.0)
        k = openness(
            torch.remainder(turned + self.shift, 1.0),
            self.open_ratio,
            LEAK if self.training else 0.0,
        )
        p_i, p_f, p_o = self.peepholes
        pre_i, pre_f, pre_g, pre_o = (projected + state.h @ self.w_h).chunk(4, -1)
        i = torch.sigmoid(pre_i + p_i * state.c)
        f = torch.sigmoid(pre_f + p_f * state.c)
        c = f * state.c + i * torch.tanh(pre_g)
        h = torch.sigmoid(pre_o + p_o * c) * torch.tanh(c)
        h = torch.lerp(state.h, h, k)
        return h, PhasedState(h, torch.lerp(state.c, c, k), turned)


def openness(phase: Tensor, open_ratio: float, leak: float) -> Tensor:
    """Compute the openness of a unit: it rises, falls, and is then closed with a leak.

    Args:
        phase: φ, in turns of [0, 1).
        open_ratio: r, the part of the period in which the unit is open.
        leak: factor of the phase for the openness of a closed unit.

    Returns:
        k, shaped as the phase.
    """
    ramp = 2.0 * phase / open_ratio
    opened = torch.where(phase < open_ratio / 2.0, ramp, 2.0 - ramp)
    return torch.where(phase < open_ratio, opened, leak * phase)


def _expect_rhythm(open_ratio: float, shortest: float, longest: float) -> None:
    if not 0.0 < open_ratio <= 1.0:
        problem = f"expected more than 0 and at most 1, was {open_ratio}"
        raise ConfigError("open_ratio", problem, "the paper's is .05")
    if not 0.0 < shortest <= longest < float("inf"):
        problem = f"expected two positive and ascending, was {shortest}, {longest}"
        raise ConfigError("periods", problem, "the paper's are e^1 to e^3")
