"""The parts of a run's records on disk: names, reading and writing of the files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfm_stream.errors import SinkError
from sfm_stream.sinks.parquet import growing
from sfm_stream.sinks.parquet.frames import as_frame
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    import polars as pl

SUFFIX = ".parquet"
PART_NAME = re.compile(r"([a-z]+)-(\d{6,})(\.parquet|\.log|\.parquet\.tmp)")
WHOLE = (SUFFIX, growing.SUFFIX)


def read(
    folder: Path, kind: str, columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the parts of a kind in order, one at a time.

    Args:
        folder: folder of a `ParquetSink`.
        kind: a key of `KINDS`, e.g. `scores`.
        columns: names of the columns to read; None for all.

    Raises:
        SinkError: if the folder or a part is missing or cannot be read.
    """
    if not folder.is_dir():
        raise SinkError(str(folder), "expected a folder of records, was none")
    wanted = None if columns is None else list(columns)
    for number in complete(folder, kind):
        yield from load(folder, kind, number, wanted)


def whole(
    folder: Path, kind: str, columns: Sequence[str] | None = None
) -> pl.DataFrame | None:
    """Read all parts of a kind as one table; None if there are no rows."""
    import polars as pl

    found = list(read(folder, kind, columns))
    return pl.concat(found) if found else None


def last(
    folder: Path, kind: str, rows: int, columns: Sequence[str] | None = None
) -> pl.DataFrame | None:
    """Give the latest rows of a kind; None if there are none.

    Args:
        folder: folder of a `ParquetSink`.
        kind: a key of `KINDS`, e.g. `scores`.
        rows: most rows to give.
        columns: names of the columns to read; None for all.

    Raises:
        SinkError: if the folder or a part is missing or cannot be read.
    """
    import polars as pl

    wanted = None if columns is None else list(columns)
    found: list[pl.DataFrame] = []
    for number in reversed(complete(folder, kind)):
        found = [*load(folder, kind, number, wanted), *found]
        if sum(map(len, found)) >= rows:
            break
    return pl.concat(found, how="diagonal_relaxed").tail(rows) if found else None


def files(folder: Path) -> dict[Path, tuple[str, int, str]]:
    """Give the kind, number and suffix of each file of a part."""
    names = ((path, PART_NAME.fullmatch(path.name)) for path in folder.iterdir())
    return {p: (m[1], int(m[2]), m[3]) for p, m in names if m}


def complete(folder: Path, kind: str) -> list[int]:
    """List the numbers of a kind's parts in order.

    Raises:
        SinkError: if a part is missing.
    """
    there = files(folder).values()
    found = {n for k, n, suffix in there if k == kind and suffix in WHOLE}
    for number in range(len(found)):
        if number not in found:
            path = folder / name_of(kind, number)
            raise SinkError(str(path), "expected a part, was none", growing.REPAIR)
    return sorted(found)


def cut(folder: Path, keep: Mapping[str, int]) -> None:
    """Remove the parts of each kind from a number on; all parts of other kinds."""
    for path, (kind, number, suffix) in files(folder).items():
        if suffix not in WHOLE or number >= keep.get(kind, 0):
            path.unlink()


def load(
    folder: Path, kind: str, number: int, columns: list[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a part: first of its Parquet file, then of its log.

    Raises:
        SinkError: if either file is damaged or cannot be read.
    """
    path = folder / name_of(kind, number)
    try:
        grown = growing.load(log_name(folder, kind, number))
        found = [_read_file(path, columns)] if path.exists() else []
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e
    yield from found
    if grown is not None and grown.after == sum(map(len, found)):
        for block in grown.blocks:
            frame = as_frame(kind, block.columns[kind], block.tables)
            yield frame if columns is None else frame.select(columns)


def _read_file(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file.

    Raises:
        SinkError: if it is damaged.
        OSError: if the system refuses; then the file may be undamaged.
    """
    import polars as pl

    try:
        return pl.read_parquet(path, columns=columns)
    except pl.exceptions.PolarsError as e:
        raise SinkError(str(path), f"cannot be read: {e}", growing.REPAIR) from e


def height(path: Path) -> int:
    """Give the number of rows of a Parquet file; 0 if it does not exist.

    Raises:
        SinkError: if it is damaged.
        OSError: if the system refuses.
    """
    return len(_read_file(path, ["seq"])) if path.exists() else 0


def store(path: Path, frames: Sequence[pl.DataFrame]) -> None:
    """Write a Parquet file atomically.

    Raises:
        SinkError: if the disk is full or refuses; the file is unchanged.
    """
    import polars as pl

    # a part begun by an earlier version lacks newer columns
    whole = pl.concat(frames, how="diagonal").rechunk()
    content = io.BytesIO()
    # zstd would save a sixth of the bytes but take twice the time
    whole.write_parquet(content, compression="lz4")
    try:
        atomic.write(path, content.getbuffer())
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e


def name_of(kind: str, number: int) -> str:
    """Give the name of a part's Parquet file."""
    return f"{kind}-{number:06d}{SUFFIX}"


def log_name(folder: Path, kind: str, number: int) -> Path:
    """Give the path of the log of a part."""
    return folder / f"{kind}-{number:06d}{growing.SUFFIX}"
