"""The steps of adaptive computation time, and their gradient over a whole sequence.

torch keeps a node for each of some twenty small operations of a step, and runs them one
by one backwards. Here a sequence is one node: its backward pass has few operations per
step, and the gradients of the weights are one product for all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from sfm_stream.cell.sequence.gradient import expect_one_gradient

sigmoid_backward = torch.ops.aten.sigmoid_backward
tanh_backward = torch.ops.aten.tanh_backward

# The steps stop when at most this halting probability is left, so one can be enough.
SLACK = 0.01


class Weights(NamedTuple):
    """The weights of a step: the flag's column, the core's recurrent ones, halting."""

    flag: Tensor
    w_h: Tensor
    b_h: Tensor
    w_halt: Tensor
    b_halt: Tensor


class Step(NamedTuple):
    """What a step computes; [..., H] but for the last four, which are [...].

    Attributes:
        before: the state h^{m-1}.
        r: the reset gate of the core.
        z: the update gate of the core.
        n: the candidate of the core.
        kept: the part of the candidate from the state, before the reset gate.
        h: the state h^m.
        p: the halting probability.
        share: the weight of h^m in the mean.
        ends: 1 where this is the last step, else 0.
        goes_on: 1 where another step follows, else 0.
    """

    before: Tensor
    r: Tensor
    z: Tensor
    n: Tensor
    kept: Tensor
    h: Tensor
    p: Tensor
    share: Tensor
    ends: Tensor
    goes_on: Tensor


def ponder(
    weights: Weights, projected: Tensor, h: Tensor, longest: int
) -> tuple[Tensor, Tensor, list[Step]]:
    """Take the steps of one tick, until the whole batch has halted.

    Args:
        weights: of a step.
        projected: the core's product with the input, and its bias [..., 3H].
        h: the output before the tick [..., H].
        longest: the largest number of steps.

    Returns:
        The output [..., H], N + R [...], and the steps.
    """
    mean, left = torch.zeros_like(h), torch.ones_like(h[..., 0])
    cost, thinking = torch.zeros_like(left), left
    arriving, steps = projected + weights.flag, list[Step]()
    for m in range(longest):
        step = _step(weights, arriving, h, left, thinking, m == longest - 1)
        mean = torch.addcmul(mean, step.share[..., None], step.h)
        cost = torch.addcmul(cost + thinking, left, step.ends)
        steps.append(step)
        left, thinking, h, arriving = left - step.share, step.goes_on, step.h, projected
        if not thinking.any():
            break
    return mean, cost, steps


def _step(
    weights: Weights,
    arriving: Tensor,
    before: Tensor,
    left: Tensor,
    thinking: Tensor,
    last: bool,
) -> Step:
    gates, candidate = _cut(arriving)
    gates_kept, kept = _cut(linear(before, weights.w_h, weights.b_h))
    r, z = torch.sigmoid(gates + gates_kept).chunk(2, -1)
    n = torch.tanh(torch.addcmul(candidate, r, kept))
    h = torch.lerp(n, before, z)
    p = torch.sigmoid(h @ weights.w_halt + weights.b_halt)
    ends = thinking if last else thinking * (p >= left - SLACK)
    goes_on = thinking - ends
    share = torch.addcmul(goes_on * p, ends, left)
    return Step(before, r, z, n, kept, h, p, share, ends, goes_on)


def _cut(of_gates: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of both gates and of the candidate, in torch's order."""
    width = of_gates.shape[-1] // 3
    return of_gates[..., : 2 * width], of_gates[..., 2 * width :]


class Pondering(torch.autograd.Function):
    """Ticks of adaptive computation time as one node of torch's graph."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 torch's own, which it does not name
        projected: Tensor,
        h: Tensor,
        longest: int,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Give the outputs [T, ..., H] and N + R [T, ...] of every tick."""
        ctx.save_for_backward(*weights)
        ctx.ticks, outputs, costs = [], [], []
        for tick in projected.unbind():
            h, cost, steps = ponder(Weights(*weights), tick, h, longest)
            ctx.ticks.append(steps)
            outputs.append(h)
            costs.append(cost)
        return torch.stack(outputs), torch.stack(costs)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        d_outputs: Tensor,
        d_costs: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Go back through all steps, then sum up what they say of the weights."""
        expect_one_gradient()
        weights = Weights(*ctx.saved_tensors)
        dh, slopes = torch.zeros_like(d_outputs[0]), []
        for t, steps in reversed(list(enumerate(ctx.ticks))):
            slopes.append(_back(weights, steps, d_outputs[t] + dh, d_costs[t]))
            dh = slopes[-1][0].before
        slopes.reverse()
        arriving = [reduce(torch.add, (s.arriving for s in tick)) for tick in slopes]
        return torch.stack(arriving), dh, None, *_of_weights(ctx.ticks, slopes)


class Slope(NamedTuple):
    """The gradient by the parts of a step.

    Attributes:
        arriving: by the product with the input [..., 3H].
        recurrent: by the product with the state before [..., 3H].
        halting: by the argument of the halting probability [...].
        left: by the halting probability that was left [...].
        before: by the state before [..., H].
    """

    arriving: Tensor
    recurrent: Tensor
    halting: Tensor
    left: Tensor
    before: Tensor


def _back(
    weights: Weights, steps: Sequence[Step], d_mean: Tensor, d_cost: Tensor
) -> list[Slope]:
    """Go back through the steps of one tick; give their slopes in the steps' order."""
    slopes, dh = list[Slope](), torch.zeros_like(d_mean)
    d_left = dh[..., 0]
    for step in reversed(steps):
        slope = _slope(weights, step, d_mean, d_cost, dh, d_left)
        slopes.append(slope)
        dh, d_left = slope.before, slope.left
    return slopes[::-1]


def _slope(
    weights: Weights,
    step: Step,
    d_mean: Tensor,
    d_cost: Tensor,
    dh: Tensor,
    d_left: Tensor,
) -> Slope:
    d_share = (d_mean * step.h).sum(-1) - d_left
    d_left = torch.addcmul(d_left, step.ends, d_cost + d_share)
    halting = sigmoid_backward(step.goes_on * d_share, step.p)
    dh = torch.addcmul(dh, step.share[..., None], d_mean)
    dh = torch.addcmul(dh, halting[..., None], weights.w_halt)
    dn = tanh_backward(dh - dh * step.z, step.n)
    dr = sigmoid_backward(dn * step.kept, step.r)
    dz = sigmoid_backward(dh * (step.before - step.n), step.z)
    recurrent = torch.cat([dr, dz, dn * step.r], -1)
    before = torch.addcmul(recurrent @ weights.w_h, dh, step.z)
    return Slope(torch.cat([dr, dz, dn], -1), recurrent, halting, d_left, before)


def _of_weights(
    ticks: Sequence[Sequence[Step]], slopes: Sequence[Sequence[Slope]]
) -> Weights:
    """Sum the gradients of the weights over all steps of all ticks."""
    steps, every = list(chain(*ticks)), list(chain(*slopes))
    recurrent = _rows([slope.recurrent for slope in every])
    halting = torch.stack([slope.halting for slope in every]).flatten()
    return Weights(
        _rows([tick[0].arriving for tick in slopes]).sum(0),
        recurrent.T @ _rows([step.before for step in steps]),
        recurrent.sum(0),
        halting @ _rows([step.h for step in steps]),
        halting.sum(),
    )


def _rows(of_steps: list[Tensor]) -> Tensor:
    return torch.stack(of_steps).flatten(0, -2)
