from __future__ import annotations

import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.feeds import LOST, TROUBLES
from sfm_stream.kernels.inputs.accept import RESTART
from sfm_stream.running import judgement
from sfm_stream.running.replay import replay
from tests.feed_tables import feed_table
from tests.venue_frames import NOW, SENSOR, dumps, sensor

DAY = 86_400
BEGIN = 1_700_000_000
COUNT = 100


def csv_of(folder, times):
    path = folder / "a.csv"
    rows = [f"{t},{100 + i % 7}" for i, t in enumerate(times)]
    path.write_text("\n".join(["time,price", *rows, ""]))
    return from_tree({
        "feed": {"connector": "csv", "path": str(path)}, "run": {"warmup": 10},
    })  # fmt: skip


def with_spikes(ahead, *spikes):
    return [BEGIN + i + (ahead if i in spikes else 0) for i in range(COUNT)]


@pytest.mark.parametrize("ahead", [3600, DAY, 20 * 365 * DAY])
@pytest.mark.parametrize("spikes", [(40,), (30, 70)])
def test_a_time_far_ahead_costs_its_own_row_and_is_told(tmp_path, ahead, spikes):
    config = csv_of(tmp_path, with_spikes(ahead, *spikes))
    found = judgement.preview(config, open_feed(config))
    lost = len(spikes)
    assert (found["taken"], found["not_taken"]) == (COUNT - lost, lost)
    (rejected,), (counted,) = found["rejections"].values(), found["feed"].values()
    assert rejected["count"] == counted["count"] == lost
    when = BEGIN + spikes[0] + ahead
    assert rejected["first"].endswith(f"row {spikes[0] + 1}: '{when}'")


def test_what_is_said_before_a_run_is_what_the_run_says(tmp_path):
    clock_set_back = [BEGIN + i - (DAY if i >= 50 else 0) for i in range(COUNT)]
    clock_set_back[80] += 30 * 365 * DAY
    config = csv_of(tmp_path, clock_set_back)
    before = judgement.preview(config, open_feed(config))
    after = replay(config, open_feed(config), tmp_path / "run")["account"]
    del before["rows"]
    assert before == after
    assert 0 < after["not_taken"] <= 2 * (RESTART - 1)


