"""One tick of SFM and A-SFM in torch: the definition that all backends follow.

The memory is kept in the frame that turns with each frequency, R_t = S_t e^{-jωt}, so
|R| = |S| and no absolute time appears: the cell is as exact at tick 1e9 as at tick 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sfm_stream.cell.parameters import EPSILON, FORGET_CAP, Sizes, Weights, columns
from sfm_stream.errors import ShapeError


class SFMState(NamedTuple):
    """The state of the cell after a tick.

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
        weights: shared by the batch, or with leading dimensions: one set per stream.
            The shape of `w_heads` determines the read-out.
        omega: ω [K] in radians per tick.
        delta: δ [K] in radians per tick for A-SFM; None for SFM.
        x: [..., N].
        state: before the tick; not modified.
        elapsed: τ [...], this tick's duration in units of the usual one; the rotation
            becomes ωτ and the decay f^τ. None means 1.

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
    # Autocast lowers the precision of products, but the gates must tell f = .999 from
    # 1: so every product is converted back to the type of the parameters at once.
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
