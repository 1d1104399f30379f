from __future__ import annotations

import gzip
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from connectors import open_feed
from connectors.capture import format as recording
from connectors.capture.format import Kind
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import GAP, TICK, Gap, Tick
from sfm_stream.events.blocks import concatenate
from tests.feed_tables import feed_table

DATA = Path(__file__).parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not here")
T0 = 1_723_161_256_000


def trade(i, symbol="btcusdt"):
    ns = 1_723_161_255_000_000_000 + i
    return (
        b'%d {"stream":"%s@trade","data":{"e":"trade","T":%d,"s":"%s","t":%d,'
        b'"p":"%d.5","q":"1","m":true}}\n'
    ) % (ns, symbol.encode(), T0 + i, symbol.upper().encode(), i, i)


def opened(path, channel="trade", fields=(), **feed):
    tree = {
        "feed": feed_table(
            connector="capture", path=str(path), channel=channel, **feed
        ),
        "stream": {"fields": list(fields)},
    }
    return open_feed(from_tree(tree))


def written(folder, text, name="a.log"):
    path = folder / name
    path.write_bytes(text)
    return path


def read_until_error(feed):
    parts = []
    with pytest.raises(FeedError) as e:
        parts.extend(feed.blocks(7))  # keeps what came before the error
    return parts, e.value


LINES = [trade(i) for i in range(1, 101)]


def test_lines_of_receive_stamps_become_ticks(tmp_path):
    block = concatenate(list(opened(written(tmp_path, b"".join(LINES))).blocks(30)))
    assert block.streams == ("btcusdt",)
    assert block.values[:, 0].tolist() == [i + 0.5 for i in range(1, 101)]
    assert block.time[0] == (T0 + 1) * 10**6
    assert block.received[0] == 1_723_161_255_000_000_001


def test_cryptofeed_lines_become_ticks_with_exact_stamps(tmp_path):
    frame = LINES[0].partition(b" ")[2]
    text = (
        b"wss://stream <-> 1723161255.06\n"
        b'wss://stream <- 1723161255.07: {"method":"SUBSCRIBE"}\n'
        b"1723161255.0633569: " + frame
    )
    feed = opened(written(tmp_path, text))
    (block,) = feed.blocks(10)
    assert block.received.tolist() == [1_723_161_255_063_356_900]
    assert feed.counters == {"connections": 1, "sent": 1}


def test_unreadable_lines_are_counted_and_skipped(tmp_path):
    text = b"\n\nhello\n" + LINES[0] + b"\xff\xfe\n12 \n12 {\n" + LINES[1] + b"\r\n"
    feed = opened(written(tmp_path, text))
    (block,) = feed.blocks(10)
    assert len(block) == 2
    assert feed.counters == {"garbage": 4}


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress])
@pytest.mark.parametrize("after", [0, 1, 50, 99, 100, 200])
def test_resuming_equals_the_tail_and_remembers_ids(tmp_path, pack, after):
    lines = LINES[:40] + LINES[38:60] + LINES[70:]  # two repeated, ten missing
    feed = opened(written(tmp_path, pack(b"".join(lines))))
    whole = list(concatenate(list(feed.blocks(1000))).events())
    assert len(whole) == 91
    parts = list(feed.blocks(9, after))
    assert [e for p in parts for e in p.events()] == whole[after:]
    assert all(len(p) <= 9 for p in parts)
    assert feed.counters == {"duplicates": 2}


def test_torn_last_line_is_an_error_after_all_ticks(tmp_path):
    parts, error = read_until_error(opened(written(tmp_path, b"".join(LINES)[:-9])))
    assert sum(map(len, parts)) == 99
    assert error.row == 100


def test_whole_last_line_needs_no_newline(tmp_path):
    feed = opened(written(tmp_path, b"".join(LINES)[:-1]))
    assert sum(map(len, feed.blocks(7))) == 100


def test_truncated_gzip_is_an_error_after_what_was_read(tmp_path):
    data = gzip.compress(b"".join(LINES))
    parts, error = read_until_error(opened(written(tmp_path, data[:-60])))
    rows = concatenate(parts).values[:, 0].tolist()
    assert 10 < len(rows) < 100
    assert rows == [i + 1.5 for i in range(len(rows))]
    assert "gzip ends too early" in error.problem


def test_several_files_are_one_sequence(tmp_path):
    written(tmp_path, b"".join(LINES[:50]), "d_2.log")
    written(tmp_path, b"".join(LINES[50:]), "d_10.log")
    block = concatenate(list(opened(tmp_path / "d_*.log").blocks(64)))
    assert (block.kind == TICK).all()
    assert len(block) == 100


def test_fields_can_be_chosen(tmp_path):
    feed = opened(written(tmp_path, b"".join(LINES)), fields=["side", "price"])
    assert feed.fields == ("side", "price")
    assert next(feed.blocks(1)).values.tolist() == [[-1, 1.5]]
    with pytest.raises(
        FeedError, match="'bid': no such field; there are: price, qty, side"
    ):
        opened(tmp_path / "a.log", fields=["bid"])


def test_unknown_venue_or_channel_is_refused(tmp_path):
    path = written(tmp_path, b"")
    with pytest.raises(
        ConfigError, match=r"feed\.options\.venue.*did you mean 'binance'"
    ):
        opened(path, venue="binanse")
    with pytest.raises(ConfigError, match=r"feed\.options\.channel"):
        opened(path, channel="depth")


