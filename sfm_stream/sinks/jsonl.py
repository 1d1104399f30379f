"""Records as lines of JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sfm_stream.errors import SinkError
from sfm_stream.sinks.contract import NOT_RESUMED
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    from sfm_stream.records import Records


class JsonlSink:
    """Writes one JSON object per record and line, as they were said.

    Args:
        path: the file.
        position: where a checkpoint left it; absent for a new run.

    Raises:
        SinkError: if the file cannot be written, is shorter than the position, or
            holds the records of another run.
    """

    def __init__(self, path: Path, position: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, flags, 0o644)
            size = os.fstat(self._handle).st_size
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e
        self._bytes = size if position is None else int(position.get("bytes", 0))
        try:
            self._expect(size, position is None)
            os.ftruncate(self._handle, self._bytes)
        except SinkError:
            os.close(self._handle)
            raise

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if they could not be written; then none of them was.
        """
        lines = self._encoder.encode_lines(records.rows())
        try:
            atomic.append(self._handle, lines)
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e
        self._bytes += len(lines)

    def flush(self) -> None:
        """Wait until all lines are on disk.

        Raises:
            SinkError: if the disk refuses.
        """
        try:
            os.fsync(self._handle)
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e

    def position(self) -> dict[str, Any]:
        """Say how many bytes were written."""
        return {"bytes": self._bytes}

    def close(self) -> None:
        """Flush and close the file.

        Raises:
            SinkError: if the disk refuses.
        """
        try:
            self.flush()
        finally:
            os.close(self._handle)

    def _expect(self, size: int, new: bool) -> None:
        """Refuse the lines of another run, and a file that lost some."""
        if new and size:
            raise SinkError(str(self._path), "holds records already", NOT_RESUMED)
        if size < self._bytes:
            problem = f"expected at least {self._bytes} bytes, was {size}"
            raise SinkError(str(self._path), problem, "start a new run")
