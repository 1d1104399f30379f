"""Draws pictures of the results, each as PNG and as SVG.

It uses matplotlib, which is part of the extra `paper` and is loaded only when needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sfm_stream.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sfm_stream.paper.training.trials import Result

DOTS = 150
PLAIN, OURS, SLIDES, BLUE = "#8a96a3", "#c2410c", "#111111", "#1d4ed8"
FAR, DROP = 1.5, 4
"""A mean above FAR times the median is written instead of drawn, DROP points down."""


def expect() -> None:
    """Check that pictures can be drawn, before an experiment begins.

    Raises:
        ConfigError: if matplotlib is absent.
    """
    try:
        import matplotlib as mpl  # noqa: F401 only to check that it is installed
    except ImportError as e:
        hint = "install it: pip install 'sfm-stream[paper]'"
        raise ConfigError("paper", "matplotlib is absent", hint) from e


def sheet(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """Make a figure and its axes [rows, columns]; the size is in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DOTS, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Figure, name: str, out: Path) -> list[Path]:
    """Write `<name>.png` and `<name>.svg`; give their paths.

    Raises:
        SinkError: if a file cannot be written.
    """
    paths = [out / f"{name}.png", out / f"{name}.svg"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in paths:
            figure.savefig(path)
    except OSError as e:
        raise SinkError(str(out), f"cannot be written: {e.strerror}") from e
    return paths


def side_by_side(
    axes: Axes,
    found: Mapping[str, Any],
    score: str,
    slides: Mapping[str, float] | None = None,
    point: str = "a seed",
) -> None:
    """Draw a score per model: its seeds, their mean, and the slides' figure.

    Args:
        axes: to draw on.
        found: the result of `tables.fold`.
        score: name of the score.
        slides: figures of the slides, by model.
        point: label of the points, e.g. `a seed`.
    """
    for at, (name, figures) in enumerate(found.items()):
        values, mean = (
            figures["scores"][score]["values"],
            figures["scores"][score]["mean"],
        )
        colour = OURS if "sfm" in name else PLAIN
        axes.plot([at] * len(values), values, "o", color=colour, ms=5, alpha=0.6)
        axes.plot([at - 0.3, at + 0.3], [mean, mean], color=colour, lw=2.5)
        if slides and name in slides:
            axes.plot(at, slides[name], "x", color=SLIDES, ms=7)
    for style, colour, label in (("o", PLAIN, point), ("-", PLAIN, "mean"),
                                 ("x", SLIDES, "the slides")):  # fmt: skip
        if slides or style != "x":
            axes.plot([], [], style, color=colour, label=label)
    axes.set_xticks(range(len(found)), list(found), rotation=35, ha="right")
    axes.set_ylabel(score)
    axes.grid(axis="y", lw=0.4)
    axes.legend(fontsize="small")


def cut_above(axes: Axes, found: Mapping[str, Any], score: str) -> None:
    """Cut off models far above the others, where lower is better, and write their mean.

    Args:
        axes: after `side_by_side` has drawn on them.
        found: as given to `side_by_side`.
        score: as given to `side_by_side`.
    """
    means = [figures["scores"][score]["mean"] for figures in found.values()]
    top = FAR * median(means)
    for at, mean in enumerate(means):
        if mean > top:
            axes.set_ylim(top=top)
            axes.annotate(
                f"{mean:.1f}\n↑", (at, top), (0, -DROP), color=PLAIN,
                textcoords="offset points", ha="center", va="top",
            )  # fmt: skip


def histories(axes: Axes, results: Sequence[Result]) -> None:
    """Draw the validation score of every trial over its epochs."""
    from matplotlib import colormaps

    names = list(dict.fromkeys(result["model"] for result in results))
    colours = dict(zip(names, colormaps["tab20"](range(20)), strict=False))
    for result in results:
        name = result["model"]
        valid = [epoch["valid"] for epoch in result["history"]]
        first = result["seed"] == results[0]["seed"]
        axes.plot(range(1, len(valid) + 1), valid, color=colours[name], lw=1.0,
                  label=name if first else None)  # fmt: skip
    axes.locator_params("x", integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
