"""The reference cell in absolute time, as in the paper: float64, slow, for tests.

e^{jωt} loses precision in its phase as t grows, so the shipped cell (`step.py`) uses a
rotating frame. The two files share only the layout of the weights.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sfm_stream.cell.parameters import EPSILON, FORGET_CAP, Sizes, Weights, columns

Phase = Literal["accumulated", "absolute"]


class OracleState(NamedTuple):
    """The memory in the frame that does not turn.

    Attributes:
        s: S, complex128 [B, K, D].
        angle: the accumulated phase [B, K], radians, never wrapped.
        t: ticks since the time origin [B].
        z: the output [B, M].
    """

    s: Tensor
    angle: Tensor
    t: Tensor
    z: Tensor


class OracleTick(NamedTuple):
    """The values read from the memory at one tick.

    Attributes:
        amplitude: A = |S| with ε inside the root, float64 [B, K, D].
        r: S seen from the turning frame, S e^{-jφ}, complex128 [B, K, D].
        omega: ω_t [B, K], radians per tick.
    """

    amplitude: Tensor
    r: Tensor
    omega: Tensor


def oracle_start(
    sizes: Sizes, omega: Tensor, batch: int, t: float = 0.0
) -> OracleState:
    """Give the empty memory at time t, in ticks, for B = `batch` streams."""
    memory = (batch, sizes.frequencies, sizes.states)
    return OracleState(
        torch.zeros(memory, dtype=torch.complex128),
        (omega * t).expand(batch, -1),
        torch.full((batch,), t, dtype=torch.float64),
        torch.zeros(batch, sizes.outputs, dtype=torch.float64),
    )


def oracle_step(
    sizes: Sizes,
    weights: Weights[Tensor],
    omega: Tensor,
    delta: Tensor | None,
    x: Tensor,
    state: OracleState,
    *,
    phase: Phase = "accumulated",
    elapsed: Tensor | None = None,
) -> tuple[Tensor, OracleState, OracleTick]:
    """Advance by one tick in absolute time.

        S_t = f ∘ S_{t-1} + (g ∘ i) e^{jφ_t}

    Args:
        sizes: of the cell.
        weights: float64.
        omega: ω [K], radians per tick.
        delta: δ [K], or None for SFM.
        x: [B, N].
        state: before the tick; not modified.
        phase: φ_t = ω_t t if `absolute` (the paper's), φ_{t-1} + ω_t if `accumulated`;
            the same for constant ω.
        elapsed: τ [B], this tick's duration in units of the usual one; None means 1.

    Returns:
        z [B, M], the state after the tick, and the values read from the memory.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017.
    """
    at = columns(sizes)
    tau = torch.ones_like(state.t) if elapsed is None else elapsed
    pre = torch.cat([x, state.z, torch.ones_like(x[:, :1])], dim=1) @ weights.w_in
    f_fre, f_ste = (torch.sigmoid(pre[:, at[name]]) for name in ("f_fre", "f_ste"))
    f = (FORGET_CAP * torch.einsum("bk,bd->bkd", f_fre, f_ste)) ** tau[:, None, None]
    drive = torch.sigmoid(pre[:, at["g"]]) * torch.tanh(pre[:, at["i"]])
    turn = omega.expand(x.shape[0], -1)
    if delta is not None:
        turn = turn + delta * torch.tanh(pre[:, at["omega"]])
    t, angle = state.t + tau, state.angle + turn * tau[:, None]
    phi = angle if phase == "accumulated" else turn * t[:, None]
    basis = torch.polar(torch.ones_like(phi), phi)
    s = f * state.s + torch.einsum("bd,bk->bkd", drive.to(basis.dtype), basis)
    amplitude = torch.sqrt(s.real**2 + s.imag**2 + EPSILON)
    seen = OracleTick(amplitude, s * basis.conj()[:, :, None], turn)
    z = _read_out(sizes, weights, pre[:, at["o"]], seen)
    return z, OracleState(s, angle, t, z), seen


def _read_out(
    sizes: Sizes, weights: Weights[Tensor], pre_o: Tensor, seen: OracleTick
) -> Tensor:
    m = sizes.outputs
    z = pre_o.new_zeros(pre_o.shape[0], m)
    for k in range(sizes.frequencies):
        parts = [seen.amplitude[:, k]]
        if sizes.phase:
            parts += [seen.r[:, k].real, seen.r[:, k].imag]
        head = torch.cat(parts, dim=1) @ weights.w_heads[k]
        o = torch.sigmoid(pre_o[:, k * m : (k + 1) * m] + head[:, :m])
        z = z + o * torch.tanh(head[:, m:] + weights.b_z[k])
    return z