def test_times_that_never_rise_are_told_as_newest_first(tmp_path):
    twenty_each = [BEGIN + 1000 - i // 20 for i in range(10 * COUNT)]
    config = csv_of(tmp_path, twenty_each)
    before = judgement.preview(config, open_feed(config))
    after = replay(config, open_feed(config), tmp_path / "run")["account"]
    for found in (before, after):
        assert 0.1 < found["not_taken"] / len(twenty_each) < 0.9
        (cause,) = found["causes"]
        assert "feed.options.order = 'newest-first' or" in cause


def test_streams_that_are_too_many_are_told_with_the_key(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{BEGIN + i},{'ab'[i % 2]},{100 + i % 7}" for i in range(COUNT)]
    path.write_text("\n".join(["time,who,price", *rows, ""]))
    config = from_tree({
        "feed": {"connector": "csv", "path": str(path), "symbol": "who"},
        "stream": {"max_streams": 1}, "run": {"warmup": 10},
    })  # fmt: skip
    found = replay(config, open_feed(config), tmp_path / "run")["account"]
    assert (found["taken"], found["not_taken"]) == (COUNT // 2, COUNT // 2)
    assert "stream.max_streams says how many" in found["causes"][0]


def test_rows_that_never_go_on_begin_nothing_anew(tmp_path):
    config = csv_of(tmp_path, [BEGIN - i for i in range(COUNT)])
    found = judgement.preview(config, open_feed(config))
    assert found["taken"] == 1
    assert "earlier than the last one taken; feed.options.order" in found["causes"][0]


def of_frames(counters, **examples):
    return judgement.Reading(counters, examples)


def test_a_live_feed_is_judged_by_what_it_lost():
    counters = {"heartbeats": 9, "duplicates": 5, "garbage": 30, "earlier times": 2}
    refused = {"value is missing": (10, "stream 'a' event 3")}
    found = judgement.of_live(of_frames(counters, garbage="'{'"), 100, refused)
    assert (found["taken"], found["not_taken"]) == (90, 40)
    assert set(found["feed"]) == {"garbage", "earlier times"}
    loud, *others = judgement.lines(found)
    assert loud.startswith("WARNING: 40 of 130")
    assert others == [
        "10 rows: value is missing, first stream 'a' event 3",
        "30 rows: garbage, first '{'",
        "noticed 2 times: earlier times",
    ]
    assert set(LOST) <= set(TROUBLES)


def test_a_live_feed_of_which_nothing_was_taken_is_refused():
    some, none = of_frames({"garbage": 1}), of_frames({"garbage": 3})
    judgement.refuse(judgement.of_live(some, 1), "feed", strict=False)
    with pytest.raises(FeedError, match=r"was none; garbage \(3\); are frames cut off"):
        judgement.refuse(judgement.of_live(none, 0), "feed", strict=False)
    with pytest.raises(FeedError, match="expected the ticks of 2 rows, was 1"):
        judgement.refuse(judgement.of_live(some, 1), "feed", strict=True)
    beats = judgement.of_live(of_frames({"heartbeats": 3}), 0)
    assert judgement.lines(beats) == []


def test_frames_of_a_capture_that_were_not_taken_count_like_rows(tmp_path):
    good = [dumps(sensor(i)) for i in range(40)]
    path = tmp_path / "a.cap"
    frames = [*good[:20], *[b'{"kind":"reading",'] * 10, *good[20:]]
    path.write_bytes(b"".join(b"%d %b\n" % (NOW + i, f) for i, f in enumerate(frames)))
    config = from_tree({
        "feed": feed_table(**SENSOR["feed"], connector="capture", venue="json",
                           path=str(path)), "stream": {"symbols": ["hall-3"]},
    })  # fmt: skip
    found = replay(config, open_feed(config), tmp_path / "run")["account"]
    assert (found["taken"], found["not_taken"]) == (40, 10)
    garbage = {"count": 10, "rows": 10, "first": repr('{"kind":"reading",')}
    assert found["feed"]["garbage"] == garbage
    assert judgement.lines(found)[0].startswith("WARNING: 10 of 50 rows were not")
    assert "are frames cut off" in found["causes"][0]


def test_streams_that_were_not_asked_for_are_no_bad_data(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{BEGIN + i},{'abcd'[i % 4]},{100 + i % 7}" for i in range(COUNT)]
    path.write_text("\n".join(["time,who,price", *rows, ""]))
    config = from_tree({
        "feed": {"connector": "csv", "path": str(path), "symbol": "who"},
        "stream": {"symbols": ["a", "zz"]}, "run": {"warmup": 2},
    })  # fmt: skip
    summary = replay(config, open_feed(config), tmp_path / "run")
    account = summary["account"]
    assert (account["taken"], account["not_taken"]) == (25, 0)
    assert judgement.lines(account)[0].startswith(
        "noticed 75 times: stream not in stream.symb"
    )
    judgement.refuse(account, "run", strict=True)
    assert summary["remarks"] == ["no tick of zz, which stream.symbols names"]


def test_cells_that_are_empty_in_a_wide_file_are_no_bad_data(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{BEGIN + i},{i % 7},{'' if i % 3 else i % 5}" for i in range(COUNT)]
    path.write_text("\n".join(["time,a,b", *rows, ""]))
    config = from_tree({
        "feed": {"connector": "csv", "path": str(path)},
        "stream": {"columns": "streams"}, "run": {"warmup": 2},
    })  # fmt: skip
    account = replay(config, open_feed(config), tmp_path / "run")["account"]
    assert (account["taken"], account["not_taken"]) == (134, 0)
    assert judgement.lines(account)[0].startswith("noticed 66 times: value is missing")
    judgement.refuse(account, "run", strict=True)


def test_rows_that_are_lost_are_told_apart_from_what_is_noticed_in_them(tmp_path):
    times = [BEGIN + i for i in range(COUNT)]
    times[20] = ""
    times[30] = BEGIN + 10
    times[40] = f"{BEGIN + 40},1,2"
    config = csv_of(tmp_path, times)
    path = tmp_path / "a.csv"
    path.write_text(path.read_text().replace(f"{BEGIN + 50},101", f"{BEGIN + 50},odd"))
    feed = open_feed(config)
    found = judgement.preview(config, feed)
    assert found["not_taken"] == 4
    _, *told = judgement.lines(found)
    assert told == [
        f"1 row: time could not be read, first {path} row 21: ''",
        f"1 row: time before the stream's last tick, first {path} row 31",
        f"1 row: value is missing, first {path} row 51 field 'price'",
        f"1 row: more cells than columns, first {path} row 41: 4, not 2",
        f"noticed once: a cell is no number, first {path} row 51 column 'price': 'odd'",
    ]
    assert sum(int(line.split()[0]) for line in told[:4]) == found["not_taken"]


def test_a_run_of_which_the_feed_lost_every_row_says_why(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{BEGIN + i},,1" for i in range(COUNT)]
    path.write_text("\n".join(["time,who,price", *rows, ""]))
    feed = {"connector": "csv", "path": str(path), "symbol": "who"}
    config = from_tree({"feed": feed})
    found = judgement.preview(config, open_feed(config))
    with pytest.raises(FeedError, match=r"a row that names no stream \(100\)"):
        judgement.refuse(found, "feed", strict=False)


def test_files_that_overlap_in_time_are_told_loudly_with_the_way_out(tmp_path):
    csv_of(tmp_path, [BEGIN + i for i in range(COUNT)])
    again = (tmp_path / "a.csv").read_text()
    (tmp_path / "b.csv").write_text(again)
    feed = {"connector": "csv", "path": str(tmp_path / "*.csv")}
    config = from_tree({"feed": feed})
    found = judgement.preview(config, open_feed(config))
    assert not judgement.is_loud(found)
    loud, *_ = judgement.lines(found)
    assert loud.startswith(
        f"WARNING: {RESTART - 1} of 200 rows were not taken; files overlap in time"
    )
    assert "stream.names = 'file'" in loud
    assert "a clock set back" not in loud
