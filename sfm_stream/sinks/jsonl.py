"""The sink that writes records as lines of JSON."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sfm_stream.errors import HoldsRecords, RecordsLost, SinkError
from sfm_stream.sinks.contract import ANEW, NOT_RESUMED
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    from sfm_stream.records import Records


log = logging.getLogger(__name__)

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
HEAD = 256
"""First bytes that identify a file: records hold the number of their event."""


class JsonlSink:
    """Writes one JSON object per record and line, in the order of the records.

    If the file is moved away, it is left alone, and a new file is begun at the path.

    Args:
        path: the file.
        position: the sink's position in a checkpoint; None for a new run.

    Raises:
        SinkError: if the file cannot be written, or holds the records of another run.
        RecordsLost: if the file is gone, shorter than the position, or another file.
    """

    def __init__(self, path: Path, position: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        self._head = b""
        if position and position.get("bytes") and not path.exists():
            problem = f"expected {position['bytes']} bytes of records, was no file"
            raise RecordsLost(str(path), problem, ANEW)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e
        try:
            self._expect(position)
            self._bytes = int((position or {}).get("bytes", 0))
            self._head = self._head[: self._bytes]
            os.ftruncate(self._handle, self._bytes)
        except SinkError:
            os.close(self._handle)
            raise
        except OSError as e:
            os.close(self._handle)
            raise SinkError(str(path), *atomic.explain(e)) from e

    def write(self, records: Records) -> None:
        """Write records, in order.

        Raises:
            SinkError: if they could not be written; then no record was written.
            RecordsLost: if the file was removed; a new file is begun.
        """
        self._keep_place()
        lines = self._encoder.encode_lines(records.rows())
        try:
            atomic.append(self._handle, lines)
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e
        self._bytes += len(lines)
        self._head += lines[: HEAD - len(self._head)]

    def flush(self) -> None:
        """Wait until all lines are on disk.

        Raises:
            SinkError: if the disk refuses.
            RecordsLost: if the file was removed; a new file is begun.
        """
        self._keep_place()
        try:
            os.fsync(self._handle)
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e

    def position(self) -> dict[str, Any]:
        """Give the number of bytes written, and a checksum of the first ones."""
        return {"bytes": self._bytes, "head": zlib.crc32(self._head)}

    def close(self) -> None:
        """Flush and close the file.

        Raises:
            SinkError: if the disk refuses.
        """
        try:
            self.flush()
        finally:
            os.close(self._handle)

    def _open(self) -> None:
        """Open or create the file; its content counts as written."""
        self._handle = os.open(self._path, FLAGS, 0o644)
        found = os.fstat(self._handle)
        self._identity = found.st_dev, found.st_ino
        self._bytes = found.st_size
        self._head = os.pread(self._handle, HEAD, 0)

    def _expect(self, position: Mapping[str, Any] | None) -> None:
        """Refuse the file of another run, and a file that lost lines."""
        size, path = self._bytes, str(self._path)
        if position is None:
            if size:
                raise HoldsRecords(path, "holds records already", NOT_RESUMED)
            return
        expected, head = position.get("bytes", 0), position.get("head")
        if size < expected:
            problem = f"expected at least {expected} bytes of records, was {size}"
            raise RecordsLost(path, problem, ANEW)
        if head not in {None, zlib.crc32(self._head[:expected])}:
            raise RecordsLost(path, "expected its own file, was another", ANEW)

    def _keep_place(self) -> None:
        """Begin a new file if the path no longer names the open one."""
        try:
            if atomic.identity(self._path) == self._identity:
                return
            before, size = self._handle, self._bytes
            self._open()
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e
        removed = not os.fstat(before).st_nlink
        os.close(before)
        if removed:
            problem = f"expected its own file, was removed with {size} bytes"
            raise RecordsLost(str(self._path), problem, "a new one is begun")
        extra = {"path": str(self._path), "bytes": size}
        log.warning("a file of records was moved: a new one is begun", extra=extra)
