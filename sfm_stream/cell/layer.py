"""The interface of every cell, and the layer that runs a cell over a sequence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from sfm_stream.errors import ConfigError, ShapeError

State = TypeVar("State", bound=NamedTuple)


class Cell(nn.Module, Generic[State]):
    """One tick of a recurrent network, with the shape of `torch.nn.LSTMCell`.

    A cell defines its empty memory, the part of a tick that does not depend on the
    memory (`project`, one product for a whole sequence), and the step of the memory
    (`advance`).

    Args:
        input_size: N.
        output_size: M.

    Raises:
        ConfigError: for sizes below 1.
    """

    # Whether a tick may have a duration, `elapsed`.
    timed: ClassVar[bool] = False

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        at_least_one(input_size=input_size, output_size=output_size)
        self.input_size, self.output_size = input_size, output_size

    @abstractmethod
    def initial_state(self, batch: Sequence[int] = ()) -> State:
        """Give the empty memory; `batch` holds the leading dimensions."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Compute the part of a tick or sequence that does not depend on the state."""

    @abstractmethod
    def advance(
        self, projected: Tensor, state: State, elapsed: Tensor | None
    ) -> tuple[Tensor, State]:
        """Give z and the state after a tick, from the result of `project`."""

    def forward(
        self, x: Tensor, state: State | None = None, *, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by one tick.

        Args:
            x: [B, N], or [N] for one stream.
            state: before the tick, not modified; None means an empty memory.
            elapsed: [B], this tick's duration in units of the usual one, for cells that
                are `timed`; None means 1.

        Returns:
            z [B, M], and the state after the tick.

        Raises:
            ShapeError: if x, the state or `elapsed` does not fit the cell.
            ConfigError: if the cell is not `timed` and a duration is given.
        """
        state = self.expect(x, state, elapsed, x.shape[:-1])
        return self.advance(self.project(x), state, elapsed)

    def trace(
        self, x: Tensor, state: State, elapsed: Tensor | None = None
    ) -> Iterator[tuple[Tensor, State]]:
        """Give z and the state after every tick of x [T, B, N]."""
        spans: Sequence[Tensor | None] = [None] * x.shape[0]
        if elapsed is not None:
            spans = elapsed.unbind(0)
        for projected, span in zip(self.project(x).unbind(0), spans, strict=True):
            z, state = self.advance(projected, state, span)
            yield z, state

    def run(
        self, x: Tensor, state: State, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Give z [T, B, M] of every tick of x [T, B, N], and the state after."""
        every = []
        for z, after in self.trace(x, state, elapsed):
            every.append(z)
            state = after
        return torch.stack(every), state

    def expect(
        self,
        x: Tensor,
        state: State | None,
        elapsed: Tensor | None,
        batch: Sequence[int],
    ) -> State:
        """Return the state, or the empty memory for None, if all arguments fit.

        Raises:
            ShapeError: if an argument does not fit.
            ConfigError: if the cell is not `timed` and a duration is given.
        """
        of_width("x", x, self.input_size)
        if elapsed is not None:
            self._expect_elapsed(elapsed, x)
        empty = self.initial_state(batch)
        if state is None:
            return empty
        for name, part, like in zip(empty._fields, state, empty, strict=True):
            if part.shape != like.shape:
                was = str(list(part.shape))
                raise ShapeError(f"state.{name}", str(list(like.shape)), was)
        return state

    def _expect_elapsed(self, elapsed: Tensor, x: Tensor) -> None:
        if not self.timed:
            problem = f"expected None, as {type(self).__name__} counts ticks"
            raise ConfigError("elapsed", problem, "give the time as an input")
        if elapsed.shape != x.shape[:-1]:
            expected = str(list(x.shape[:-1]))
            raise ShapeError("elapsed", expected, str(list(elapsed.shape)))


class Layer(nn.Module, Generic[State]):
    """A cell run over a sequence, with the shape of `torch.nn.LSTM`.

    Args:
        cell: the cell that each tick advances.
        batch_first: sequences are [B, T, ...] instead of [T, B, ...].
    """

    def __init__(self, cell: Cell[State], *, batch_first: bool = False) -> None:
        super().__init__()
        self.cell, self.batch_first = cell, batch_first

    def forward(
        self, x: Tensor, state: State | None = None, *, elapsed: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Advance by T ticks.

        Args:
            x: [T, B, N], [B, T, N] if `batch_first`, or [T, N] for one stream.
            state: before the first tick, not modified; None means an empty memory.
            elapsed: each tick's duration in units of the usual one, shaped as x without
                its last axis, for cells that are `timed`; None means 1.

        Returns:
            z of every tick, shaped as x with M for N, and the state after the last.

        Raises:
            ShapeError: if x, the state or `elapsed` does not fit, or T is 0.
            ConfigError: if the cell is not `timed` and durations are given.
        """
        expect_tensor(x)
        ticks = self._time_first(x, x.dim())
        if ticks.shape[0] == 0:
            raise ShapeError("x", "[T, ...] with T at least 1", str(list(x.shape)))
        state = self.cell.expect(x, state, elapsed, ticks.shape[1:-1])
        if elapsed is not None:
            elapsed = self._time_first(elapsed, x.dim())
        every, state = self.run(ticks, state, elapsed)
        return self._time_first(every, x.dim()), state

    def run(
        self, x: Tensor, state: State, elapsed: Tensor | None
    ) -> tuple[Tensor, State]:
        """Give z [T, B, M] of every tick of x [T, B, N], and the state after."""
        return self.cell.run(x, state, elapsed)

    # Swapping the first two axes is its own inverse: it serves inputs and outputs.
    def _time_first(self, sequence: Tensor, dims: int) -> Tensor:
        swap = self.batch_first and dims == len("BTN")
        return sequence.transpose(0, 1) if swap else sequence


def expect_tensor(x: object) -> None:
    """Refuse a PackedSequence, which `torch.nn.LSTM` takes.

    Raises:
        ShapeError: with the form to use instead.
    """
    if isinstance(x, PackedSequence):
        expected = "[T, B, N]; pad it (pad_packed_sequence) or give one sequence a call"
        raise ShapeError("x", expected, "a PackedSequence")


def at_least_one(**sizes: int) -> None:
    """Refuse sizes below 1.

    Raises:
        ConfigError: naming the first such size.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(name, f"expected at least 1, was {size}")


def of_width(name: str, array: Tensor, width: int) -> None:
    """Refuse an array whose last axis has another width than `width`.

    Raises:
        ShapeError: naming the array.
    """
    if array.shape[-1] != width:
        raise ShapeError(name, f"[..., {width}]", str(list(array.shape)))
