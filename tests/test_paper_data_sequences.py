"""Sequences of any length, side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.errors import ShapeError
from sfm_stream.paper.data.sequences import Sequences, batches, side_by_side


def of_lengths(*lengths):
    """Give sequences whose every input and answer is their own length."""
    x = [torch.full((n, 2), float(n)) for n in lengths]
    return Sequences(x, [torch.tensor(float(n)) for n in lengths])


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.integers(1, 5),
    st.none() | st.integers(0, 9),
)
def test_every_sequence_comes_once_and_whole(lengths, size, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    met = []
    for batch in batches(of_lengths(*lengths), size, rng):
        assert batch.x.shape[1] <= size
        assert batch.mask.sum(0).tolist() == batch.y.tolist()
        met += batch.y.int().tolist()
        # what is there is the sequence, and what is not is zero
        there = batch.mask[..., None] * batch.y[:, None]
        assert torch.equal(batch.x, there.expand_as(batch.x))
    assert sorted(met) == sorted(lengths)


def test_batches_are_of_like_lengths():
    sequences = of_lengths(9, 1, 8, 2, 7, 3)
    shapes = {b.x.shape[0] for b in batches(sequences, 2, np.random.default_rng(0))}
    assert shapes == {2, 7, 9}


def test_a_generator_decides_the_order():
    sequences = of_lengths(*[3] * 20)
    sequences = sequences._replace(y=[torch.tensor(i) for i in range(20)])

    def order(seed):
        parts = batches(sequences, 4, np.random.default_rng(seed))
        return torch.cat([batch.y for batch in parts]).tolist()

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert torch.cat([b.y for b in batches(sequences, 4)]).tolist() == [*range(20)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_means_are_those_of_each_sequence(lengths):
    rng = np.random.default_rng(0)
    values = [torch.from_numpy(rng.standard_normal(n)) for n in lengths]
    batch = side_by_side(Sequences(values, values), range(len(lengths)))
    expected = torch.stack([one.mean() for one in values])
    torch.testing.assert_close(batch.means(batch.y[batch.mask]), expected)


def test_answers_per_tick_and_durations_are_padded_too():
    x = [torch.ones(2, 1), torch.ones(3, 1)]
    y = [torch.tensor([4, 5]), torch.tensor([6, 7, 8])]
    spans = [torch.tensor([0.5, 0.5]), torch.ones(3)]
    batch = side_by_side(Sequences(x, y, spans), [0, 1])
    assert batch.y.tolist() == [[4, 6], [5, 7], [0, 8]]
    assert batch.elapsed.tolist() == [[0.5, 1.0], [0.5, 1.0], [0.0, 1.0]]
    assert batch.last.tolist() == [1, 2]
    moved = batch.to("meta")
    assert {part.device.type for part in moved} == {"meta"}
    assert batch._replace(elapsed=None).to("cpu").elapsed is None


def test_answers_of_another_number_are_refused():
    sequences = of_lengths(3, 4)
    lacking = sequences._replace(y=sequences.y[:1])
    with pytest.raises(ShapeError, match="equally many x, y and elapsed, was 2, 1"):
        next(batches(lacking, 2))
    timed = sequences._replace(elapsed=[torch.ones(3)])
    with pytest.raises(ShapeError, match="was 2, 2 and 1"):
        next(batches(timed, 2))
