"""The cell of many streams in torch, for comparison with the kernels of the GPU.

A batch of cells, each with its own weights, runs forward and backward over a window of
ticks and takes a step of Adam: eagerly, by `torch.compile`, and as one CUDA graph. On
the CPU only the eager mode is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sfm_stream.cell import frequencies
from sfm_stream.cell.parameters import Sizes, Weights, birth
from sfm_stream.cell.step import SFMState, step

BETA1, BETA2, EPSILON, LR, CLIP = 0.9, 0.999, 1e-8, 3e-3, 1.0
# Passes before the timing, and timed passes.
WARM, TIMED = 3, 5

Pass: TypeAlias = Callable[[], Tensor]


class Panel:
    """A batch of cells, each with a linear head, trained by truncated BPTT.

    Args:
        sizes: of the cells; not adaptive.
        streams: number of cells.
        window: ticks of a pass.
        device: name of the device in torch.
    """

    def __init__(self, sizes: Sizes, streams: int, window: int, device: str) -> None:
        rng = np.random.default_rng(0)
        born = birth(sizes, rng)
        heads = np.zeros((sizes.outputs + 1,))
        self.blocks = [
            torch.tensor(block, dtype=torch.float32, device=device)
            .expand(streams, *block.shape)
            .clone()
            .requires_grad_()
            for block in (*born, heads)
        ]
        self._moments = [torch.zeros_like(block) for block in self.blocks]
        self._squares = [torch.zeros_like(block) for block in self.blocks]
        omega = frequencies.frequencies("log", sizes.frequencies, sizes.longest_period)
        self._omega = torch.tensor(omega, dtype=torch.float32, device=device)
        shape = (streams, sizes.frequencies, sizes.states)
        zeros = torch.zeros(shape, device=device)
        z = torch.zeros(streams, sizes.outputs, device=device)
        self._state = SFMState(zeros, zeros.clone(), z)
        x = rng.standard_normal((window, streams, sizes.inputs))
        y = rng.standard_normal((window, streams))
        self.x = torch.tensor(x, dtype=torch.float32, device=device)
        self.y = torch.tensor(y, dtype=torch.float32, device=device)

    def forward(self) -> Tensor:
        """Run forward over the window; give the forecasts [T, B]."""
        weights, state = Weights(*self.blocks[:3]), self._state
        head, bias = self.blocks[3][:, :-1], self.blocks[3][:, -1]
        said = []
        for x in self.x.unbind(0):
            z, state, _ = step(weights, self._omega, None, x, state)
            said.append((head * z).sum(-1) + bias)
        return torch.stack(said)

    def learn(self) -> Tensor:
        """Run forward and backward over the window, step; give the losses [B]."""
        losses = (self.forward() - self.y).square().mean(0)
        gradients = torch.autograd.grad(losses.sum(), self.blocks)
        with torch.no_grad():
            self._descend(gradients)
        return losses.detach()

    def _descend(self, gradients: Sequence[Tensor]) -> None:
        """Take a step of Adam for each stream, with its gradient's norm clipped."""
        squares = torch.stack([g.square().flatten(1).sum(1) for g in gradients])
        shrink = CLIP / torch.clamp(torch.sqrt(squares.sum(0)), min=CLIP)
        parts = zip(self.blocks, self._moments, self._squares, gradients, strict=True)
        for block, moment, square, gradient in parts:
            g = gradient * shrink.view(-1, *[1] * (gradient.dim() - 1))
            moment.mul_(BETA1).add_(g, alpha=1 - BETA1)
            square.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            block.addcdiv_(moment, square.sqrt() + EPSILON, value=-LR)


def measure(
    say: Callable[[str], None], device: str, streams: Sequence[int],
    cell: Sizes, window: int,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Measure panels with several numbers of streams in torch.

    Args:
        say: receives a message before each measurement.
        device: `cpu`, or a GPU; if torch sees no GPU, the result is empty.
        streams: numbers of streams to measure.
        cell: sizes of the cell.
        window: ticks of a pass, and ticks between updates.

    Returns:
        Stream-ticks per second by mode, pass (`forward`, `learn`) and number of
        streams.
    """
    there = device == "cpu" or torch.cuda.is_available()
    if not there:
        say("torch sees no GPU: its CUDA build is needed to be measured beside")
        return {}
    found: dict[str, dict[str, float]] = {}
    for count in streams:
        for way, wrap in _ways(device).items():
            for what in ("forward", "learn"):
                say(f"measuring torch, {way}, {what} of {count} streams")
                panel = Panel(cell, count, window, device)
                one = wrap(getattr(panel, what))
                pace = count * window / _seconds(one, device)
                found.setdefault(f"torch {way}, {what}, ticks/s", {})[str(count)] = pace
    return found


def _ways(device: str) -> dict[str, Callable[[Pass], Pass]]:
    """Give the modes in which a pass can run, by name."""
    if device == "cpu":
        return {"eager": lambda one: one}
    return {"eager": lambda one: one, "compiled": _compiled, "CUDA graph": _graph}


def _compiled(one: Pass) -> Pass:
    made: Pass = torch.compile(one)
    return made


def _graph(one: Pass) -> Pass:
    """Record a pass as a CUDA graph, after warm-up passes on a side stream."""
    beside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch
    with torch.cuda.stream(beside):
        for _ in range(WARM):
            one()
    torch.cuda.synchronize()
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        said = one()

    def replayed() -> Tensor:
        graph.replay()
        return said

    return replayed


def _seconds(one: Pass, device: str) -> float:
    """Give the median time of a pass."""
    taken = []
    for number in range(WARM + TIMED):
        begun = time.perf_counter()
        one()
        if device != "cpu":
            torch.cuda.synchronize()
        if number >= WARM:
            taken.append(time.perf_counter() - begun)
    return float(np.median(taken))
