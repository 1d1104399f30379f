"""The daemon's log: one JSON object per line, repeats held back.

    {"time": "2026-11-24T10:30:00.123456Z", "level": "info", "event": "live", ...}

Each call gives a constant text, and its values as `extra`; the same text is a repeat,
unless it is of another `connection` or has another `detail`.
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
"""Characters of a value; what is cut off is counted."""
OURS = ("sfm_stream", "connectors")
BURST, WINDOW = 5, 10.0
"""Lines of the same text in so many seconds; those beyond are counted."""
APART = ("connection", "detail")
"""Values by which lines of one text are told apart."""
TEXTS = 1_024
"""Texts whose repeats are told apart."""
PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

Text: TypeAlias = tuple[str, str, str, str]


@contextmanager
def logging_to(
    stream: TextIO,
    level: int = logging.INFO,
    elapsed: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Have all logs and warnings written to a stream as long as this lasts.

    Args:
        stream: e.g. standard error.
        level: below which we log nothing; libraries only warn.
        elapsed: gives seconds that never run backwards.
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
    """Lines of one text since a moment."""

    def __init__(self, since: float, level: str) -> None:
        self.since, self.level = since, level
        self.lines = 0

    @property
    def suppressed(self) -> int:
        return max(self.lines - BURST, 0)


class Lines(logging.StreamHandler[TextIO]):
    """Writes records as lines of JSON, and counts what is said too often.

    The count follows as a line of its own, with the next line after the window or at
    the end.

    Args:
        stream: written to.
        elapsed: gives seconds that never run backwards.
    """

    def __init__(self, stream: TextIO, elapsed: Callable[[], float]) -> None:
        super().__init__(stream)
        self._elapsed = elapsed
        self._windows: OrderedDict[Text, _Window] = OrderedDict()

    def format(self, record: logging.LogRecord) -> str:
        """Give a record as JSON."""
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
        """Write a record, unless its text was said too often of late."""
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
        """Tell standard error of a line that could not be written, if that is open."""
        with suppress(ValueError):
            super().handleError(record)

    def close(self) -> None:
        """Tell what was suppressed, and end."""
        self.acquire()
        try:
            self._tell_suppressed(float("inf"), time.time())
        finally:
            self.release()
        super().close()

    def _tell_suppressed(self, until: float, moment: float) -> None:
        """End the windows that began by then; the oldest stands first."""
        while self._windows and next(iter(self._windows.values())).since <= until:
            self._forget_oldest(moment)

    def _forget_oldest(self, moment: float) -> None:
        """End a window; a count has the moment of the line that it stands before."""
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
    """Cut what is long; numbers and short texts stay what they are.

    Bytes that are no UTF-8, as in a file's name, are written as escapes.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value).encode(errors="backslashreplace").decode()
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}... ({len(text) - LONGEST} more)"
