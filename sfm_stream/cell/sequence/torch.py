"""SFM and A-SFM over a whole sequence in torch, with a hand-written gradient.

`step.step_projected` defines a tick, and autograd could differentiate a loop over it.
But the matrices are so small that recording and replaying about forty operations per
tick would take most of the time. Here a tick has half as many operations, which write
directly to the tape, and the gradients of the weights are products over all ticks at
once. For float32 on the CPU, machine code (`numba`) replaces even these calls.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfm_stream.cell.parameters import EPSILON, FORGET_CAP, Sizes, Weights, columns
from sfm_stream.cell.sequence import numba
from sfm_stream.cell.sequence.gradient import expect_one_gradient


class Tape(NamedTuple):
    """The values of all ticks that the gradient needs.

    K comes before B, so that the heads of all frequencies are one product.

    Attributes:
        sigmoids: f_ste, f_fre and g side by side [T, B, 2D+K].
        tanhs: i, and for A-SFM tanh(pre_ω) [T, B, D(+K)].
        turns: (1 - 2^-12) f_fre times cos and sin of ω_t [T, 2, K, B, 1].
        kept: Re R before g ∘ i is added [T, K, B, D].
        memory: Re R and Im R [T, 2, K, B, D].
        seen: [A] or [A, Re R, Im R] [T, K, B, Din].
        heads: o and q [T, K, B, 2, M].
        z: [T, B, M].
    """

    sigmoids: Tensor
    tanhs: Tensor
    turns: Tensor
    kept: Tensor
    memory: Tensor
    seen: Tensor
    heads: Tensor
    z: Tensor

    def ticks(self) -> list[Tape]:
        """Give the values of each tick, without the axis T."""
        parts = zip(*(part.unbind() for part in self), strict=True)
        return [Tape(*tick) for tick in parts]


def run(
    weights: Weights[Tensor],
    omega: Tensor,
    delta: Tensor | None,
    projected: Tensor,
    re: Tensor,
    im: Tensor,
    z: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Advance by T ticks, with the result of a loop over `step.step_projected`.

    Only the first derivative in reverse mode exists: no second derivative, no forward
    mode, no `vmap`. Under autocast the computation keeps the type of the parameters.

    Args:
        weights: shared by the batch.
        omega: ω [K] in radians per tick; like delta, it gets no gradient.
        delta: δ [K] in radians per tick for A-SFM; None for SFM.
        projected: `step.project` of all ticks [T, ..., G].
        re: Re R before the first tick [..., K, D].
        im: Im R likewise.
        z: the output before the first tick [..., M].

    Returns:
        z of every tick [T, ..., M], and Re R and Im R after the last.

    Raises:
        InvalidState: in the backward pass, if torch would differentiate the gradient.
    """
    outputs = z.shape[-1]
    memory = torch.stack([re, im]).reshape(2, -1, *re.shape[-2:])
    sweep = numba.Sweep if numba.suits(projected) else _Sweep
    every, last = sweep.apply(  # type: ignore[no-untyped-call] # torch's own
        projected.reshape(len(projected), -1, projected.shape[-1]),
        weights.w_in[-1 - outputs : -1],
        weights.w_heads,
        weights.b_z,
        omega,
        delta,
        memory.transpose(1, 2),
        z.reshape(-1, outputs),
    )
    re_after, im_after = last.transpose(1, 2).reshape(2, *re.shape)
    return every.reshape(-1, *z.shape), re_after, im_after


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 torch's own, which it does not name
        projected: Tensor,
        w_z: Tensor,
        w_heads: Tensor,
        b_z: Tensor,
        omega: Tensor,
        delta: Tensor | None,
        memory: Tensor,
        z: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tape = _blank(projected, w_heads, memory, z, adaptive=delta is not None)
        at, bias = _columns(tape, adaptive=delta is not None), b_z[:, None]
        re_im, said, basis = memory, z, _basis(omega[:, None])
        with torch.autocast(z.device.type, enabled=False):
            for given, now in zip(projected.unbind(), tape.ticks(), strict=True):
                pre = torch.addmm(given, said, w_z)
                torch.sigmoid(pre[:, : at["g"].stop], out=now.sigmoids)
                torch.tanh(pre[:, at["i"].start : at["o"].start], out=now.tanhs)
                if delta is not None:
                    moved = now.tanhs[:, -len(omega) :] * delta
                    basis = _basis((omega + moved).T)
                _remember(now, at, basis, re_im)
                _read_out(now, pre[:, at["o"]], w_heads, bias)
                re_im, said = now.memory, now.z
        ctx.save_for_backward(w_z, w_heads, delta, z, *tape)
        return tape.z, tape.memory[-1]

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        d_every: Tensor,
        d_last: Tensor,
    ) -> tuple[Tensor | None, ...]:
        expect_one_gradient()
        w_z, w_heads, delta, z, *kept = ctx.saved_tensors
        tape = Tape(*kept)
        with torch.autocast(z.device.type, enabled=False):
            d_pre, d_heads, d_memory, d_z = _back(
                tape, w_z, w_heads, delta, d_every, d_last
            )
            said = torch.cat([z[None], tape.z[:-1]])
            d_w_z = said.flatten(0, 1).T @ d_pre.flatten(0, 1)
            seen = tape.seen.transpose(0, 1).flatten(1, 2)
            d_w_heads = seen.transpose(1, 2) @ d_heads.flatten(3).flatten(1, 2)
            d_b_z = d_heads[..., 1, :].sum((1, 2))
        return d_pre, d_w_z, d_w_heads, d_b_z, None, None, d_memory, d_z