def test_source_tells_venue_channel_and_files(tmp_path):
    feed = opened(written(tmp_path, b"x"))
    source = feed.source()
    assert (source["venue"], source["channel"]) == ("binance", "trade")
    assert source["files"][0]["size"] == 1
    assert feed.total() is None


def events_of(path):
    return [e for block in opened(path).blocks(7) for e in block.events()]


def test_a_loss_noticed_live_is_the_same_gap(tmp_path):
    gap = Gap("", 1_723_161_255_000_000_009, "no data for 10 s")
    text = (
        b"wss://a <-> 5\n" + LINES[0] + b"wss://a </> 6: broken off\n"
        + recording.gap("wss://a", gap) + b"wss://a <-> 7\n" + LINES[1]
    )  # fmt: skip
    events = events_of(written(tmp_path, text))
    assert [type(e) for e in events] == [Tick, Gap, Tick]
    assert events[1] == gap


def test_between_two_recordings_lies_a_gap(tmp_path):
    begun = recording.mark(Kind.BEGUN, "sfm-stream://", 77, b"0.1.0")
    text = begun + LINES[0] + begun + LINES[1]
    events = events_of(written(tmp_path, text))
    assert events[1] == Gap("", 77, "not recorded")
    assert len(events) == 3


class PerConnection:
    """A protocol whose numbers belong to a connection: gaps show who is asked."""

    fields = ("value",)
    url = subscribe = None

    def __init__(self, _):
        self.counters = Counter()
        self.opened()

    def opened(self):
        self.last = 0

    def receive(self, frame, received):
        number, before = int(frame), self.last
        self.last = number
        lost = [] if number == before + 1 else [Gap("", received, "lost")]
        return [*lost, Tick("s", received, (float(number),), received)]


def test_each_connection_of_a_recording_has_a_protocol_of_its_own(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "per", sys.modules[__name__])
    text = (
        b"wss://a#1 <-> 1\n5 1\nwss://a#2 <-> 2\n6 1\nwss://a#1 <> 7\n7 2\n"
        b"wss://a#2 <> 8\n8 2\nwss://a#1 <-> 9\n9 1\n"
    )
    feed = opened(written(tmp_path, text), venue="per:PerConnection")
    events = [e for block in feed.blocks(100) for e in block.events()]
    assert [e.values[0] for e in events] == [1, 1, 2, 2, 1]
    assert feed.counters["connections"] == 3


@real
@pytest.mark.parametrize("name", ["spot_btcusdt", "usdm_btcusdt", "cm_ethusd_perp"])
@pytest.mark.parametrize("channel", ["trade", "bookTicker"])
def test_real_captures_equal_their_tables_and_have_no_gaps(name, channel):
    feed = opened(DATA / f"captures/binance/{name}_20240808.gz", channel)
    block = concatenate(list(feed.blocks(10_000)))
    table = pl.read_parquet(DATA / f"binance/{name}_20240808_{channel}.parquet")
    assert (block.kind == TICK).all()
    assert len(block) == len(table)
    assert not {"garbage", "duplicates", "stale", "unknown"} & set(feed.counters)
    np.testing.assert_array_equal(block.received, table["ts_local_ns"])
    columns = ["price", "qty"] if channel == "trade" else list(feed.fields)
    expected = table.select(columns).to_numpy()
    np.testing.assert_array_equal(block.values[:, : len(columns)], expected)
    if channel == "trade":
        sold = table["buyer_is_maker"].to_numpy()
        np.testing.assert_array_equal(block.values[:, 2], np.where(sold, -1, 1))
        np.testing.assert_array_equal(block.time, table["T_ms"] * 10**6)
        assert np.median(block.received - block.time) == pytest.approx(
            -1.27e9, rel=0.05
        )


@real
def test_missing_and_repeated_lines_of_a_real_capture_are_noticed(tmp_path):
    text = gzip.decompress(
        (DATA / "captures/binance/spot_ethusdt_20240808.gz").read_bytes()
    )
    lines = text.splitlines(keepends=True)
    trades = [i for i, line in enumerate(lines) if b"@trade" in line]
    lost, twice = trades[1000], trades[3000]
    changed = lines[:lost] + lines[lost + 1 : twice + 1] + lines[twice:]
    feed = opened(written(tmp_path, b"".join(changed)))
    block = concatenate(list(feed.blocks(1000)))
    (gap,) = np.flatnonzero(block.kind == GAP)
    assert (gap, block.code[gap]) == (1000, 1)
    assert feed.counters["duplicates"] == 1
    assert (block.kind == TICK).sum() == len(trades) - 1


@real
@pytest.mark.parametrize(("channel", "ticks"), [("bookTicker", 613), ("aggTrade", 91)])
def test_real_cryptofeed_capture_is_read(channel, ticks):
    feed = opened(DATA / "captures/binance_30s/BINANCE_FUTURES.ws.1.0.gz", channel)
    block = concatenate(list(feed.blocks(100)))
    assert (block.kind == TICK).sum() == len(block) == ticks
    assert set(block.streams) <= {"sushiusdt", "akrousdt", "keepusdt", "ctkusdt"}
    assert feed.counters["connections"] == 1
    assert "garbage" not in feed.counters
