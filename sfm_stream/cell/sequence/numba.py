"""SFM over a sequence on the CPU: machine code works on the tensors' memory.

This computes the same as `torch` beside it, but only for float32 on the CPU, and
without a call of torch per tick. A large batch is cut into parts of equal size, for as
many threads as torch may use. The outputs do not depend on the number of threads; the
products of torch for the gradients of the weights may round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import starmap
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from sfm_stream.cell.sequence.gradient import expect_one_gradient

T = TypeVar("T")
Lent: TypeAlias = "list[NDArray[Any]]"

PART = 32
"""Sequences of a batch in one part; each thread computes one part at a time."""


def suits(projected: Tensor) -> bool:
    """Say whether the machine code can take a sequence: float32 on the CPU."""
    return projected.device.type == "cpu" and projected.dtype == torch.float32


class Sweep(torch.autograd.Function):
    """All ticks forward and backward, called as `_Sweep` of `torch`."""

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
        shift = omega if delta is None else delta
        weights = _lent(w_z, w_heads, b_z, omega, shift)
        parts = zip(_cut(projected, 1), _cut(memory, 2), _cut(z, 0), strict=True)
        forth = partial(_forth, weights=weights, adaptive=delta is not None)
        ctx.traces = traces = _side_by_side(forth, parts)
        ctx.save_for_backward(w_z, w_heads, shift)
        return (
            torch.cat([trace.said() for trace in traces], 1),
            torch.cat([trace.last() for trace in traces], 2),
        )

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        d_said: Tensor,
        d_last: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Give the gradients of all arguments but ω and δ.

        Raises:
            InvalidState: if torch would differentiate the gradient.
        """
        expect_one_gradient()
        w_z, w_heads, shift = ctx.saved_tensors
        weights = _lent(w_z.T, w_heads.transpose(1, 2), shift)
        parts = zip(ctx.traces, _cut(d_said, 1), _cut(d_last, 2), strict=True)
        slopes = _side_by_side(partial(_back, weights=weights), parts)
        of_weights = _summed(ctx.traces, slopes, seen=w_heads.shape[1])
        return (
            torch.cat([slope.projected for slope in slopes], 1),
            *of_weights,
            None,
            None,
            torch.cat([slope.memory for slope in slopes], 2),
            torch.cat([slope.z for slope in slopes]),
        )


class Trace(NamedTuple):
    """The values that a part of the batch keeps for the gradient, see `numba_kernels`.

    Attributes:
        gates: [T, G, B].
        read: [T+1, K, 3D, B].
        heads: [T, K, 2M, B].
        z: [T+1, M, B].
        turns: [T or 1, 2, K, B].
        batch: size of the part, without the padding to whole lanes.
    """

    gates: Tensor
    read: Tensor
    heads: Tensor
    z: Tensor
    turns: Tensor
    batch: int

    def said(self) -> Tensor:
        """Give z after each tick [T, B, M]."""
        return self.z[1:, :, : self.batch].transpose(1, 2)

    def last(self) -> Tensor:
        """Give the memory after the last tick [2, K, B, D]."""
        states = self.read.shape[2] // 3
        return _parts_first(self.read[-1, :, states:, : self.batch])


class Slope(NamedTuple):
    """The gradients from a part of the batch.

    Attributes:
        projected: [T, B, G].
        memory: [2, K, B, D].
        z: [B, M].
        gates: of `projected`, as the machine code writes it [T, G, B], padded lanes
            included.
        heads: of the pre-activations of o and q [T, K, 2M, B], padded lanes included.
    """

    projected: Tensor
    memory: Tensor
    z: Tensor
    gates: Tensor
    heads: Tensor


