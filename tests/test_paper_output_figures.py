"""Pictures of what was found."""

from __future__ import annotations

import sys

import pytest

from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.paper.output import figures


def scored(*values):
    return {
        "scores": {"accuracy": {"values": values, "mean": sum(values) / len(values)}}
    }


@pytest.fixture
def drawn():
    figure, axes = figures.sheet(1, 2, (6.0, 3.0))
    return figure, axes[0]


def test_seeds_means_and_the_slides_are_drawn(drawn):
    figure, (axes, _) = drawn
    found = {"lstm": scored(0.5, 0.7), "sfm": scored(0.9)}
    figures.side_by_side(axes, found, "accuracy", {"sfm": 0.99})
    drawn_at = [tuple(line.get_ydata()) for line in axes.lines if len(line.get_xdata())]
    assert drawn_at == [(0.5, 0.7), (0.6, 0.6), (0.9,), (0.9, 0.9), (0.99,)]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["lstm", "sfm"]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["a seed", "mean", "the slides"]
    figure.draw_without_rendering()


def test_a_model_far_above_the_others_is_written_and_not_drawn_to_scale(drawn):
    _, (axes, other) = drawn
    found = {"a": scored(10.0), "b": scored(12.0), "c": scored(61.0)}
    figures.side_by_side(axes, found, "accuracy")
    figures.cut_above(axes, found, "accuracy")
    assert axes.get_ylim()[1] == figures.FAR * 12.0
    assert [(t.xy[0], t.get_text()) for t in axes.texts] == [(2, "61.0\n↑")]
    near = {"a": scored(10.0), "b": scored(12.0)}
    figures.side_by_side(other, near, "accuracy")
    as_it_was = other.get_ylim()
    figures.cut_above(other, near, "accuracy")
    assert other.get_ylim() == as_it_was
    assert not other.texts


def test_histories_are_one_colour_and_one_name_per_model(drawn):
    figure, (axes, _) = drawn
    results = [
        {"model": name, "seed": seed, "history": [{"valid": 1.0}, {"valid": 0.5}]}
        for seed in (0, 1)
        for name in ("a", "b")
    ]
    figures.histories(axes, results)
    assert len(axes.lines) == 4
    assert axes.lines[0].get_color() is not axes.lines[1].get_color()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b"]
    figure.draw_without_rendering()


def test_a_figure_is_kept_as_png_and_svg(drawn, tmp_path):
    paths = figures.save(drawn[0], "signals", tmp_path / "new")
    assert [path.name for path in paths] == ["signals.png", "signals.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in paths[1].read_text()


def test_a_folder_that_cannot_be_is_an_error(drawn, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        figures.save(drawn[0], "signals", tmp_path / "file")


def test_without_matplotlib_nothing_is_begun(monkeypatch):
    figures.expect()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"absent; install it: .*sfm-stream\[paper\]"):
        figures.expect()
