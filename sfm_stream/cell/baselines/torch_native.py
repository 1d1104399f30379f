"""The recurrent layers of torch as cells of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sfm_stream.cell.layer import Cell
from sfm_stream.cell.seeding import Seed, drawn, generator, uniform


class HiddenState(NamedTuple):
    """The state of an RNN or a GRU after a tick.

    Attributes:
        h: the output [..., H].
    """

    h: Tensor


class LSTMState(NamedTuple):
    """The state of an LSTM after a tick.

    Attributes:
        h: the output [..., H].
        c: the memory [..., H].
    """

    h: Tensor
    c: Tensor


State = TypeVar("State", HiddenState, LSTMState)


class NativeCell(Cell[State]):
    """One recurrent layer of torch, called once per sequence.

    Args:
        input_size: N.
        output_size: H.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes.
    """

    kind: ClassVar[type[nn.RNNBase]]
    state: type[State]

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        draw = uniform(output_size, generator(seed), dtype, device)
        self.layer = drawn(self.kind, input_size, output_size, draw=draw)

    def initial_state(self, batch: Sequence[int] = ()) -> State:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        weight = next(self.layer.parameters())
        parts = (
            weight.new_zeros((*batch, self.output_size)) for _ in self.state._fields
        )
        return self.state(*parts)

    def project(self, x: Tensor) -> Tensor:
        """Give x itself: the layer of torch multiplies it by its weights."""
        return x

    def advance(
        self, projected: Tensor, state: State, elapsed: Tensor | None
    ) -> tuple[Tensor, State]:
        """Give z and the state after a tick, run as a sequence of one tick."""
        z, after = self.run(projected[None], state, elapsed)
        return z[0], after

    def run(
        self, x: Tensor, state: State, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Give z [T, B, H] of every tick of x [T, B, N], and the state after."""
        del elapsed
        # States of torch have an axis of layers, and no tuple around a single part.
        before = tuple(part[None] for part in state)
        every, after = self.layer(x, before if len(before) > 1 else before[0])
        parts = after if isinstance(after, tuple) else (after,)
        return every, self.state(*(part[0] for part in parts))


class RNNCell(NativeCell[HiddenState]):
    """`torch.nn.RNN`: h = tanh(x W + h U + b)."""

    kind, state = nn.RNN, HiddenState


class GRUCell(NativeCell[HiddenState]):
    """`torch.nn.GRU`.

    References:
        Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014.
    """

    kind, state = nn.GRU, HiddenState


class LSTMCell(NativeCell[LSTMState]):
    """`torch.nn.LSTM`.

    References:
        Hochreiter & Schmidhuber, Long Short-Term Memory, 1997, with forget gates.
    """

    kind, state = nn.LSTM, LSTMState