def _forth(
    projected: Tensor, memory: Tensor, z: Tensor, weights: Lent, adaptive: bool
) -> Trace:
    from sfm_stream.cell.sequence import numba_kernels

    # In the machine code the batch is the last axis and fills the processor's lanes.
    _, _, b_z, _, _ = weights
    (ticks, batch, _), (k, m) = projected.shape, b_z.shape
    gates = _widened(projected.transpose(1, 2))
    room, states = gates.shape[-1], memory.shape[-1]
    read = gates.new_empty(ticks + 1, k, 3 * states, room)
    read[0, :, states:] = _lanes_last(memory)
    every = gates.new_empty(ticks + 1, m, room)
    every[0] = _widened(z.T)
    heads = gates.new_empty(ticks, k, 2 * m, room)
    turns = gates.new_empty(ticks if adaptive else 1, 2, k, room)
    numba_kernels.forth(  # type: ignore[no-untyped-call] # numba infers its types
        *_lent(gates, read, heads, every, turns), *weights
    )
    return Trace(gates, read, heads, every, turns, batch)


def _back(trace: Trace, d_said: Tensor, d_last: Tensor, weights: Lent) -> Slope:
    from sfm_stream.cell.sequence import numba_kernels

    gates, read, heads, every, turns, batch = trace
    d_every = _widened(d_said.transpose(1, 2))
    d_memory = _lanes_last(d_last)
    d_gates, d_heads = torch.empty_like(gates), torch.empty_like(heads)
    d_z, d_read = torch.empty_like(every[0]), torch.empty_like(read[0, 0])
    numba_kernels.back(  # type: ignore[no-untyped-call]
        *_lent(gates, read, heads, turns),
        *weights,
        *_lent(d_every, d_gates, d_heads, d_memory, d_z, d_read),
    )
    return Slope(
        projected=d_gates[..., :batch].transpose(1, 2),
        memory=_parts_first(d_memory[..., :batch]),
        z=d_z[:, :batch].T,
        gates=d_gates,
        heads=d_heads,
    )


def _summed(traces: list[Trace], slopes: list[Slope], seen: int) -> list[Tensor]:
    """Sum the gradients of w_z, w_heads and b_z; o and q read `seen` values.

    The parts are added in their order, whichever finished first.
    """
    with torch.autocast("cpu", enabled=False):
        shares = [
            (
                torch.einsum("tmb,tgb->mg", trace.z[:-1], slope.gates),
                torch.einsum("tkab,tkmb->kam", trace.read[1:, :, :seen], slope.heads),
                slope.heads[:, :, trace.z.shape[1] :].sum((0, 3)),
            )
            for trace, slope in zip(traces, slopes, strict=True)
        ]
    return [torch.stack(parts).sum(0) for parts in zip(*shares, strict=True)]


def _cut(tensor: Tensor, axis: int) -> tuple[Tensor, ...]:
    """Cut a tensor into parts along the axis of the batch."""
    return torch.split(tensor, PART, axis)


def _side_by_side(work: Callable[..., T], parts: Iterable[tuple[Any, ...]]) -> list[T]:
    """Apply `work` to each part, on the number of threads that torch uses, in order."""
    given = list(parts)
    threads = min(len(given), torch.get_num_threads())
    if threads == 1:
        return list(starmap(work, given))
    with ThreadPoolExecutor(threads, "sfm-stream sequence") as pool:
        return list(pool.map(work, *zip(*given, strict=True)))


def _widened(parts: Tensor) -> Tensor:
    """Copy a tensor and pad its last axis, the batch, with zeros to whole lanes."""
    from sfm_stream.jit.lanes import LANES

    batch = parts.shape[-1]
    wide = parts.new_empty(*parts.shape[:-1], -(-batch // LANES) * LANES)
    wide[..., :batch], wide[..., batch:] = parts, 0.0
    return wide


def _lanes_last(memory: Tensor) -> Tensor:
    """Rearrange Re R and Im R [2, K, B, D] for the machine code [K, 2D, B]."""
    return _widened(memory.permute(1, 0, 3, 2).flatten(1, 2))


def _parts_first(memory: Tensor) -> Tensor:
    """Undo the rearrangement of `_lanes_last`; keep any padding."""
    k, _, batch = memory.shape
    return memory.reshape(k, 2, -1, batch).permute(1, 0, 3, 2)


def _lent(*tensors: Tensor) -> Lent:
    return [part.detach().contiguous().numpy() for part in tensors]
