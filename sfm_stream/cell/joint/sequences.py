"""Sequences of binary vectors: a recurrent layer predicts the next vector."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sfm_stream.cell.baselines.torch_native import HiddenState, RNNCell
from sfm_stream.cell.joint.nade import NADE
from sfm_stream.cell.joint.rbm import RBM
from sfm_stream.cell.layer import Layer, State
from sfm_stream.cell.seeding import Seed, generator
from sfm_stream.errors import ShapeError

Output = TypeVar("Output", NADE, RBM)


class FrameState(NamedTuple, Generic[State]):
    """The state of the model after a vector.

    Attributes:
        z: the context of the next vector [..., M].
        layer: the state of the layer.
    """

    z: Tensor
    layer: State


class FrameModel(nn.Module, Generic[State, Output]):
    """p(v_1, ..., v_T) = Π_t p(v_t | z_{t-1}), z from a layer that has read v_1..v_t.

    Args:
        layer: reads vectors of V bits, gives contexts of M.
        output: the distribution of the next vector given the context.
    """

    def __init__(self, layer: Layer[State], output: Output) -> None:
        super().__init__()
        self.layer = layer
        self.output: Output = output

    def forward(
        self, frames: Tensor, state: FrameState[State] | None = None
    ) -> tuple[Tensor, FrameState[State]]:
        """Compute the context of every vector from the vectors before it.

        `output.log_likelihood(frames, contexts)` then scores NADE, and
        `output.contrast` or `output.estimated_log_likelihood` the RBM.

        Args:
            frames: zeros and ones, [T, B, V] as the layer takes them.
            state: before the first vector; None means an empty memory and a zero
                context.

        Returns:
            Contexts [T, B, M], and the state after the last vector.

        Raises:
            ShapeError: if the vectors or the state do not fit, or T is 0.
        """
        z, inner = self.layer(frames, None if state is None else state.layer)
        axis = int(self.layer.batch_first and frames.dim() == len("BTV"))
        *said, last = z.unbind(axis)
        first = torch.zeros_like(last) if state is None else state.z
        if first.shape != last.shape:
            raise ShapeError("state.z", str(list(last.shape)), str(list(first.shape)))
        return torch.stack([first, *said], axis), FrameState(last, inner)


def rnn(
    output: type[Output],
    visible_size: int,
    *,
    recurrent: int = 100,
    hidden: int = 150,
    batch_first: bool = False,
    seed: Seed = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> FrameModel[HiddenState, Output]:
    """Build an RNN-NADE (exact likelihood) or an RNN-RBM (estimated likelihood).

    Args:
        output: `NADE` or `RBM`.
        visible_size: V.
        recurrent: M, units of the tanh RNN.
        hidden: H of the output.
        batch_first: sequences are [B, T, V] instead of [T, B, V].
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for sizes below 1.

    References:
        Boulanger-Lewandowski, Bengio & Vincent, Modeling Temporal Dependencies in
        High-Dimensional Sequences, ICML 2012. The RNN-NADE-HF of the slides is this
        RNN-NADE, trained by Hessian-free optimisation.
    """
    rng = generator(seed)
    cell = RNNCell(visible_size, recurrent, seed=rng, dtype=dtype, device=device)
    head = output(recurrent, visible_size, hidden, seed=rng, dtype=dtype, device=device)
    return FrameModel(Layer(cell, batch_first=batch_first), head)