def _blank(
    projected: Tensor, w_heads: Tensor, memory: Tensor, z: Tensor, *, adaptive: bool
) -> Tape:
    """Allocate a tape; the state before the first tick gives the sizes."""
    (ticks, batch, _), (_, k, _, d) = projected.shape, memory.shape
    new = memory.new_empty
    return Tape(
        new(ticks, batch, 2 * d + k),
        new(ticks, batch, d + k if adaptive else d),
        new(ticks, 2, k, batch, 1),
        new(ticks, k, batch, d),
        new(ticks, *memory.shape),
        new(k, ticks, batch, w_heads.shape[1]).transpose(0, 1),
        new(ticks, k, batch, 2, z.shape[-1]),
        new(ticks, *z.shape),
    )


def _columns(tape: Tape, *, adaptive: bool) -> dict[str, slice]:
    (_, _, k, _, d), m = tape.memory.shape, tape.z.shape[-1]
    return columns(Sizes(1, d, k, m, adaptive=adaptive))


def _basis(angle: Tensor) -> Tensor:
    """Give cos and sin [2, K, ..., 1] of an angle [K, ...], times `FORGET_CAP`."""
    return FORGET_CAP * torch.stack([angle.cos(), angle.sin()])[..., None]


def _remember(now: Tape, at: dict[str, slice], basis: Tensor, memory: Tensor) -> None:
    """Rotate the memory before a tick, forget, add the input; write it to the tape."""
    f_ste, f_fre, g = (now.sigmoids[:, at[name]] for name in ("f_ste", "f_fre", "g"))
    cos, sin = torch.mul(basis, f_fre.T[..., None], out=now.turns)
    (re, im), (re_after, im_after) = memory, torch.mul(memory, cos, out=now.memory)
    re_after.addcmul_(im, sin)
    im_after.addcmul_(re, sin, value=-1)
    now.memory.mul_(f_ste)
    now.kept.copy_(re_after)
    re_after.addcmul_(g, now.tanhs[:, : f_ste.shape[1]])


def _read_out(now: Tape, pre_o: Tensor, w_heads: Tensor, bias: Tensor) -> None:
    """Compute z of a tick from the memory after it; write it to the tape."""
    re, im = now.memory
    (k, batch, d), m = re.shape, now.z.shape[-1]
    amplitude = torch.addcmul(re.new_tensor(EPSILON), re, re)
    torch.sqrt(amplitude.addcmul_(im, im), out=now.seen[..., :d])
    if now.seen.shape[-1] > d:
        torch.cat([re, im], -1, out=now.seen[..., d:])
    head = torch.bmm(now.seen, w_heads)
    o, q = now.heads.unbind(2)
    torch.add(head[..., :m], pre_o.view(batch, k, m).transpose(0, 1), out=o).sigmoid_()
    torch.add(head[..., m:], bias, out=q).tanh_()
    torch.sum(o * q, 0, out=now.z)


