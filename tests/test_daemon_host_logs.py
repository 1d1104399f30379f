from __future__ import annotations

import io
import json
import logging
import threading
import time
import warnings
from contextlib import contextmanager
from datetime import datetime
from errno import ENOSPC

import pytest

from sfm_stream.daemon.host.logs import BURST, LONGEST, TEXTS, WINDOW, logging_to

LOG = logging.getLogger("sfm_stream.daemon")


class Log:
    """What was written so far, and the clock it goes by."""

    def __init__(self):
        self.stream, self.seconds = io.StringIO(), 0.0

    def lines(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def events(self):
        return [line["event"] for line in self.lines()]


@contextmanager
def log(level=logging.INFO):
    found = Log()
    with logging_to(found.stream, level, lambda: found.seconds):
        yield found


def test_an_event_is_a_line_of_json():
    with log() as found:
        LOG.warning("sink is slow", extra={"sink": "ticks", "rows": 7, "share": 0.5})
        (line,) = found.lines()
    stamp = line.pop("time")
    assert stamp.endswith("Z")
    assert abs(datetime.fromisoformat(stamp).timestamp() - time.time()) < 60
    assert line == {
        "level": "warning", "event": "sink is slow", "logger": "sfm_stream.daemon",
        "sink": "ticks", "rows": 7, "share": 0.5,
    }  # fmt: skip


def test_a_warning_of_a_library_is_a_line_too():
    with warnings.catch_warnings(), log() as found:
        warnings.simplefilter("always")
        warnings.warn("overflow in add", RuntimeWarning, stacklevel=1)
    (line,) = found.lines()
    assert line["level"] == "warning"
    assert "RuntimeWarning: overflow in add" in line["event"]


def test_arguments_are_put_into_the_text():
    with log() as found:
        LOG.info("opened %s in %d ms", "wss://venue", 12)
    assert found.events() == ["opened wss://venue in 12 ms"]


def test_a_line_stays_one_line_whatever_it_says():
    with log() as found:
        LOG.info(
            'two\nlines, a "quote" and \x00', extra={"frame": b"\xff", "none": None}
        )
    assert found.stream.getvalue().count("\n") == 1
    assert found.events() == ['two\nlines, a "quote" and \x00']
    assert found.lines()[0]["frame"] == "b'\\xff'"
    assert found.lines()[0]["none"] is None


def test_an_extra_cannot_pass_for_the_event():
    with log() as found:
        LOG.info("true", extra={"event": "false", "level": "debug"})
    assert (found.lines()[0]["event"], found.lines()[0]["level"]) == ("true", "info")


def test_an_exception_is_told_with_its_trace():
    with log() as found:
        try:
            int("of a test")
        except ValueError:
            LOG.exception("failed")
    (line,) = found.lines()
    assert line["level"] == "error"
    assert line["trace"].startswith("Traceback")
    assert line["trace"].endswith("base 10: 'of a test'")


def test_long_values_are_cut():
    with log() as found:
        LOG.info(
            "x" * (LONGEST + 7), extra={"frame": "y" * LONGEST, "list": ["z"] * LONGEST}
        )
    (line,) = found.lines()
    assert line["event"] == "x" * LONGEST + "... (7 more)"
    assert line["frame"] == "y" * LONGEST
    assert line["list"].endswith(" more)")


def test_repeats_are_held_back_and_counted():
    with log() as found:
        for number in range(BURST + 3):
            LOG.warning("rejected %d", number)
        assert found.events() == [f"rejected {n}" for n in range(BURST)]
        found.seconds = WINDOW
        LOG.warning("rejected %d", 99)
        count, after = found.lines()[BURST:]
    assert (count["event"], count["suppressed"], count["level"]) == (
        "rejected %d",
        3,
        "warning",
    )
    assert after["event"] == "rejected 99"


def test_other_texts_and_loggers_are_not_held_back():
    with log() as found:
        for _ in range(BURST + 3):
            LOG.info("one")
        LOG.info("two")
        logging.getLogger("connectors.other").info("one")
        assert found.events()[BURST:] == ["two", "one"]


def test_a_count_is_told_by_the_next_line_of_any_text():
    with log() as found:
        for _ in range(BURST + 1):
            LOG.info("one")
        found.seconds = WINDOW + 1
        LOG.info("two")
        assert [line.get("suppressed") for line in found.lines()[BURST:]] == [1, None]


def test_a_count_is_told_at_the_end():
    with log() as found:
        for _ in range(BURST + 4):
            LOG.info("one")
    assert found.lines()[-1]["suppressed"] == 4


def test_nothing_is_counted_twice():
    with log() as found:
        for _ in range(BURST + 4):
            LOG.info("one")
        found.seconds = WINDOW
        LOG.info("two")
        found.seconds = 3 * WINDOW
        LOG.info("two")
    assert sum(line.get("suppressed", 0) for line in found.lines()) == 4


def test_texts_without_end_take_no_memory_without_end():
    with log() as found:
        for _ in range(BURST + 2):
            LOG.info("first")
        for number in range(TEXTS):
            LOG.info(f"text {number}")
        suppressed = [line for line in found.lines() if "suppressed" in line]
        assert [line["event"] for line in suppressed] == ["first"]
    assert len(found.lines()) == BURST + TEXTS + 1


def test_lines_below_the_level_are_not_written():
    with log(logging.WARNING) as found:
        LOG.info("quiet")
        LOG.warning("loud")
    assert found.events() == ["loud"]


def test_libraries_only_warn():
    with log() as found:
        logging.getLogger("websockets.server").info("connection open")
        logging.getLogger("websockets.server").error("handshake failed")
        logging.getLogger("connectors.live.feed").info("live")
    assert found.events() == ["handshake failed", "live"]


def test_the_logging_of_before_is_restored():
    root, ours = logging.getLogger(), logging.getLogger("sfm_stream")
    before = root.level, ours.level, list(root.handlers)
    with log() as found:
        assert ours.level == logging.INFO
    LOG.error("after")
    assert (root.level, ours.level, root.handlers) == before
    assert found.lines() == []


def test_threads_do_not_mix_their_lines():
    with log() as found:
        threads = [
            threading.Thread(
                target=lambda n=n: [LOG.info(f"{n} {i}") for i in range(99)]
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found.lines()) == 4 * 99


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_told_all_the_same(value):
    with log() as found:
        LOG.info("loss", extra={"loss": value})
    assert found.lines()[0]["loss"] is None


class Full(io.StringIO):
    """A place that takes nothing more."""

    def write(self, _):
        raise OSError(ENOSPC, "no space left on device")


def closed():
    place = io.StringIO()
    place.close()
    return place


@pytest.mark.parametrize("place", [Full(), closed(), None])
def test_a_log_that_takes_nothing_stops_nobody(place, monkeypatch):
    monkeypatch.setattr("sys.stderr", place)
    found = Log()
    with logging_to(place, elapsed=lambda: found.seconds):
        for _ in range(BURST + 1):
            LOG.warning("one")
        found.seconds = WINDOW
        for _ in range(BURST + 1):
            LOG.warning("one")


def test_repeats_are_those_of_one_connection():
    with log() as found:
        for number in range(BURST + 2):
            for whose in ("a", "b"):
                extra = {"connection": whose, "number": number}
                LOG.warning("connection: closed", extra=extra)
        found.seconds = WINDOW + 1
        LOG.info("later")
    told = [(line.get("connection"), line.get("suppressed")) for line in found.lines()]
    assert told == [
        *BURST * [("a", None), ("b", None)],
        ("a", 2),
        ("b", 2),
        (None, None),
    ]


def test_a_new_reason_is_told_however_often_others_were():
    with log() as found:
        for _ in range(BURST + 2):
            extra = {"connection": "a", "detail": "closed: 1006"}
            LOG.warning("connection: closed", extra=extra)
        extra["detail"] = "closed: 4999"
        LOG.warning("connection: closed", extra=extra)
        assert found.lines()[-1]["detail"] == "closed: 4999"
    assert found.lines()[-1]["detail"] == "closed: 1006"


def test_a_count_stands_before_the_next_line_with_no_later_time():
    with log() as found:
        for _ in range(BURST + 1):
            LOG.info("one")
        found.seconds = WINDOW + 1
        later = LOG.makeRecord(LOG.name, logging.INFO, "", 0, "two", (), None)
        later.created = 9.0
        LOG.handle(later)
    count, after = found.lines()[BURST:]
    assert (count["suppressed"], count["time"]) == (1, after["time"])


def test_a_path_that_is_no_text_is_logged_with_escapes():
    with log() as found:
        LOG.warning("a file", extra={"path": "runs/\udcff"})
    assert found.lines()[0]["path"] == r"runs/\udcff"
