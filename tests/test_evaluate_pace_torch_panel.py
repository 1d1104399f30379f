from __future__ import annotations

import pytest
import torch

from sfm_stream.cell.parameters import Sizes
from sfm_stream.evaluate.pace import torch_panel

torch.set_num_threads(1)
SIZES = Sizes(
    inputs=3, states=4, frequencies=2, outputs=5, adaptive=False, phase=False,
    longest_period=16.0, longest_memory=16.0,
)  # fmt: skip


def test_streams_learn_side_by_side_as_they_would_alone():
    both, alone = (torch_panel.Panel(SIZES, n, 6, "cpu") for n in (2, 1))
    alone.x, alone.y = both.x[:, 1:], both.y[:, 1:]
    losses = []
    for _ in range(3):
        losses.append(both.learn()[1])
        assert losses[-1] == pytest.approx(float(alone.learn()[0]), rel=1e-5)
    assert losses[-1] < losses[0]
    for mine, wanted in zip(both.blocks, alone.blocks, strict=True):
        torch.testing.assert_close(mine[1], wanted[0], rtol=1e-4, atol=1e-6)


def test_each_way_and_size_is_measured():
    said = []
    found = torch_panel.measure(said.append, "cpu", [1, 3], SIZES, 4)
    assert set(found) == {f"torch eager, {w}, ticks/s" for w in ("forward", "learn")}
    assert all(pace > 0 for figures in found.values() for pace in figures.values())
    assert {count for figures in found.values() for count in figures} == {"1", "3"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_without_a_gpu_that_torch_sees_nothing_is_measured_beside():
    said = []
    assert torch_panel.measure(said.append, "cuda", [1], SIZES, 4) == {}
    assert "CUDA build" in said[0]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA build of torch")
@pytest.mark.parametrize("wrap", [torch_panel._compiled, torch_panel._graph])
def test_a_faster_way_gives_the_same_losses(wrap):
    panel = torch_panel.Panel(SIZES, 3, 6, "cuda")
    torch.testing.assert_close(wrap(panel.forward)(), panel.forward())
