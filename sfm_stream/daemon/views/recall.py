"""Reads the history before a restart back from the records of the run.

So the page shows the points before the restart too. Values of ticks are taken from
scores; a tick whose forecasts are not scored yet has no value. Figures are not
restored: they count from the start of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream import sinks
from sfm_stream.daemon.views.history import ALL
from sfm_stream.daemon.views.watcher import PIECE

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.daemon.views.points import Shape
    from sfm_stream.daemon.views.watcher import Watcher
    from sfm_stream.sinks import Sink

MOST = 131_072
"""Most forecasts to read, so that a start takes at most a second longer."""
ORIGIN = ("stream", "target", "origin")

Columns: TypeAlias = Mapping[str, NDArray[Any]]


def show_before(
    watcher: Watcher,
    sink: Sink,
    folder: Path,
    names: tuple[str, ...],
    failed: Callable[[Exception], None],
) -> None:
    """Load the history before the start into a watcher, if it can be read.

    Args:
        watcher: a new watcher.
        sink: sink of the run's own records; it is flushed.
        folder: folder of these records.
        names: names of the streams, by number.
        failed: called with an error; the process then starts without this history.
    """
    try:
        sink.flush()
        recall(watcher, folder, names)
    except Exception as error:  # noqa: BLE001 noted; the process starts without it
        failed(error)


def recall(watcher: Watcher, folder: Path, names: tuple[str, ...]) -> None:
    """Load the history from records into a watcher.

    Args:
        watcher: a new watcher.
        folder: folder of the run's own records, all on disk.
        names: names of the streams, by number.

    Raises:
        SinkError: if the records cannot be read.
    """
    shape = watcher.shape
    width = len(shape.horizons)
    rows = min(MOST, ALL * width * len(shape.targets) * len(names)) // width * width
    forecasts = sinks.last(folder, "forecasts", rows)
    scores = sinks.last(folder, "scores", rows, [*ORIGIN, "naive"])
    if forecasts is None:
        return
    told = _columns(_with_values(forecasts, scores), shape, names)
    step = PIECE * width
    for begin in range(0, len(told["seq"]), step):
        piece = {name: column[begin : begin + step] for name, column in told.items()}
        watcher.recall(names, piece)


def _with_values(forecasts: pl.DataFrame, scores: pl.DataFrame | None) -> pl.DataFrame:
    """Add to forecasts the target's value at their origin; null where unknown."""
    import polars as pl

    if scores is None:
        return forecasts.with_columns(naive=pl.lit(None, pl.Float64))
    values = scores.unique(ORIGIN)
    return forecasts.join(values, on=ORIGIN, how="left", maintain_order="left")


def _columns(frame: pl.DataFrame, shape: Shape, names: tuple[str, ...]) -> Columns:
    """Give the rows of known streams as columns, as the engine gives forecasts."""
    import polars as pl

    known = frame.filter(pl.col("stream").is_in(list(names)))
    plain = ("seq", "origin", "time", "mean", "lower", "upper")
    found = {name: known[name].fill_null(np.nan).to_numpy() for name in plain}
    for name, texts in (("stream", names), ("target", shape.targets)):
        numbers = {text: number for number, text in enumerate(texts)}
        codes = known[name].cast(pl.String).replace_strict(numbers)
        found[name] = codes.to_numpy().astype(np.int64)
    weights = [known[f"weight_{expert}"].fill_null(np.nan) for expert in shape.experts]
    found["weights"] = np.stack([one.to_numpy() for one in weights], axis=-1)
    found["amplitude"] = _amplitudes(known, len(shape.periods))
    found["value"] = known["naive"].fill_null(np.nan).to_numpy()
    return found


def _amplitudes(frame: pl.DataFrame, count: int) -> NDArray[Any]:
    """Give the amplitudes [n, K]; 0 where unknown."""
    told = np.zeros((len(frame), count))
    if "amplitude" in frame.columns:
        stated = frame["amplitude"].is_not_null()
        told[stated.to_numpy()] = frame["amplitude"].filter(stated).to_numpy()
    return told
