from __future__ import annotations

import os
import threading

import pytest

from connectors.live.piped import descriptor
from connectors.live.piped.descriptor import Descriptor


@pytest.fixture
def ends():
    place, end = os.pipe()
    lost = []
    reader = Descriptor(place, lost.append)
    yield reader, end, lost
    reader.close()


def test_what_comes_together_is_given_together(ends):
    reader, end, _ = ends
    os.write(end, b"one\ntwo\nthr")
    os.close(end)
    assert list(reader.lots(10)) == [b"one\ntwo\nthr"]


def test_no_more_lines_are_waited_for_than_are_asked_for(ends, monkeypatch):
    reader, end, _ = ends
    monkeypatch.setattr(descriptor, "PIECE", len(b"one\n"))
    os.write(end, b"one\ntwo\nsix\n")
    os.close(end)
    assert next(reader.lots(2)) == b"one\ntwo\n"


def test_lines_in_short_succession_do_not_delay_the_first(ends):
    reader, end, _ = ends
    done = threading.Event()

    def write():
        for _ in range(900):
            os.write(end, b"a line\n")
            if done.wait(0.02):
                break
        os.close(end)

    writing = threading.Thread(target=write)
    writing.start()
    assert next(reader.lots(1_000)).startswith(b"a line\n")
    given_before_the_end = writing.is_alive()
    done.set()
    writing.join()
    assert given_before_the_end


def test_pieces_go_on_where_the_lots_left_off(ends):
    reader, end, _ = ends
    os.write(end, b"one\ntw")
    assert next(reader.lots(1)) == b"one\n"
    os.write(end, b"o\nthree")
    os.close(end)
    assert b"".join(reader.pieces()) == b"two\nthree"


def test_nothing_more_is_read_after_a_stop(ends):
    reader, end, _ = ends
    os.write(end, b"one\n")
    reader.stop()
    assert list(reader.pieces()) == []
    os.close(end)


def test_a_line_that_is_too_long_is_left_out_and_told(monkeypatch):
    monkeypatch.setattr(descriptor, "LONGEST", 10)
    monkeypatch.setattr(descriptor, "PIECE", 4)
    place, end = os.pipe()
    lost = []
    os.write(end, b"one\n" + b"x" * 20 + b"\ntwo\n")
    os.close(end)
    reader = Descriptor(place, lost.append)
    assert b"".join(reader.pieces()) == b"one\ntwo\n"
    assert lost == [b"x" * 10]
    reader.close()
