"""A sequence of SFM on the CPU: tensors lent to machine code, with its gradient.

The same as `torch` beside it, for float32 on the CPU alone: no call of torch per tick.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sfm_stream.cell.sequence.gradient import expect_one_gradient


def suits(projected: Tensor) -> bool:
    """Say whether a sequence is of the kind that is compiled."""
    return projected.device.type == "cpu" and projected.dtype == torch.float32


class Sweep(torch.autograd.Function):
    """All ticks forth and back, called as the one of `torch` is."""

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
        """Give z of every tick [T, B, M], and Re R and Im R after [2, K, B, D]."""
        from sfm_stream.cell.sequence import numba_kernels

        # its batch comes last: it lies in the lanes of a processor
        (ticks, batch, _), (k, m) = projected.shape, b_z.shape
        gates = _widened(projected.transpose(1, 2))
        room, states = gates.shape[-1], memory.shape[-1]
        read = gates.new_empty(ticks + 1, k, 3 * states, room)
        read[0, :, states:] = _lanes_last(memory)
        every = gates.new_empty(ticks + 1, m, room)
        every[0] = _widened(z.T)
        heads = gates.new_empty(ticks, k, 2 * m, room)
        turns = gates.new_empty(1 if delta is None else ticks, 2, k, room)
        shift = omega if delta is None else delta
        numba_kernels.forth(  # type: ignore[no-untyped-call] # numba infers its types
            *_lent(gates, read, heads, every, turns),
            *_lent(w_z, w_heads, b_z, omega, shift),
        )
        ctx.batch = batch
        ctx.save_for_backward(w_z, w_heads, shift, gates, read, heads, every, turns)
        after = _parts_first(read[-1, :, states:, :batch])
        return every[1:, :, :batch].transpose(1, 2).contiguous(), after.contiguous()

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        d_said: Tensor,
        d_last: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Give the gradient of everything but ω and δ.

        Raises:
            InvalidState: when that is asked to have a gradient itself.
        """
        expect_one_gradient()
        from sfm_stream.cell.sequence import numba_kernels

        w_z, w_heads, shift, gates, read, heads, every, turns = ctx.saved_tensors
        d_every = _widened(d_said.transpose(1, 2))
        d_memory = _lanes_last(d_last)
        d_gates, d_heads = torch.empty_like(gates), torch.empty_like(heads)
        d_z, d_read = torch.empty_like(every[0]), torch.empty_like(read[0, 0])
        numba_kernels.back(  # type: ignore[no-untyped-call]
            *_lent(gates, read, heads, turns),
            *_lent(w_z.T, w_heads.transpose(1, 2), shift, d_every),
            *_lent(d_gates, d_heads, d_memory, d_z, d_read),
        )
        seen = read[1:, :, : w_heads.shape[1]]
        with torch.autocast("cpu", enabled=False):
            d_w_z = torch.einsum("tmb,tgb->mg", every[:-1], d_gates)
            d_w_heads = torch.einsum("tkab,tkmb->kam", seen, d_heads)
        return (
            d_gates[..., : ctx.batch].transpose(1, 2),
            d_w_z,
            d_w_heads,
            d_heads[:, :, every.shape[1] :].sum((0, 3)),
            None,
            None,
            _parts_first(d_memory[..., : ctx.batch]),
            d_z[:, : ctx.batch].T,
        )


def _widened(parts: Tensor) -> Tensor:
    """Give a copy whose last axis, the batch, fills whole lanes; zero beyond."""
    from sfm_stream.jit.lanes import LANES

    batch = parts.shape[-1]
    wide = parts.new_empty(*parts.shape[:-1], -(-batch // LANES) * LANES)
    wide[..., :batch], wide[..., batch:] = parts, 0.0
    return wide


def _lanes_last(memory: Tensor) -> Tensor:
    """Give Re R and Im R [2, K, B, D] as machine code has them [K, 2D, B]."""
    return _widened(memory.permute(1, 0, 3, 2).flatten(1, 2))


def _parts_first(memory: Tensor) -> Tensor:
    """Undo `_lanes_last`, but for the lanes that were added."""
    k, _, batch = memory.shape
    return memory.reshape(k, 2, -1, batch).permute(1, 0, 3, 2)


def _lent(*tensors: Tensor) -> list[NDArray[Any]]:
    return [part.detach().contiguous().numpy() for part in tensors]
