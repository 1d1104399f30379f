"""Lets torch compile the ticks of the cells that have no loop of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sfm_stream.cell.baselines.catalogue import Headed
from sfm_stream.cell.layer import Cell, Layer, State
from sfm_stream.errors import ConfigError
from sfm_stream.paper.training.loop import Contender

TICKS = 8
"""Ticks that are compiled as one: more make fewer calls, and take longer to compile."""


class CompiledLayer(Layer[State]):
    """A layer that runs its ticks in compiled groups, and the last few one by one.

    Args:
        layer: whose cell it shares.
    """

    def __init__(self, layer: Layer[State]) -> None:
        super().__init__(layer.cell, batch_first=layer.batch_first)
        self._group = torch.compile(layer.cell.run, dynamic=False)

    def run(
        self, x: Tensor, state: State, elapsed: Tensor | None
    ) -> tuple[Tensor, State]:
        """Give z [T, B, M] of every tick of x [T, B, N], and the state after."""
        if not torch.is_grad_enabled():  # a forward pass alone gains nothing
            return super().run(x, state, elapsed)
        every = []
        for begin in range(0, len(x), TICKS):
            group = slice(begin, begin + TICKS)
            run = self._group if begin + TICKS <= len(x) else super().run
            spans = None if elapsed is None else elapsed[group]
            z, state = run(x[group], state, spans)
            every.append(z)
        return torch.cat(every), state


def compiled(contender: Contender) -> Contender:
    """Give the same contender, whose models run compiled ticks in training.

    A model keeps the names of its weights. Rounding differs, so weights drift apart.
    """
    return contender._replace(build=lambda seed: _faster(contender.build(seed)))


def expect_compiler(device: str) -> None:
    """Refuse to compile where torch cannot.

    Args:
        device: to compile for.

    Raises:
        ConfigError: with the reason of torch.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(TICKS, device=device))
    except RuntimeError as e:
        reason = " ".join(str(e).strip().split("\n\n")[0].split())
        problem = f"expected a compiler that torch can use, was: {reason}"
        raise ConfigError("--compile", problem, "install g++, or leave it out") from e


def _faster(model: nn.Module) -> nn.Module:
    """Compile the ticks of a model, if its cell has no loop of its own.

    The layers of torch and SFM run a whole sequence in one call already.
    """
    if isinstance(model, Headed) and type(model.layer.cell).run is Cell.run:
        torch.compiler.reset()  # torch compiles a function only so many times
        model.layer = CompiledLayer(model.layer)
    return model
