"""The State-Frequency Memory of the paper on stock prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.frequencies import frequencies as grid
from sfm_stream.cell.layer import Cell, at_least_one
from sfm_stream.cell.seeding import Seed, generator, uniform

# At birth both forget gates are hard_sigmoid(1) = .7: a memory of two ticks.
FORGET_BIAS = 1.0


class StockState(NamedTuple):
    """The state of the cell after a tick.

    Attributes:
        re: Re R [..., K, D], in the frame that turns with each frequency.
        im: Im R [..., K, D].
        h: the hidden state, which the gates read [..., D].
    """

    re: Tensor
    im: Tensor
    h: Tensor


class StockSFMCell(Cell[StockState]):
    """One tick of the SFM of the stock-price paper.

        [i, ste, fre, o] = hs(x W + h U + b)     D, D, K and D;  hs(v) = clip(.2v + .5)
        c   = i ∘ tanh(x W_c + h U_c + b_c)
        S_t = (fre ⊗ ste) ∘ S_{t-1} + e^{jωt} ⊗ c        ω_k = 2πk/K
        a   = tanh(Σ_k u_k |S^k|² + b_a)
        h   = o ∘ a,       z = h W_p + b_p

    This cell differs from the SFM of ICML 2017 in three points. One vector u, shared by
    all states, mixes the frequencies before a single output gate; the other SFM has an
    output gate and a read-out per frequency. This cell reads squared amplitudes. Its
    gates see h of all states, not z.

    The memory is kept as R = S e^{-jωt}: |R| = |S|, and no absolute time appears.

    Args:
        input_size: N.
        output_size: M, of z.
        states: D.
        frequencies: K.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes.

    References:
        Zhang, Aggarwal & Qi, Stock Price Prediction via Discovering Multi-Frequency
        Trading Patterns, KDD 2017. Squares, hard sigmoids and biases follow the code
        that its authors released, as most public code does.
    """

    turn: Tensor

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        states: int,
        frequencies: int,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        at_least_one(states=states, frequencies=frequencies)
        self.states, self.frequencies = states, frequencies
        draw = uniform(states, generator(seed), dtype, device)
        self.w_x = nn.Parameter(draw(input_size, sum(self.widths)))
        self.w_h = nn.Parameter(draw(states, sum(self.widths)))
        bias = torch.zeros_like(self.w_x[0])
        bias[states : 2 * states + frequencies] = FORGET_BIAS
        self.b = nn.Parameter(bias)
        self.mix = nn.Parameter(draw(frequencies))
        self.b_a = nn.Parameter(torch.zeros_like(self.w_h[:, 0]))
        self.w_p = nn.Parameter(draw(states, output_size))
        self.b_p = nn.Parameter(torch.zeros_like(self.w_p[0]))
        omega = torch.tensor(grid("paper", frequencies, 0.0), device=device)
        turn = torch.stack([omega.cos(), omega.sin()])[..., None]
        self.register_buffer("turn", turn.to(self.b.dtype))

    @property
    def widths(self) -> list[int]:
        """The numbers of columns of i, ste, fre, o and c, in this order."""
        return [self.states, self.states, self.frequencies, self.states, self.states]

    def initial_state(self, batch: Sequence[int] = ()) -> StockState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        memory = self.b.new_zeros((*batch, self.frequencies, self.states))
        h = self.b.new_zeros((*batch, self.states))
        return StockState(memory, memory.clone(), h)

    def project(self, x: Tensor) -> Tensor:
        """Compute x W + b for a tick or a sequence."""
        return x @ self.w_x + self.b

    def advance(
        self, projected: Tensor, state: StockState, elapsed: Tensor | None
    ) -> tuple[Tensor, StockState]:
        """Give z and the state after a tick, from the result of `project`."""
        del elapsed
        pre = projected + state.h @ self.w_h
        *gates, driven = torch.split(pre, self.widths, -1)
        i, ste, fre, o = (hard_sigmoid(gate) for gate in gates)
        drive = (i * torch.tanh(driven))[..., None, :]
        forget = fre[..., :, None] * ste[..., None, :]
        cos, sin = self.turn
        re = forget * (state.re * cos + state.im * sin) + drive
        im = forget * (state.im * cos - state.re * sin)
        mixed = self.mix @ (re * re + im * im)
        h = o * torch.tanh(mixed + self.b_a)
        return h @ self.w_p + self.b_p, StockState(re, im, h)


def hard_sigmoid(x: Tensor) -> Tensor:
    """Compute .2x + .5, clipped to [0, 1]; the hard sigmoid of torch has slope 1/6."""
    return (0.2 * x + 0.5).clamp(0.0, 1.0)
