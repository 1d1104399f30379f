"""torch's own layers: the call is ours, the numbers are theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sfm_stream.cell import GRUCell, Layer, LSTMCell, RNNCell


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(RNNCell, nn.RNN), (GRUCell, nn.GRU), (LSTMCell, nn.LSTM)],
)
def test_output_and_state_are_those_of_torch(ours, theirs):
    cell = ours(3, 4, dtype=torch.float64, seed=1)
    layer = theirs(3, 4, dtype=torch.float64)
    layer.load_state_dict(cell.layer.state_dict())
    x = noise(9, 2, 3)
    start = tuple(noise(2, 4, seed=s) for s in range(len(cell.state._fields)))
    given = tuple(part[None] for part in start)
    expected, after = layer(x, given if len(given) > 1 else given[0])
    actual, state = Layer(cell)(x, cell.state(*start))
    torch.testing.assert_close(expected, actual, rtol=0, atol=0)
    after = after if isinstance(after, tuple) else (after,)
    for theirs_part, part in zip(after, state, strict=True):
        torch.testing.assert_close(theirs_part[0], part, rtol=0, atol=0)


def test_a_sequence_is_one_call_of_torch(monkeypatch):
    cell = LSTMCell(3, 4, seed=1)
    calls = []
    forward = cell.layer.forward
    monkeypatch.setattr(
        cell.layer, "forward", lambda *given: calls.append(1) or forward(*given)
    )
    Layer(cell)(noise(50, 2, 3).float())
    assert len(calls) == 1
