"""What the process before has said, read back from the records of its run.

So whoever looks after a restart sees what was before it. Values of ticks are those that
scores compared with; a tick whose forecasts are not settled has none yet. Figures are
not recalled: they are of this process.
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
"""Most forecasts that are read, so that a start takes a second longer at most."""
ORIGIN = ("stream", "target", "origin")

Columns: TypeAlias = Mapping[str, NDArray[Any]]


def show_before(
    watcher: Watcher,
    sink: Sink,
    folder: Path,
    names: tuple[str, ...],
    failed: Callable[[Exception], None],
) -> None:
    """Have a watcher show what was before the start, if it can be read.

    Args:
        watcher: has seen nothing yet.
        sink: of the run's own records; flushed.
        folder: of these.
        names: of the streams, by number.
        failed: told of an error: to live without that is better than not to live.
    """
    try:
        sink.flush()
        recall(watcher, folder, names)
    except Exception as error:  # noqa: BLE001 told of, and lived without
        failed(error)


def recall(watcher: Watcher, folder: Path, names: tuple[str, ...]) -> None:
    """Have a watcher show what records tell of the ticks before.

    Args:
        watcher: has seen nothing yet.
        folder: of the run's own records, all of them written.
        names: of the streams, by number.

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
    """Give forecasts with the target at their origin, null where it is unknown."""
    import polars as pl

    if scores is None:
        return forecasts.with_columns(naive=pl.lit(None, pl.Float64))
    values = scores.unique(ORIGIN)
    return forecasts.join(values, on=ORIGIN, how="left", maintain_order="left")


def _columns(frame: pl.DataFrame, shape: Shape, names: tuple[str, ...]) -> Columns:
    """Give the rows of streams that are known, as the engine gives forecasts."""
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
    """Give the amplitudes [n, K]; 0 where none are stated."""
    told = np.zeros((len(frame), count))
    if "amplitude" in frame.columns:
        stated = frame["amplitude"].is_not_null()
        told[stated.to_numpy()] = frame["amplitude"].filter(stated).to_numpy()
    return told
