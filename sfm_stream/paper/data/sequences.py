"""Sequences of different lengths, and the padded batches that models read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sfm_stream.errors import ShapeError


class Sequences(NamedTuple):
    """One split of a data set.

    Attributes:
        x: inputs of each sequence [T_i, N].
        y: labels of each sequence: one label [], or one per tick [T_i, ...].
        elapsed: duration of every tick [T_i], or empty if all durations are equal.
    """

    x: Sequence[Tensor]
    y: Sequence[Tensor]
    elapsed: Sequence[Tensor] = ()


class Batch(NamedTuple):
    """A batch of sequences, time first; shorter sequences are padded with zeros.

    Attributes:
        x: [T, B, N].
        y: [B], or [T, B, ...].
        mask: true for ticks of a sequence, false for padding [T, B].
        elapsed: [T, B], or None if all durations are equal.
    """

    x: Tensor
    y: Tensor
    mask: Tensor
    elapsed: Tensor | None

    def to(self, device: torch.device | str) -> Batch:
        """Copy the batch to a device."""
        elapsed = None if self.elapsed is None else self.elapsed.to(device)
        return Batch(
            self.x.to(device), self.y.to(device), self.mask.to(device), elapsed
        )

    @property
    def last(self) -> Tensor:
        """Index of the last tick of each sequence [B]."""
        return self.mask.sum(0) - 1

    def means(self, values: Tensor) -> Tensor:
        """Give the mean over each sequence [B] of one value per unpadded tick [n]."""
        spread = values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)
        return spread.sum(0) / self.mask.sum(0)


def batches(
    sequences: Sequences, size: int, rng: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Divide sequences into batches of similar lengths, to keep the padding small.

    Args:
        sequences: at least one.
        size: the largest B.
        rng: shuffles sequences of equal length, and the batches; None: no shuffling.

    Raises:
        ShapeError: if the numbers of inputs, labels and durations differ.
    """
    count = len(sequences.x)
    if len(sequences.y) != count or len(sequences.elapsed) not in (0, count):
        was = f"{count}, {len(sequences.y)} and {len(sequences.elapsed)}"
        raise ShapeError("sequences", "equally many x, y and elapsed", was)
    drawn = np.arange(count) if rng is None else rng.permutation(count)
    lengths = np.array([len(x) for x in sequences.x])
    order = drawn[np.argsort(lengths[drawn], kind="stable")]
    starts = np.arange(0, count, size)
    for start in starts if rng is None else rng.permutation(starts):
        yield side_by_side(sequences, order[start : start + size].tolist())


def side_by_side(sequences: Sequences, chosen: Sequence[int]) -> Batch:
    """Make a batch of the sequences with the indices `chosen`."""
    x = [sequences.x[i] for i in chosen]
    y = [sequences.y[i] for i in chosen]
    mask = pad_sequence([torch.ones(len(one), dtype=torch.bool) for one in x])
    elapsed = [sequences.elapsed[i] for i in chosen] if sequences.elapsed else None
    return Batch(
        pad_sequence(x),
        pad_sequence(y) if y[0].dim() else torch.stack(y),
        mask,
        None if elapsed is None else pad_sequence(elapsed),
    )
