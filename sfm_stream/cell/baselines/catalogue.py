"""The models of the slides' baseline table, by name, in the sizes of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.baselines.act import ACTCell
from sfm_stream.cell.baselines.associative import AssociativeCell
from sfm_stream.cell.baselines.clockwork import CWRNNCell
from sfm_stream.cell.baselines.highway import RHNCell
from sfm_stream.cell.baselines.phased import PhasedLSTMCell
from sfm_stream.cell.baselines.torch_native import GRUCell, LSTMCell
from sfm_stream.cell.layer import Cell, Layer, State
from sfm_stream.cell.seeding import Seed, drawn, generator, uniform
from sfm_stream.cell.sfm import SFMCell
from sfm_stream.errors import ConfigError


class Task(NamedTuple):
    """The sizes of the models for one task of the paper.

    Attributes:
        inputs: N.
        outputs: of the linear head.
        parameters: about the number of parameters of a model, layer and head together.
        memory: states and frequencies of SFM and A-SFM.
    """

    inputs: int
    outputs: int
    parameters: int
    memory: Mapping[str, int]


TASKS: Mapping[str, Task] = {
    "signals": Task(2, 1, 1_000, {"states": 50, "frequencies": 4}),
    "music": Task(88, 88, 139_000, {"states": 50, "frequencies": 4}),
    "phonemes": Task(26, 61, 80_000, {"states": 30, "frequencies": 8}),
}

# Widths per task, in the order of `TASKS`. The slides do not give M of SFM: these
# values match the number of parameters, with M smaller by 1 for A-SFM on music. The
# output of the associative LSTM is half real, half imaginary, so its width must be
# even. The slides give it 15, 139 and 122, the widths of the LSTM: not all of these are
# even, and they do not match its number of parameters.
WIDTHS: Mapping[str, tuple[int, int, int]] = {
    "lstm": (15, 139, 122),
    "gru": (18, 164, 141),
    "cw-rnn": (30, 295, 245),
    "act-rnn": (18, 164, 141),
    "rhn": (9, 94, 76),
    "a-lstm": (14, 130, 114),
    "p-lstm": (15, 139, 122),
    "sfm": (1, 92, 58),
    "a-sfm": (1, 91, 58),
}

CELLS: Mapping[str, Callable[..., Cell[Any]]] = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "cw-rnn": CWRNNCell,
    "act-rnn": ACTCell,
    "rhn": RHNCell,
    "a-lstm": AssociativeCell,
    "p-lstm": PhasedLSTMCell,
    "sfm": partial(SFMCell, grid="paper", readout="amplitude"),
    "a-sfm": partial(SFMCell, grid="paper", readout="amplitude", adaptive=True),
}


class Headed(nn.Module, Generic[State]):
    """A layer and a linear head on its output at every tick.

    Args:
        layer: with M outputs.
        head: from M to the outputs of the task.
    """

    head: nn.Module

    def __init__(self, layer: Layer[State], head: nn.Module) -> None:
        super().__init__()
        self.layer, self.head = layer, head

    def forward(
        self, x: Tensor, state: State | None = None, *, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Give the head's outputs at every tick, and the state after the last tick."""
        z, state = self.layer(x, state, elapsed=elapsed)
        return self.head(z), state


def model(
    name: str,
    task: str,
    *,
    options: Mapping[str, Any] | None = None,
    batch_first: bool = False,
    seed: Seed = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Headed[Any]:
    """Build a model of the slides' table in its size for a task.

    Args:
        name: one of `CELLS`.
        task: one of `TASKS`.
        options: options of the cell, in place of those of the table.
        batch_first: sequences are [B, T, ...] instead of [T, B, ...].
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for a name or a task that is not in the table.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017, table 1 as
        the slides show it. Its counts include the head, separate weights for the carry
        gate of the RHN, and a full recurrent matrix of the CW-RNN.
    """
    _one_of("model", name, CELLS)
    _one_of("task", task, TASKS)
    sizes, width = TASKS[task], WIDTHS[name][list(TASKS).index(task)]
    rng = generator(seed)
    memory = sizes.memory if name in ("sfm", "a-sfm") else {}
    cell = CELLS[name](
        sizes.inputs,
        width,
        **{**memory, **(options or {})},
        seed=rng,
        dtype=dtype,
        device=device,
    )
    draw = uniform(width, rng, dtype, device)
    head = drawn(nn.Linear, width, sizes.outputs, draw=draw)
    return Headed(Layer(cell, batch_first=batch_first), head)


def _one_of(what: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        problem = f"expected one of {', '.join(known)}, was {name!r}"
        raise ConfigError(what, problem)
