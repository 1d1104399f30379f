from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.daemon.quarantine import LONGEST, Quarantine, rejections
from sfm_stream.events import Block, Control, Gap, Tick
from sfm_stream.records import Records

NOW = 1_700_000_000 * 10**9


def tick(stream="a"):
    return Tick(stream, NOW, (1.0,), NOW)


def rejected(**counts):
    """Records that reject so many ticks of each stream."""
    names = tuple(counts)
    codes = [i for i, name in enumerate(names) for _ in range(counts[name])]
    column = np.array(codes, np.int64)
    columns = {"rejected": {"seq": column, "stream": column}}
    return Records(columns, {"stream": names})


def admitted(quarantine, events, at):
    """Give what is decided before some events, and those of them that are let in."""
    decided = quarantine.decide(NOW, at)
    let_in, _ = quarantine.admit(Block.of(events, 1), at)
    return [*decided, *let_in.events()]


def sentenced(quarantine, stream="a", *, at=0.0, after=3):
    """Have a stream shut out; give what was decided."""
    quarantine.note({stream: after}, rejections(rejected(**{stream: after})))
    return admitted(quarantine, [tick(stream), tick("good")], at)


def test_a_stream_of_garbage_is_shut_out_and_the_others_run_on():
    quarantine = Quarantine(3, 60.0)
    quarantine.note({"a": 2, "good": 5}, rejections(rejected(a=2)))
    assert admitted(quarantine, [tick()], 0.0) == [tick()]
    quarantine.note({"a": 1}, rejections(rejected(a=1)))
    assert admitted(quarantine, [tick(), tick("good")], 0.0) == [
        Control("a", NOW, "quarantine"),
        Gap("a", NOW, "3 ticks in a row were rejected"),
        tick("good"),
    ]
    assert quarantine.shut(20.0) == {"a": 40.0}


def test_one_good_tick_among_them_is_enough():
    quarantine = Quarantine(3, 60.0)
    for _ in range(5):
        quarantine.note({"a": 2}, rejections(rejected(a=2)))
        quarantine.note({"a": 2}, rejections(rejected(a=1)))
    events = Block.of([tick()], 1)
    let_in, left_out = quarantine.admit(events, 0.0)
    assert let_in is events
    assert left_out is None


def test_after_its_term_it_is_let_in_and_a_good_tick_clears_it():
    quarantine = Quarantine(3, 60.0)
    sentenced(quarantine)
    assert admitted(quarantine, [tick()], 59.0) == []
    release = Control("a", NOW, "release")
    assert admitted(quarantine, [tick()], 60.0) == [release, tick()]
    assert admitted(quarantine, [tick()], 61.0) == [tick()]  # released once
    quarantine.note({"a": 1}, rejections(rejected()))
    assert admitted(quarantine, [tick()], 61.0) == [tick()]
    sentenced(quarantine, at=100.0)
    assert quarantine.shut(100.0) == {"a": 60.0}


def test_each_further_term_is_twice_as_long_up_to_an_hour():
    quarantine, at, terms = Quarantine(3, 60.0), 0.0, []
    for _ in range(8):
        sentenced(quarantine, at=at)
        terms.append(quarantine.shut(at)["a"])
        at += terms[-1]
        assert admitted(quarantine, [], at)[0].action == "release"
    assert terms[:4] == [60.0, 120.0, 240.0, 480.0]
    assert terms[-1] == LONGEST


def test_gaps_and_decisions_are_never_left_out():
    quarantine = Quarantine(3, 60.0)
    sentenced(quarantine)
    others = [Gap("a", NOW, "cut off"), Control("a", NOW, "freeze")]
    assert admitted(quarantine, [tick(), *others], 1.0) == others


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=60))
@settings(max_examples=60)
def test_every_tick_is_either_let_in_or_left_out(said):
    quarantine, at = Quarantine(2, 3.0), 0.0
    for stream, good in said:
        at += 1.0
        quarantine.decide(NOW, at)
        let_in, left_out = quarantine.admit(Block.of([tick(stream)], 1), at)
        parts = [let_in, *([] if left_out is None else [left_out])]
        assert [e for part in parts for e in part.events()] == [tick(stream)]
        if len(let_in):
            quarantine.note(
                {stream: 1}, rejections(rejected(**{stream: 0 if good else 1}))
            )


def test_other_limits_change_no_term_that_has_begun():
    quarantine = Quarantine(3, 60.0)
    sentenced(quarantine)
    quarantine.obey(2, 5.0)
    assert quarantine.shut(1.0) == {"a": 59.0}
    sentenced(quarantine, "b", at=1.0, after=2)
    assert quarantine.shut(1.0) == {"a": 59.0, "b": 5.0}


@pytest.mark.parametrize("records", [Records({}, {}), rejected()])
def test_nothing_rejected_counts_nothing(records):
    assert rejections(records) == {}


def test_rejections_are_counted_by_name():
    assert rejections(rejected(a=2, b=1)) == {"a": 2, "b": 1}


def test_another_thread_may_ask_while_streams_are_shut_out():
    quarantine = Quarantine(1, 60.0)

    class Asking(float):
        """A moment at which, as it is looked at, one more stream is shut out."""

        def __rsub__(self, until):
            sentenced(quarantine, "b", after=1)
            return until - float(self)

    sentenced(quarantine, "a", after=1)
    assert quarantine.shut(Asking(20.0)) == {"a": 40.0}
    assert set(quarantine.shut(20.0)) == {"a", "b"}
