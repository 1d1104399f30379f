"""SFM and A-SFM in torch: the definition of what the other backends compute.

The memory is kept in the frame that turns with each frequency, R_t = S_t e^{-jωt}, so
|R| = |S| and no absolute time appears: the cell is as exact at tick 1e9 as at tick 1.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell import frequencies as grids
from sfm_stream.cell.layer import Cell, Layer
from sfm_stream.cell.parameters import (
    EPSILON,
    FORGET_CAP,
    Sizes,
    Weights,
    birth,
    columns,
)
from sfm_stream.cell.seeding import Seed, generator
from sfm_stream.cell.sequence import torch as sequence
from sfm_stream.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

READOUTS = ("amplitude", "amplitude+phase")


class SFMState(NamedTuple):
    """What one tick leaves to the next.

    Attributes:
        re: Re R [..., K, D].
        im: Im R [..., K, D].
        z: the output [..., M].
    """

    re: Tensor
    im: Tensor
    z: Tensor


class Activations(NamedTuple):
    """The values inside one tick, for comparison with other backends and for spectra.

    Attributes:
        f_ste: [..., D].
        f_fre: [..., K].
        g: [..., D].
        i: [..., D].
        omega: the rotation of this tick, radians per tick; [K], or [..., K] if adaptive
            (before `elapsed`).
        forget: f [..., K, D] (after `elapsed`).
        amplitude: A [..., K, D].
        o: [..., K, M].
        q: tanh(W_z a + b_z) [..., K, M].
    """

    f_ste: Tensor
    f_fre: Tensor
    g: Tensor
    i: Tensor
    omega: Tensor
    forget: Tensor
    amplitude: Tensor
    o: Tensor
    q: Tensor


def sigmoid(x: Tensor) -> Tensor:
    """Compute the logistic function as every backend does: 0.5 + 0.5 tanh(x/2)."""
    return 0.5 + 0.5 * torch.tanh(0.5 * x)


def step(
    weights: Weights[Tensor],
    omega: Tensor,
    delta: Tensor | None,
    x: Tensor,
    state: SFMState,
    *,
    elapsed: Tensor | None = None,
) -> tuple[Tensor, SFMState, Activations]:
    """Advance the memory by one tick.

        pre   = [x, z, 1] W_in             with z of the tick before
        f     = (1 - 2^-12) sig(pre_ste) ⊗ sig(pre_fre)
        ω_t   = ω + δ tanh(pre_ω)          (A-SFM; else ω)
        R     = f ∘ R e^{-jω_t} + sig(pre_g) ∘ tanh(pre_i)
        A     = sqrt(Re² + Im² + ε),       a = [A] or [A, Re, Im]
        o^k   = sig(pre_o^k + a^k U_o^k)
        z     = Σ_k o^k ∘ tanh(a^k W_z^k + b_z^k)

    Args:
        weights: shared by the batch, or with leading dimensions of their own: one set
            per stream. Their shapes say which read-out is meant.
        omega: ω [K] in radians per tick.
        delta: δ [K] in radians per tick for A-SFM; None for SFM.
        x: [..., N].
        state: before the tick; not modified.
        elapsed: τ [...], this tick's duration in units of the usual one; the rotation
            becomes ωτ and the decay f^τ. None is 1.

    Returns:
        z [..., M], the state after the tick, and the values inside it.

    Raises:
        ShapeError: if x does not fit the weights.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017, in the
        rotating frame; for A-SFM the phase is accumulated.
    """
    projected = project(weights, x)
    return step_projected(weights, omega, delta, projected, state, elapsed=elapsed)


def project(weights: Weights[Tensor], x: Tensor) -> Tensor:
    """Compute the part of the pre-activations that does not depend on the state.

    Args:
        weights: as for `step`.
        x: [..., N]; a whole sequence takes one product.

    Returns:
        x W_x + b [..., G].

    Raises:
        ShapeError: if x does not fit the weights.
    """
    inputs = weights.w_in.shape[-2] - weights.b_z.shape[-1] - 1
    if x.shape[-1] != inputs:
        raise ShapeError("x", f"[..., {inputs}]", str(list(x.shape)))
    bias = weights.w_in[..., -1, :]
    # Autocast makes products coarse; what follows must tell f = .999 from 1, so every
    # product returns to the parameters' own type at once.
    return _product(x, weights.w_in[..., :inputs, :]).to(bias.dtype) + bias


def step_projected(
    weights: Weights[Tensor],
    omega: Tensor,
    delta: Tensor | None,
    projected: Tensor,
    state: SFMState,
    *,
    elapsed: Tensor | None = None,
) -> tuple[Tensor, SFMState, Activations]:
    """Advance the memory by one tick, as `step` does, from the result of `project`."""
    outputs = weights.b_z.shape[-1]
    at = _columns(weights, state, adaptive=delta is not None)
    recurrent = _product(state.z, weights.w_in[..., -1 - outputs : -1, :])
    pre = projected + recurrent.to(projected.dtype)
    f_ste, f_fre = sigmoid(pre[..., at["f_ste"]]), sigmoid(pre[..., at["f_fre"]])
    g, i = sigmoid(pre[..., at["g"]]), torch.tanh(pre[..., at["i"]])
    if delta is not None:
        omega = omega + delta * torch.tanh(pre[..., at["omega"]])
    forget = FORGET_CAP * f_fre[..., :, None] * f_ste[..., None, :]
    turn = omega
    if elapsed is not None:
        forget, turn = _stretch(forget, omega, elapsed)
    re, im = _rotate(state.re, state.im, turn)
    re, im = forget * re + (g * i)[..., None, :], forget * im
    amplitude = torch.sqrt(re * re + im * im + EPSILON)
    o, q = _heads(weights, pre[..., at["o"]], amplitude, re, im)
    z = (o * q).sum(-2)
    inside = Activations(f_ste, f_fre, g, i, omega, forget, amplitude, o, q)
    return z, SFMState(re, im, z), inside


UNTAPED = 256
"""Ticks computed at once where no gradient is wanted."""


class SFMCell(Cell[SFMState]):
    """One tick of SFM or A-SFM, with the shape of `torch.nn.LSTMCell`.

    Args:
        input_size: N.
        output_size: M.
        states: D.
        frequencies: K.
        grid: `paper`, `half` or `log` (see `sfm_stream.cell.frequencies.frequencies`).
        longest_period: of the `log` grid, in ticks.
        longest_memory: the horizon of the slowest state at birth, in ticks.
        adaptive: A-SFM: the frequencies move with the input.
        reach: of A-SFM, how far a frequency may move, as a share of half the distance
            to its neighbour on the grid.
        readout: `amplitude` (the paper's) or `amplitude+phase`.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for sizes, a grid, a reach or a read-out that cannot be.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017.
    """

    timed = True
    omega: Tensor
    delta: Tensor | None

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        states: int,
        frequencies: int,
        grid: str = "log",
        longest_period: float = 256.0,
        longest_memory: float = 256.0,
        adaptive: bool = False,
        reach: float = 1.0,
        readout: str = "amplitude+phase",
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        self.sizes = Sizes(
            input_size,
            states,
            frequencies,
            output_size,
            adaptive=adaptive,
            phase=_sees_phase(readout),
            longest_period=longest_period,
            longest_memory=longest_memory,
        )
        kind = dtype or torch.get_default_dtype()
        born = birth(self.sizes, generator(seed))
        put = partial(torch.tensor, dtype=kind, device=device)
        self.w_in = nn.Parameter(put(born.w_in))
        self.w_heads = nn.Parameter(put(born.w_heads))
        self.b_z = nn.Parameter(put(born.b_z))
        omega = grids.frequencies(grid, frequencies, longest_period)
        self.register_buffer("omega", put(omega))
        self.reach = reach
        delta = put(_expect_share(reach) * grids.spacing(omega)) if adaptive else None
        self.register_buffer("delta", delta)

    @property
    def weights(self) -> Weights[Tensor]:
        """The parameters by name, as `step` takes them."""
        return Weights(self.w_in, self.w_heads, self.b_z)

    def initial_state(self, batch: Sequence[int] = ()) -> SFMState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        memory = (*batch, self.sizes.frequencies, self.sizes.states)
        return SFMState(
            self.b_z.new_zeros(memory),
            self.b_z.new_zeros(memory),
            self.b_z.new_zeros((*batch, self.sizes.outputs)),
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute what does not depend on the state, of a tick or of a sequence."""
        return project(self.weights, x)

    def advance(
        self, projected: Tensor, state: SFMState, elapsed: Tensor | None
    ) -> tuple[Tensor, SFMState]:
        """Give z and the state after a tick, from the result of `project`."""
        z, state, _ = step_projected(
            self.weights, self.omega, self.delta, projected, state, elapsed=elapsed
        )
        return z, state

    def run(
        self, x: Tensor, state: SFMState, elapsed: Tensor | None = None
    ) -> tuple[Tensor, SFMState]:
        """Give z [T, B, M] of every tick of x [T, B, N], and the state after."""
        # The compiler fuses the general way itself; durations are rare in training.
        if elapsed is not None or not x.numel() or _is_transformed():
            return super().run(x, state, elapsed)
        given = (x, *self.weights, *state)
        learns = torch.is_grad_enabled() and any(part.requires_grad for part in given)
        # without a gradient no tape is needed, and few ticks leave a short one
        length = len(x) if learns else UNTAPED
        parts: list[Tensor] = []
        for ticks in torch.split(x, length):
            every, re, im = sequence.run(
                self.weights, self.omega, self.delta, self.project(ticks), *state
            )
            parts.append(every)
            state = SFMState(re, im, every[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts), state

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return ", ".join(f"{k}={v}" for k, v in self.sizes._asdict().items())


class SFM(Layer[SFMState]):
    """SFM or A-SFM over a sequence, with the shape of `torch.nn.LSTM`.

    The input products of all ticks are taken at once; the rest is a fold of the cell.

    Args:
        input_size: N.
        output_size: M.
        states: D.
        frequencies: K.
        grid: `paper`, `half` or `log` (see `sfm_stream.cell.frequencies.frequencies`).
        longest_period: of the `log` grid, in ticks.
        longest_memory: the horizon of the slowest state at birth, in ticks.
        adaptive: A-SFM: the frequencies move with the input.
        reach: of A-SFM, how far a frequency may move, as a share of half the distance
            to its neighbour on the grid.
        readout: `amplitude` (the paper's) or `amplitude+phase`.
        batch_first: sequences are [B, T, ...] instead of [T, B, ...].
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for sizes, a grid, a reach or a read-out that cannot be.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017.

    Examples:
        >>> layer = SFM(3, 4, states=5, frequencies=6, seed=0)
        >>> z, state = layer(torch.ones(7, 2, 3))  # ticks, sequences, inputs
        >>> z.shape, state.re.shape
        (torch.Size([7, 2, 4]), torch.Size([2, 6, 5]))
        >>> round(z[-1, 0, 0].item(), 3)
        -0.024
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        states: int,
        frequencies: int,
        grid: str = "log",
        longest_period: float = 256.0,
        longest_memory: float = 256.0,
        adaptive: bool = False,
        reach: float = 1.0,
        readout: str = "amplitude+phase",
        batch_first: bool = False,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        cell = SFMCell(
            input_size,
            output_size,
            states=states,
            frequencies=frequencies,
            grid=grid,
            longest_period=longest_period,
            longest_memory=longest_memory,
            adaptive=adaptive,
            reach=reach,
            readout=readout,
            seed=seed,
            dtype=dtype,
            device=device,
        )
        super().__init__(cell, batch_first=batch_first)


def _is_transformed() -> bool:
    """Say whether torch compiles, or maps or differentiates functions (torch.func).

    Of these the written-out gradient knows nothing.
    """
    active: bool = torch._C._are_functorch_transforms_active()  # noqa: SLF001 no other
    return active or torch.compiler.is_compiling()


# torch's einsum takes one product per call and does not copy shared weights.
def _product(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("...i,...ig->...g", x, weight)


def _columns(
    weights: Weights[Tensor], state: SFMState, *, adaptive: bool
) -> dict[str, slice]:
    (frequencies, outputs), states = weights.b_z.shape[-2:], state.re.shape[-1]
    inputs = weights.w_in.shape[-2] - outputs - 1
    return columns(Sizes(inputs, states, frequencies, outputs, adaptive=adaptive))


# Multiplication by e^{-jw}.
def _rotate(re: Tensor, im: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = torch.cos(turn)[..., None], torch.sin(turn)[..., None]
    return re * cos + im * sin, im * cos - re * sin


def _stretch(forget: Tensor, turn: Tensor, elapsed: Tensor) -> tuple[Tensor, Tensor]:
    # A saturated gate is exactly 0, where the power has no finite gradient.
    above_zero = forget.clamp_min(torch.finfo(forget.dtype).tiny)
    return above_zero ** elapsed[..., None, None], turn * elapsed[..., None]


def _heads(
    weights: Weights[Tensor], pre_o: Tensor, amplitude: Tensor, re: Tensor, im: Tensor
) -> tuple[Tensor, Tensor]:
    frequencies, outputs = weights.b_z.shape[-2:]
    sees_phase = weights.w_heads.shape[-2] == 3 * amplitude.shape[-1]
    seen = torch.cat([amplitude, re, im], -1) if sees_phase else amplitude
    head = torch.einsum("...ka,...kam->...km", seen, weights.w_heads)
    head = head.to(pre_o.dtype)
    pre_o = pre_o.reshape(*pre_o.shape[:-1], frequencies, outputs)
    o = sigmoid(pre_o + head[..., :outputs])
    return o, torch.tanh(head[..., outputs:] + weights.b_z)


def _sees_phase(readout: str) -> bool:
    if readout not in READOUTS:
        problem = f"expected one of {', '.join(READOUTS)}, was {readout!r}"
        raise ConfigError("model.readout", problem, "the paper's is amplitude")
    return readout == "amplitude+phase"


def _expect_share(reach: float) -> float:
    if not 0.0 < reach <= 1.0:
        problem = f"expected more than 0 and at most 1, was {reach}"
        raise ConfigError("reach", problem, "1 lets two frequencies meet")
    return reach
