"""Draws pictures of a run or of a comparison from its records.

It uses matplotlib, which is the extra `plot` and is loaded only when needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream import sinks
from sfm_stream.cell.frequencies import period
from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.storage import atomic, run_folder

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sfm_stream.events import Floats

Times: TypeAlias = NDArray[np.datetime64]
KINDS = (".png", ".svg", ".pdf")
SIZE, DOTS = (10.0, 7.0), 150
POINTS, COLUMNS = 2_000, 600
SHOWN_TICKS = 300


class Series(NamedTuple):
    """The stream, target and horizon of a picture."""

    stream: str
    target: str
    horizon: str

    def __str__(self) -> str:
        return f"{self.target} of {self.stream}, {self.horizon} ahead"


def expect(path: Path) -> None:
    """Check that a picture can be drawn, before the work for it begins.

    Raises:
        ConfigError: if the file's ending is unknown, or matplotlib is absent.
    """
    if path.suffix not in KINDS:
        problem = f"expected a file ending in {', '.join(KINDS)}, was {str(path)!r}"
        raise ConfigError("--plot", problem)
    try:
        import matplotlib as mpl  # noqa: F401 only to check that it is installed
    except ImportError as e:
        hint = "install it: pip install 'sfm-stream[plot]'"
        raise ConfigError("--plot", "matplotlib is absent", hint) from e


def draw_run(folder: Path, path: Path) -> None:
    """Draw the last forecasts of a run with the truth, and its spectrogram.

    Args:
        folder: of the run.
        path: of the picture.

    Raises:
        SinkError: if records cannot be read, or the picture cannot be written.
    """
    _save(run_figure(folder), path)


def run_figure(folder: Path) -> Figure:
    """Draw the picture of `draw_run` as a figure of matplotlib.

    Raises:
        SinkError: if records cannot be read.
    """
    run = run_folder.load(folder)
    series = Series(
        _stream(run.records), run.info["targets"][0], run.info["horizons"][0]
    )
    figure, (above, below) = _sheet()
    _draw_forecasts(above, run.records, series)
    _draw_spectrogram(below, run.records, series, run.info["frequencies"])
    return figure


def draw_comparison(
    folder: Path, names: Sequence[str], frequencies: Sequence[float], path: Path
) -> None:
    """Draw the cumulative error of each model, and the spectrogram of our model.

    Args:
        folder: of the comparison, with the records of each model.
        names: of the models, in the order of drawing: the last one is on top.
        frequencies: of our cell, radians per tick.
        path: of the picture.

    Raises:
        SinkError: if records cannot be read, or the picture cannot be written.
    """
    from matplotlib import colormaps

    figure, (above, below) = _sheet()
    series = Series(_stream(folder / names[0]), *_first(folder / names[0]))
    above.set_prop_cycle(color=colormaps["tab20"](range(20)))
    for name in names:
        scores = _scores(folder / name, series)
        _draw_cumulative(above, scores, name)
    above.set_title(str(series), loc="left")
    above.set_ylabel("squared error so far,\nshare of the last value's")
    above.set_ylim(0, 1.5)
    above.margins(x=0)
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    cells = [name for name in names if _has_amplitudes(folder / name)]
    if cells:
        _draw_spectrogram(below, folder / cells[0], series, frequencies)
    else:
        below.set_axis_off()
    _save(figure, path)


def _sheet() -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DOTS, layout="constrained")
    axes: Sequence[Axes] = figure.subplots(2, 1)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e


def longest(scores: pl.DataFrame) -> str:
    """Name the stream with the most scores; of equal ones, the first to be scored."""
    counts = scores.group_by("stream", maintain_order=True).len()
    ranked = counts.sort("len", descending=True, maintain_order=True)
    return str(ranked["stream"][0])


def _stream(folder: Path) -> str:
    """Name the longest stream of a folder of records."""
    scores = sinks.whole(folder, "scores", ["stream"])
    if scores is None or not len(scores):
        raise _none(folder, "scores")
    return longest(scores)


def _first(folder: Path) -> tuple[str, str]:
    """Give the target and horizon of the first score."""
    for part in sinks.read(folder, "scores", ["target", "horizon"]):
        for target, horizon in part.rows():
            return str(target), str(horizon)
    raise _none(folder, "scores")


def _none(folder: Path, kind: str) -> SinkError:
    return SinkError(str(folder), f"expected {kind}, was none", "let it run longer")


def _chosen(
    folder: Path, kind: str, columns: Sequence[str], series: Series
) -> pl.DataFrame:
    """Give the rows of one stream, target and horizon."""
    import polars as pl

    here = [pl.col(n).cast(pl.String) == v for n, v in series._asdict().items()]
    found = [
        part.filter(*here).drop(Series._fields)
        for part in sinks.read(folder, kind, [*Series._fields, *columns])
    ]
    if not found:
        raise _none(folder, kind)
    return pl.concat(found)


def _scores(folder: Path, series: Series) -> pl.DataFrame:
    columns = ("time", "truth", "mean", "naive")
    return _chosen(folder, "scores", columns, series)


def _times(ns: pl.Series) -> Times:
    return ns.to_numpy().astype("datetime64[ns]")


@np.errstate(over="ignore", invalid="ignore")
def _draw_cumulative(axes: Axes, scores: pl.DataFrame, name: str) -> None:
    truth = scores["truth"].to_numpy()
    naive = float(np.square(truth - scores["naive"].to_numpy()).sum())
    error = np.cumsum(np.square(truth - scores["mean"].to_numpy())) / (naive or 1.0)
    step = max(1, len(error) // POINTS)
    width = 2.0 if name == "sfm" else 1.0
    axes.plot(_times(scores["time"])[::step], error[::step], label=name, lw=width)


def _draw_forecasts(axes: Axes, records: Path, series: Series) -> None:
    """Draw the last truths with their forecasts and intervals."""
    bounds = _chosen(records, "forecasts", ("origin", "lower", "upper"), series)
    scores = _chosen(records, "scores", ("origin", "time", "truth", "mean"), series)
    last = scores.tail(SHOWN_TICKS).join(bounds, on="origin", maintain_order="left")
    time = _times(last["time"])
    lower, upper = (last[name].cast(float).to_numpy() for name in ("lower", "upper"))
    axes.fill_between(time, lower, upper, alpha=0.25, lw=0, label="interval")
    axes.plot(time, last["truth"].to_numpy(), "k.", ms=3, label="truth")
    axes.plot(time, last["mean"].to_numpy(), lw=1.2, label="forecast")
    axes.set_title(f"{series}, the last {len(last)} truths", loc="left")
    axes.legend(loc="upper left", ncols=3, fontsize="small")


def _has_amplitudes(folder: Path) -> bool:
    return next(folder.glob("forecasts-*.parquet"), None) is not None


def _draw_spectrogram(
    axes: Axes, records: Path, series: Series, frequencies: Sequence[float]
) -> None:
    """Draw the amplitude by time and frequency, the slowest at the bottom."""
    time, amplitude = amplitudes(records, series.stream, series.target)
    order = np.argsort(frequencies)
    image = axes.imshow(
        amplitude[:, order].T, aspect="auto", origin="lower", cmap="magma",
        interpolation="nearest", extent=(0, 1, -0.5, len(order) - 0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(order)), [period_text(frequencies[i]) for i in order])
    axes.set_ylabel("period, ticks")
    places = np.linspace(0, len(time) - 1, 6).astype(int)
    days = [str(time[i].astype("datetime64[s]")).replace("T", "\n") for i in places]
    axes.set_xticks(np.linspace(0, 1, 6), days, fontsize="small")
    axes.figure.colorbar(image, ax=axes, label="amplitude")


def period_text(omega: float) -> str:
    """Write the period of a frequency (radians per tick) in ticks."""
    ticks = period(omega)
    return "constant" if ticks is None else f"{ticks:.4g}"


def amplitudes(records: Path, stream: str, target: str) -> tuple[Times, Floats]:
    """Give times and mean amplitudes [n, K] of at most `COLUMNS` stretches."""
    import polars as pl

    times, rows = [], []
    columns = ["time", "stream", "target", "amplitude"]
    for part in sinks.read(records, "forecasts", columns):
        stated = part.filter(
            pl.col("amplitude").is_not_null(),
            pl.col("stream").cast(pl.String) == stream,
            pl.col("target") == target,
        )
        times.append(stated["time"].to_numpy())
        rows.append(stated["amplitude"].to_numpy())
    if not sum(map(len, times)):
        raise SinkError(str(records), "expected amplitudes, was none")
    time, amplitude = np.concatenate(times), np.concatenate(rows)
    count = min(COLUMNS, len(time))
    starts = np.arange(count) * len(time) // count
    sums = np.add.reduceat(amplitude.astype(np.float64), starts)
    counts = np.diff(starts, append=len(time))
    return time[starts].astype("datetime64[ns]"), sums / counts[:, None]
