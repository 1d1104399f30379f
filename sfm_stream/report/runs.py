"""Reads a run in Python: its figures, its records as data frames, its pictures."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream import sinks
from sfm_stream.errors import ConfigError
from sfm_stream.report import charts, run_report
from sfm_stream.report.run_report import content
from sfm_stream.running import metrics
from sfm_stream.storage import run_folder

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

RUNS = Path("runs")
FIGURES = {"skill": "skill", **metrics.OVER_STREAMS, "mae": "MAE",
           "coverage": "coverage"}  # fmt: skip
SPARK_POINTS, SPARK_WIDTH, SPARK_HEIGHT = 200, 600.0, 80.0


class Run:
    """A run of a replay or a daemon, read from its folder.

    Args:
        folder: of the run.

    Attributes:
        folder: of the run.

    Raises:
        ConfigError: if the folder holds no run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = run_folder.load(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Load the run of a folder.

        Raises:
            ConfigError: if the folder holds no run.
        """
        return cls(Path(folder))

    @classmethod
    def last(cls, runs: str | Path = RUNS) -> Run:
        """Load the run that began last.

        Args:
            runs: folder of runs, as `sfm-stream replay` fills it.

        Raises:
            ConfigError: if the folder holds no run.
        """
        found = sorted(
            Path(runs).glob(f"*/{run_folder.INFO}"), key=lambda p: p.stat().st_mtime
        )
        if not found:
            problem, hint = "expected runs, was none", "make one: sfm-stream replay"
            raise ConfigError(str(runs), problem, hint)
        return cls(found[-1].parent)

    @property
    def summary(self) -> dict[str, Any]:
        """Figures of the run; empty until the run has ended."""
        return content.summary(self._run)

    def scores(self) -> pl.LazyFrame:
        """Give all scores: truth, mean, last value, coverage of the interval.

        Without scores the table has no rows.
        """
        return self._frame("scores")

    def forecasts(self) -> pl.LazyFrame:
        """Give all forecasts: mean, bounds, weights, amplitudes."""
        return self._frame("forecasts")

    def plot(self) -> Figure:
        """Draw the last forecasts and the spectrogram with matplotlib."""
        return charts.run_figure(self.folder)

    def report(self, out: str | Path | None = None) -> Path:
        """Write the report, one HTML file; see `sfm-stream report`."""
        return run_report.write(self._run, None if out is None else Path(out))

    def _frame(self, kind: str) -> pl.LazyFrame:
        found = sinks.whole(self._run.records, kind)
        return (self._nothing(kind) if found is None else found).lazy()

    def _nothing(self, kind: str) -> pl.DataFrame:
        """Give a table without rows for a kind of which there are no records."""
        info, levels = self._run.info, self._run.config.forecast.levels
        names = {name: tuple(info[f"{name}s"]) for name in ("target", "horizon")}
        tables = {"stream": (), "experts": tuple(info["experts"]), **names}
        widths = {
            "weights": len(info["experts"]),
            "amplitude": len(info["frequencies"]),
            "quantiles": 2 * len(levels),
        }
        return sinks.nothing(kind, tables, widths)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """Give a table of figures and a small picture, for notebooks."""
        horizons = self.summary.get("horizons", {})
        there = [n for n in FIGURES if any(n in one for one in horizons.values())]
        rows = "".join(
            f"<tr><td>{escape(horizon)}</td>"
            f"{''.join(f'<td>{_shown(one.get(n))}</td>' for n in there)}</tr>"
            for horizon, one in horizons.items()
        )
        names = ("ahead", *(FIGURES[n] for n in there))
        head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
        return (
            f"<b>{escape(str(self.folder))}</b><table>{head}{rows}</table>"
            f"{_sparkline(self.scores())}"
        )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _sparkline(scores: pl.LazyFrame) -> str:
    """Draw the last truths and forecasts of the first series as SVG, and name it."""
    import polars as pl

    of = charts.Series._fields
    last = (
        scores.filter(*(pl.col(n) == pl.col(n).first() for n in of))
        .select(*of, "truth", "mean")
        .tail(SPARK_POINTS)
        .collect()
    )
    values = last.select("truth", "mean").to_numpy()
    if len(values) <= 1:
        return ""
    series = charts.Series(*map(str, last.select(of).row(0)))
    low, high = float(np.min(values)), float(np.max(values))
    across = np.linspace(0, SPARK_WIDTH, len(values))
    down = SPARK_HEIGHT * (1 - (values - low) / ((high - low) or 1.0))
    paths = (
        f'<polyline fill="none" stroke="{colour}" points="'
        + " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, column, strict=True))
        + '"/>'
        for colour, column in zip(("currentColor", "#0969da"), down.T, strict=True)
    )
    return (
        f'<svg viewBox="0 0 {SPARK_WIDTH:.0f} {SPARK_HEIGHT:.0f}" width="100%" '
        f'role="img" aria-label="the last truths and forecasts">{"".join(paths)}</svg>'
        f"<small>{escape(str(series))}</small>"
    )