def _back(
    tape: Tape,
    w_z: Tensor,
    w_heads: Tensor,
    delta: Tensor | None,
    d_every: Tensor,
    d_last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Carry the gradient from the last tick to the first.

    Returns:
        The gradients of the pre-activations of the gates [T, B, G], of the
        pre-activations of o and q [K, T, B, 2, M], and of the memory and of z before
        the first tick.
    """
    at = _columns(tape, adaptive=delta is not None)
    d_pre = _slopes(tape, at, delta)
    k, ticks = len(w_heads), len(d_every)
    d_heads = d_every.new_empty(k, ticks, *tape.heads.shape[2:])
    w_back, z_back = w_heads.transpose(1, 2), w_z.T
    d_memory, d_z = d_last, torch.zeros_like(d_every[0])
    each = zip(tape.ticks(), d_every, d_heads.unbind(1), d_pre, strict=True)
    for now, d_said, d_head, d_gates in reversed(list(each)):
        d_z = d_z + d_said
        _from_heads(d_head, now.heads, d_z)
        d_seen = torch.bmm(d_head.flatten(2), w_back)
        d_memory = _from_seen(now, d_memory, d_seen)
        _to_gates(d_gates, at, now, d_memory)
        d_o = d_gates[:, at["o"]].view(len(d_z), len(d_head), -1)
        d_o.copy_(d_head[:, :, 0].transpose(0, 1))
        d_memory = _turned_back(now, at, d_memory)
        d_z = d_gates @ z_back
    return d_pre, d_heads, d_memory, d_z


def _from_heads(d_head: Tensor, heads: Tensor, d_z: Tensor) -> None:
    """Write the gradient of the pre-activations of o and q to `d_head`."""
    (o, q), (d_o, d_q) = heads.unbind(2), d_head.unbind(2)
    through = o * d_z
    both = through * q
    torch.addcmul(both, both, o, value=-1, out=d_o)
    torch.addcmul(through, both, q, value=-1, out=d_q)


def _from_seen(now: Tape, d_memory: Tensor, d_seen: Tensor) -> Tensor:
    """Add to the gradient of the memory the part that comes from the heads' inputs."""
    d = now.memory.shape[-1]
    d_memory = d_memory.addcmul(now.memory, d_seen[..., :d] / now.seen[..., :d])
    if d_seen.shape[-1] > d:
        d_memory += d_seen[..., d:].reshape(*d_seen.shape[:2], 2, d).movedim(2, 0)
    return d_memory


def _slopes(tape: Tape, at: dict[str, slice], delta: Tensor | None) -> Tensor:
    """Compute the derivatives of the gates [T, B, G]; leave the columns of o unset.

    For the forget gates this is the derivative of log f: the memory already contains
    the factor f.
    """
    sigmoids, tanhs, d = tape.sigmoids, tape.tanhs, at["f_ste"].stop
    slopes = sigmoids.new_empty(*sigmoids.shape[:2], at["o"].stop)
    g, i = sigmoids[..., at["g"]], tanhs[..., :d]
    slopes[..., : at["g"].start] = 1.0 - sigmoids[..., : at["g"].start]
    slopes[..., at["g"]] = i * g * (1.0 - g)
    slopes[..., at["i"]] = g * (1.0 - i * i)
    if delta is not None:
        slopes[..., at["omega"]] = delta * (1.0 - tanhs[..., d:].square())
    return slopes


def _to_gates(
    d_gates: Tensor, at: dict[str, slice], now: Tape, d_memory: Tensor
) -> None:
    """Multiply the derivatives of a tick's gates by the gradient that reaches them."""
    (d_re, d_im), im = d_memory, now.memory[1]
    forgot = (d_re * now.kept).addcmul_(d_im, im)
    d_gates[:, at["f_ste"]].mul_(forgot.sum(0))
    d_gates[:, at["f_fre"]].mul_(forgot.sum(2).T)
    wrote = d_re.sum(0)
    d_gates[:, at["g"]].mul_(wrote)
    d_gates[:, at["i"]].mul_(wrote)
    if "omega" in at:
        turned = (d_re * im).addcmul_(d_im, now.kept, value=-1)
        d_gates[:, at["omega"]].mul_(turned.sum(2).T)


def _turned_back(now: Tape, at: dict[str, slice], d_memory: Tensor) -> Tensor:
    """Compute the gradient of the memory before a tick."""
    cos, sin = now.turns
    held = d_memory * now.sigmoids[:, at["f_ste"]]
    re, im = held
    before: Tensor = held * cos
    before[0].addcmul_(im, sin, value=-1)
    before[1].addcmul_(re, sin)
    return before
