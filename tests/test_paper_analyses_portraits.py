"""Pictures of one memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sfm_stream.cell.sfm import SFMCell
from sfm_stream.paper.analyses import expansion, portraits
from sfm_stream.paper.output import figures


@pytest.fixture(scope="module")
def x():
    return torch.randn(12, 2, generator=torch.manual_seed(2))


@pytest.fixture(scope="module")
def seen(x):
    cells = {
        name: SFMCell(2, 3, states=5, frequencies=4, grid="paper", seed=1,
                      adaptive=adaptive)
        for name, adaptive in (("sfm", False), ("a-sfm", True))
    }  # fmt: skip
    return {name: expansion.trace(cell, x) for name, cell in cells.items()}


@pytest.fixture
def drawn(monkeypatch):
    """What would be saved, by name; drawn, but not written."""
    kept = {}

    def save(figure, name, out):
        del out
        figure.draw_without_rendering()
        kept[name] = figure

    monkeypatch.setattr(figures, "save", save)
    return kept


def test_amplitudes_stand_at_four_ticks_per_model(seen, drawn, tmp_path):
    portraits.amplitudes(seen, "a", tmp_path)
    images = [axes.images[0].get_array() for axes in drawn["a"].axes if axes.images]
    assert len(images) == 8
    order = portraits.by_window(seen["sfm"])
    for image, t in zip(images, (2, 5, 8, 11), strict=False):
        shown = np.abs(seen["sfm"].memory[t])[:, order]
        visible = shown > np.max(shown) / 100
        np.testing.assert_allclose(image[visible], shown[visible])
    titles = [axes.get_title(loc="left") for axes in drawn["a"].axes]
    assert titles[:5] == [*(f"sfm, tick {t}" for t in (3, 6, 9, 12)), "a-sfm, tick 3"]


def test_windows_end_at_one_and_show_their_lengths(seen, drawn, tmp_path):
    portraits.windows(seen, "w", tmp_path)
    left, right = drawn["w"].axes[:2]
    assert all(line.get_ydata()[-1] == 1.0 for line in left.lines)
    lengths = expansion.lengths(seen["sfm"], 11)
    assert right.images[0].get_array().max() == pytest.approx(lengths.max())


def test_the_transform_goes_through_the_memory(seen, drawn, tmp_path):
    portraits.transform(seen["sfm"], "t", tmp_path)
    below = drawn["t"].axes[1]
    curves, points = below.lines[::2], below.lines[1::2]
    assert len(curves) == len(points) == 4
    for curve, point in zip(curves, points, strict=True):
        (at,), (height,) = point.get_xdata(), point.get_ydata()
        curve_height = np.interp(at, curve.get_xdata(), curve.get_ydata())
        assert curve_height == pytest.approx(height, rel=1e-3)


def test_frequencies_are_drawn_from_where_they_rest(seen, x, drawn, tmp_path):
    portraits.frequencies(seen["a-sfm"], x.numpy(), "f", tmp_path)
    below = drawn["f"].axes[1]
    # a cell that learned nothing yet moves none
    assert [np.abs(line.get_ydata()).max() for line in below.lines] == [0.0] * 4


@pytest.mark.parametrize(
    ("omega", "name"),
    [
        (0.0, "constant"),
        (math.tau, "constant"),
        (float(np.float32(math.tau)), "constant"),
        (math.tau / 4, "period 4"),
        (float(np.float32(math.pi)), "period 2"),
        (3 * math.tau / 4, "period -4"),
    ],
)
def test_a_frequency_is_named_by_its_period(omega, name):
    assert portraits.period(omega) == name


@pytest.mark.parametrize(
    ("length", "ticks"), [(100, [24, 49, 74, 99]), (1, [0, 0, 0, 0])]
)
def test_quarters_count_from_nought(length, ticks):
    assert portraits.quarters(length) == ticks
