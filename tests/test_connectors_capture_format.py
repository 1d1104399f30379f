from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.capture import format as recording
from connectors.capture.format import (
    Kind,
    Line,
    label,
    mark,
    parse,
    read,
    received,
    stamp,
)
from sfm_stream.errors import FeedError
from sfm_stream.events import Gap

NOW = 1_723_161_255_030_314_667


@given(frame=st.binary(max_size=200), time=st.integers(0, 2**63 - 1))
def test_every_frame_is_read_back_exactly(frame, time):
    line = received(frame, time)
    assert line.endswith(b"\n")
    assert len(line.splitlines()) == 1
    assert parse(line[:-1]) == Line(Kind.FRAME, "", time, frame)


@pytest.mark.parametrize("frame", [b'{\n"a": 1}', b"\r", b"x\n", b"", b"\xff\x00\n"])
def test_frames_that_would_break_a_line_are_encoded(frame):
    assert received(frame, NOW).startswith(b"%d* " % NOW)
    assert parse(received(frame, NOW)[:-1]).body == frame


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.OPENED, b""), (Kind.SWITCHED, b""), (Kind.SENT, b'{"op":"subscribe"}'),
        (Kind.CLOSED, b"closed by the venue: 1001 going away"),
    ],
)  # fmt: skip
def test_marks_are_read_back(kind, body):
    line = mark(kind, "wss://host/path#2", NOW, body)
    assert parse(line[:-1]) == Line(kind, "wss://host/path#2", NOW, body)


def test_a_gap_is_read_back():
    gap = Gap("btcusdt", NOW, "no data for 10 s", None)
    line = parse(recording.gap("wss://host", gap)[:-1])
    assert (line.kind, recording.read_gap(line.body)) == (Kind.GAP, gap)


@given(st.binary(max_size=60))
def test_whatever_a_line_holds_it_is_read(line):
    for text in (line, b"wss://x <!> 5: " + line, b"wss://x " + line, b"5* " + line):
        assert isinstance(parse(text), Line)


def test_cryptofeed_marks_are_read():
    assert parse(b"wss://s <-> 1633998512.06") == Line(
        Kind.OPENED, "wss://s", 1_633_998_512_060_000_000, b""
    )
    sent = parse(b'wss://s <- 1633998512.07: {"op": 1}')
    assert (sent.kind, sent.body) == (Kind.SENT, b'{"op": 1}')
    frame = parse(b'1633998512.0633569: {"e": 1}')
    assert frame == Line(Kind.FRAME, "", 1_633_998_512_063_356_900, b'{"e": 1}')


@pytest.mark.parametrize(
    ("url", "number", "name"),
    [
        ("wss://user:key@host:9443/ws?token=secret", None, "wss://host:9443/ws"),
        ("wss://host/stream?streams=a/b", 2, "wss://host/stream#2"),
    ],
)
def test_a_label_holds_nothing_secret(url, number, name):
    assert label(url, number) == name


def test_a_file_cut_off_within_a_frame_says_so_after_the_rest(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(received(b"{}", 1) + received(b'{"a":1}', 2)[:-3]))
    lines = read(str(path))
    assert next(lines).body == b"{}"
    with pytest.raises(FeedError, match="row 2: the last line is cut off"):
        next(lines)


@pytest.mark.parametrize(
    ("head", "ns"),
    [
        (b"1633998512.0633569:", 1_633_998_512_063_356_900),
        (b"1633998512:", 1_633_998_512_000_000_000),
        (b"1633998512.1234567891:", 1_633_998_512_123_456_789),
        (b"1723161255030314667", 1_723_161_255_030_314_667),
        (b"1.5", None), (b"", None), (b":", None), (b"abc:", None), (b"1e9:", None),
        (b"-5", None), (b"9" * 19, None), (b"9" * 6000, None),
        (b"9" * 6000 + b":", None),
    ],
)  # fmt: skip
def test_stamps_are_read_by_their_digits(head, ns):
    assert stamp(head) == ns
