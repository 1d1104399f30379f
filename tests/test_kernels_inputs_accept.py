"""A stream whose times went back goes on after a while, as after a gap."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Tick
from sfm_stream.kernels.inputs.accept import RESTART
from sfm_stream.records import Forecast, Rejected, Score, Voided

SECOND = 10**9
START = 1_700_000_000 * SECOND
HOUR = 3600


def made(**tables):
    return Engine(
        config.from_tree(
            {"model": {"states": 4, "frequencies": 3, "outputs": 5}, **tables}
        ),
        ("x",),
    )


def ticks(seconds, stream="a"):
    return [
        Tick(stream, START + round(s * SECOND), (float(np.sin(s)),)) for s in seconds
    ]


def drive(engine, events):
    found = []
    for event in events:
        found += engine.observe(event)
        found += engine.learn()
    return found


def of(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_a_time_far_ahead_silences_a_stream_for_a_few_ticks_only():
    engine = made()
    drive(engine, ticks([*range(40), 20 * HOUR]))
    said = drive(engine, ticks(range(41, 80)))
    refused = of(Rejected, said)
    assert len(refused) == RESTART - 1
    assert {r.reason for r in refused} == {"time before the stream's last tick"}
    assert engine.ticks["a"] == 41 + 39 - len(refused)
    assert of(Voided, said)
    later = drive(engine, ticks(range(80, 90)))
    assert len(of(Forecast, later)) == 10
    assert all(abs(score.truth) <= 1 for score in of(Score, later))
    assert not of(Rejected, later)


def test_a_clock_set_back_is_followed_after_a_few_ticks():
    engine = made()
    drive(engine, ticks(range(HOUR, HOUR + 50)))
    said = drive(engine, ticks(range(50)))
    assert len(of(Rejected, said)) == RESTART - 1
    assert not any(r.reason != "gap" for r in of(Voided, said))


def test_nothing_learned_flows_over_the_new_start():
    """As after a gap: the first tick there scores nothing and has no move."""
    engine = made()
    drive(engine, ticks(range(HOUR, HOUR + 50)))
    said = drive(engine, ticks(range(RESTART)))
    assert not of(Score, said)


@pytest.mark.parametrize("order", ["newest first", "one in two", "shuffled"])
def test_times_that_do_not_go_on_among_themselves_never_begin_anew(order):
    engine = made()
    drive(engine, ticks([500]))
    late = {
        "newest first": list(range(499, 300, -1)),
        "one in two": [x for i in range(100) for x in (100 + i, 501 + i)],
        "shuffled": [int(i * 7919 % 400) for i in range(300)],
    }[order]
    said = drive(engine, ticks(late))
    assert len(of(Rejected, said)) == sum(x < 500 for x in late)


def test_a_block_and_single_ticks_begin_anew_alike():
    seconds = [*range(100, 140), *range(60), *range(30, 90), 9 * HOUR, *range(90, 140)]
    events = ticks(seconds)
    single, block = made(), made()
    rows = list(block.run(Block.of(events, 1)).rows())
    drive(single, events)
    assert len(of(Rejected, rows)) == len(seconds) - single.ticks["a"]
    ours, theirs = single.snapshot()[0], block.snapshot()[0]
    assert all(np.array_equal(ours[n], theirs[n], equal_nan=True) for n in ours)


def test_a_peek_counts_no_tick_that_goes_back():
    engine = made()
    drive(engine, ticks(range(100, 140)))
    for tick in ticks(range(3 * RESTART)):
        assert engine.peek(tick) == []
    assert len(of(Rejected, drive(engine, ticks(range(RESTART - 1))))) == RESTART - 1


def test_a_snapshot_without_the_new_counters_is_taken():
    engine, other = made(), made()
    drive(engine, ticks(range(40)))
    arrays, meta = engine.snapshot()
    arrays["counters"] = arrays["counters"][:, :12]
    other.restore(arrays, meta)
    more = ticks(range(40, 60))
    assert list(map(str, drive(other, more))) == list(map(str, drive(engine, more)))


@pytest.mark.parametrize("every", ["1s", "10s"])
def test_bins_begin_anew_too(every):
    engine = made(stream={"every": every})
    drive(engine, ticks([x / 2 for x in range(200)]))
    before = engine.ticks["a"]
    said = drive(engine, ticks([9 * HOUR, *(100 + x / 2 for x in range(400))]))
    assert len(of(Rejected, said)) == RESTART - 1
    bins = 200 // int(every[:-1])
    assert engine.ticks["a"] >= before + bins - 10


def test_bins_begin_anew_alike_however_they_are_cut():
    seconds = [*range(100, 140), 9 * HOUR, *range(140, 240), *range(50)]
    events = ticks(seconds)
    whole, cut = (made(stream={"every": "3s"}) for _ in range(2))
    rows = list(whole.run(Block.of(events, 1)).rows())
    parts = [
        x
        for i in range(0, len(events), 7)
        for x in cut.run(Block.of(events[i : i + 7], 1)).rows()
    ]
    assert list(map(str, parts)) == list(map(str, rows))
