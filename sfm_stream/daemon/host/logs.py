"""The daemon's log: one JSON object per line; repeats are suppressed.

    {"time": "2026-11-24T10:30:00.123456Z", "level": "info", "event": "live", ...}

Each call gives a constant text, and its values as `extra`. The same text is a repeat,
unless its `connection` or `detail` differs.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO, TypeAlias

import msgspec

LONGEST = 2_000
"""Most characters of a value; a longer one is cut, with the number of the rest."""
OURS = ("sfm_stream", "connectors")
BURST, WINDOW = 5, 10.0
"""Most lines with the same text, in a window of seconds; further ones are counted."""
APART = ("connection", "detail")
"""Values that distinguish lines with the same text."""
TEXTS = 1_024
"""Most texts whose repeats are counted at the same time."""
PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

Text: TypeAlias = tuple[str, str, str, str]


@contextmanager
def logging_to(
    stream: TextIO,
    level: int = logging.INFO,
    elapsed: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Write all logs and warnings to a stream within a `with` block.

    Args:
        stream: e.g. standard error.
        level: least level of our own logs; libraries log only warnings and errors.
        elapsed: gives the seconds of a monotonic clock.
    """
    root, lines = logging.getLogger(), Lines(stream, elapsed)
    before = {name: logging.getLogger(name).level for name in OURS}
    root.addHandler(lines)
    logging.captureWarnings(True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for name, was in before.items():
            logging.getLogger(name).setLevel(was)
        root.removeHandler(lines)
        lines.close()


class _Window:
    """A time window: counts the lines with one text."""

    def __init__(self, since: float, level: str) -> None:
        self.since, self.level = since, level
        self.lines = 0

    @property
    def suppressed(self) -> int:
        return max(self.lines - BURST, 0)


class Lines(logging.StreamHandler[TextIO]):
    """Writes log records as lines of JSON, and suppresses frequent repeats.

    The number of suppressed lines is a line of its own, before the next line after the
    window or at the end.

    Args:
        stream: the stream to write to.
        elapsed: gives the seconds of a monotonic clock.
    """

    def __init__(self, stream: TextIO, elapsed: Callable[[], float]) -> None:
        super().__init__(stream)
        self._elapsed = elapsed
        self._windows: OrderedDict[Text, _Window] = OrderedDict()

    def format(self, record: logging.LogRecord) -> str:
        """Turn a log record into JSON."""
        line = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        extras = {k: v for k, v in record.__dict__.items() if k not in PLAIN}
        line |= {name: value for name, value in extras.items() if name not in line}
        if record.exc_info:
            line["trace"] = logging.Formatter().formatException(record.exc_info)
        return _json({name: _cut(value) for name, value in line.items()})

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record, unless its text was repeated too often in the window."""
        now = self._elapsed()
        self._tell_suppressed(now - WINDOW, record.created)
        whose, why = (str(getattr(record, key, "")) for key in APART)
        text = (record.name, str(record.msg), whose, why)
        window = self._windows.get(text)
        if window is None:
            if len(self._windows) == TEXTS:
                self._forget_oldest(record.created)
            window = self._windows[text] = _Window(now, record.levelname)
        window.lines += 1
        if window.lines <= BURST:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 its name
        """Report a line that could not be written on standard error, if it is open."""
        with suppress(ValueError):
            super().handleError(record)

    def close(self) -> None:
        """Write the numbers of suppressed lines, and close."""
        self.acquire()
        try:
            self._tell_suppressed(float("inf"), time.time())
        finally:
            self.release()
        super().close()

    def _tell_suppressed(self, until: float, moment: float) -> None:
        """End the windows that began before a time; the dict holds the oldest first."""
        while self._windows and next(iter(self._windows.values())).since <= until:
            self._forget_oldest(moment)

    def _forget_oldest(self, moment: float) -> None:
        """End the oldest window; its count has the time of the line that follows it."""
        (name, text, *apart), window = self._windows.popitem(last=False)
        if window.suppressed:
            told: dict[str, object] = {
                "name": name,
                "levelname": window.level,
                "msg": text,
                "created": moment,
                "suppressed": window.suppressed,
                **{key: said for key, said in zip(APART, apart, strict=True) if said},
            }
            super().emit(logging.makeLogRecord(told))


def _stamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _json(line: dict[str, object]) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()


def _cut(value: object) -> object:
    """Cut long values; numbers and short texts are not changed.

    Bytes that are no UTF-8, as in a file's name, are written as escapes.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value).encode(errors="backslashreplace").decode()
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}... ({len(text) - LONGEST} more)"
