"""Draws pictures of a memory: its amplitudes, windows, transform and frequencies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfm_stream.paper.analyses import expansion
from sfm_stream.paper.analyses.expansion import Floats, Trace
from sfm_stream.paper.output import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_STATES = 5
POINTS = 721
DECADES = 3.0
"""Range of the colours below the largest amplitude, in powers of ten."""
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SMALL = 1e-5
"""Below this many radians per tick a frequency is constant; float32 2π is off 2e-7."""


def amplitudes(seen: Mapping[str, Trace], name: str, out: Path) -> None:
    """Draw |S| [K, D] at T/4, T/2, 3T/4 and T, a row of pictures per model.

    States are in the order of their windows at the end, the shortest on the left. The
    colours are logarithmic, as the constant is often far above the rest.

    Args:
        seen: traces by model.
        name: of the files.
        out: their folder.
    """
    from matplotlib.colors import LogNorm

    figure, axes = figures.sheet(len(seen), 4, (12.0, 1.2 + 1.9 * len(seen)))
    for (model, trace), row in zip(seen.items(), axes, strict=True):
        ticks, order = quarters(len(trace.forget)), by_window(trace)
        shown = [np.abs(trace.memory[t][:, order]) for t in ticks]
        highest = max(part.max() for part in shown)
        lowest = highest * 10.0**-DECADES
        norm = LogNorm(lowest, highest)
        for at, (t, part) in enumerate(zip(ticks, shown, strict=True)):
            image = row[at].imshow(
                np.maximum(part, lowest), aspect="auto", cmap="magma", norm=norm,
                interpolation="nearest",
            )  # fmt: skip
            row[at].set_title(f"{model}, tick {t + 1}", loc="left", fontsize="medium")
            row[at].set_xlabel("state, by its window")
            _label_frequencies(row[at], trace if at == 0 else None)
        figure.colorbar(image, ax=list(row), label="amplitude")
    figures.save(figure, name, out)


def windows(seen: Mapping[str, Trace], name: str, out: Path) -> None:
    """Draw the share of each tick's input that is left at the end, and window lengths.

    Args:
        seen: traces by model.
        name: of the files.
        out: their folder.
    """
    figure, axes = figures.sheet(len(seen), 2, (12.0, 3.0 * len(seen)))
    for (model, trace), (left, right) in zip(seen.items(), axes, strict=True):
        last, order = len(trace.forget) - 1, by_window(trace)
        weights = expansion.window(trace, last)
        length = expansion.lengths(trace, last)
        for place in np.linspace(0, len(order) - 1, SHOWN_STATES).astype(int):
            d = order[place]
            left.plot(np.arange(1, last + 2), weights[:, 0, d],
                      label=f"{length[0, d]:.0f} ticks")  # fmt: skip
        left.set_title(f"{model}: what is left at the end, first frequency",
                       loc="left", fontsize="medium")  # fmt: skip
        left.set_xlabel("tick")
        left.set_ylabel("weight")
        left.legend(fontsize="small", title="effective\nwindow", loc="upper left",
                    bbox_to_anchor=(1, 1))  # fmt: skip
        image = right.imshow(length[:, order], aspect="auto", cmap="viridis",
                             norm="log", interpolation="nearest")  # fmt: skip
        right.set_title(f"{model}: effective windows", loc="left", fontsize="medium")
        right.set_xlabel("state, by its window")
        _label_frequencies(right, trace)
        bar = figure.colorbar(image, ax=right, label="ticks", format="%g", ticks=TICKS)
        bar.ax.minorticks_off()
    figures.save(figure, name, out)


def transform(seen: Trace, name: str, out: Path) -> None:
    """Draw one state's drive and its amplitudes, for fixed frequencies.

    The picture shows the state with the largest amplitude at the end.

    Args:
        seen: trace of SFM.
        name: of the files.
        out: their folder.
    """
    last = len(seen.forget) - 1
    amplitude = np.abs(seen.memory[last])
    d = int(amplitude.max(0).argmax())
    figure, axes = figures.sheet(2, 1, (9.0, 6.0))
    above, below = axes[:, 0]
    ticks = np.arange(1, last + 2)
    weight = expansion.window(seen, last)
    above.plot(ticks, seen.drive[:, d], color=figures.PLAIN, lw=1.0, label="drive")
    above.plot(ticks, weight[:, 0, d] * seen.drive[:, d], color=figures.OURS, lw=1.0,
               label="what is left of it at the end")  # fmt: skip
    above.set_title(f"state {d + 1}: what it was given", loc="left", fontsize="medium")
    above.set_xlabel("tick")
    above.legend(fontsize="small")
    omega = np.linspace(0.0, math.tau, POINTS)
    for k, at in enumerate(seen.omega[last]):
        (line,) = below.plot(
            omega, expansion.transform(seen, last, k, d, omega), lw=1.0
        )
        below.plot(at % math.tau, amplitude[k, d], "o", color=line.get_color(),
                   label=f"memory, {period(at)}")  # fmt: skip
    below.set_title("its Fourier transform through the window of each frequency",
                    loc="left", fontsize="medium")  # fmt: skip
    below.set_xlabel("frequency, radians per tick")
    below.set_ylabel("amplitude")
    below.set_yscale("log")
    below.legend(fontsize="small")
    figures.save(figure, name, out)


def frequencies(seen: Trace, x: Floats, name: str, out: Path) -> None:
    """Draw the frequencies of A-SFM over time, below the first input.

    Args:
        seen: trace of A-SFM.
        x: [T, N].
        name: of the files.
        out: their folder.
    """
    figure, axes = figures.sheet(2, 1, (9.0, 6.0))
    above, below = axes[:, 0]
    ticks = np.arange(1, len(x) + 1)
    above.plot(ticks, x[:, 0], color=figures.PLAIN, lw=1.0)
    above.set_title("first input", loc="left", fontsize="medium")
    for k in range(seen.omega.shape[1]):
        moved = seen.omega[:, k] - seen.rest[k]
        below.plot(ticks, moved, lw=1.0, label=period(seen.rest[k]))
    below.set_title("how far frequencies are from where they started in training",
                    loc="left", fontsize="medium")  # fmt: skip
    below.set_xlabel("tick")
    below.set_ylabel("radians per tick")
    below.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    for one in (above, below):
        one.margins(x=0)
    figures.save(figure, name, out)


def quarters(length: int) -> list[int]:
    """Give the ticks at T/4, T/2, 3T/4 and T, counted from 0."""
    return [max(length * part // 4, 1) - 1 for part in (1, 2, 3, 4)]


def by_window(seen: Trace) -> NDArray[np.int64]:
    """Give the states in the order of their windows at the end, the shortest first."""
    lengths = expansion.lengths(seen, len(seen.forget) - 1)
    return np.asarray(np.argsort(lengths.mean(0)), np.int64)


def period(omega: float) -> str:
    """Name a frequency by its period in ticks.

    A frequency above π equals one that turns the other way, which is marked by a minus.
    A frequency of 2π turns wholly at each tick and is constant.
    """
    turn = math.remainder(omega - SMALL, math.tau) + SMALL
    if abs(turn) < SMALL:
        return "constant"
    # Half a turn is the same both ways; the small step keeps its sign from rounding.
    return f"period {math.tau / turn:.3g}"


def _label_frequencies(axes: Axes, seen: Trace | None) -> None:
    """Label each row with its period of the grid, or with nothing without a trace."""
    if seen is None:
        axes.set_yticks([])
        return
    names = [period(omega) for omega in seen.rest]
    axes.set_yticks(range(len(names)), names, fontsize="small")
