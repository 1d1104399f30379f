from __future__ import annotations

import copy
import pickle

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError
from sfm_stream.settings.units import Duration, Horizon, Horizons, duration_ns, write

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ns", 1), ("2us", 2_000), ("100ms", 10**8), ("1s", 10**9), ("1.5s", 1.5e9),
        (" 2 m ", 120 * 10**9), ("3h", 10_800 * 10**9), ("1d", DAY_NS),
        ("0.5ms", 500_000), ("36525d", 36_525 * DAY_NS),
    ],
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text, ns):
    found = duration_ns("stream.every", text)
    assert found == ns
    assert isinstance(found, int)


@pytest.mark.parametrize(
    "text",
    ["", "1", "s", "1 week", "-1s", "1e3s", "1s1s", "²s", "nan s"],
)  # fmt: skip
def test_a_text_that_is_no_duration_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        duration_ns("here", text)
    assert str(caught.value) == f"here: expected a duration like '100ms', was {text!r}"


@pytest.mark.parametrize("text", ["0s", "0.1ns"])
def test_a_duration_of_nothing_is_refused(text):
    with pytest.raises(ConfigError, match="expected a duration longer than 0, was"):
        duration_ns("here", text)


@pytest.mark.parametrize("text", ["36526d", "200000d", "9" * 400 + "s"])
def test_a_duration_that_outgrows_the_clock_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        duration_ns("here", text)
    assert str(caught.value) == f"here: expected at most 100 years, was {text!r}"


@settings(max_examples=100)
@given(
    st.one_of(
        st.text(max_size=12),
        st.from_regex(r"\A[0-9²٣]{1,25}(\.[0-9]{1,3})?(ns|us|ms|s|m|h|d)?\Z"),
    )
)
def test_whatever_is_asked_for_becomes_a_horizon_or_an_error_of_ours(text):
    try:
        found = from_tree({"target": {"horizons": [text]}}).target.horizons
    except ConfigError as e:
        assert e.at.startswith(("target.horizons", "learn.max_pending"))  # noqa: PT017 either outcome is right
    else:
        assert all((h.ticks > 0) != (h.ns > 0) for h in found)
        assert all(h.ns < 2**63 for h in found)


@pytest.mark.parametrize(
    ("horizons", "expected"),
    [
        ((1,), [Horizon("1", 1, 0)]),
        (("10",), [Horizon("10", 10, 0)]),
        (("03",), [Horizon("3", 3, 0)]),
        (("2..4",), [Horizon("2", 2, 0), Horizon("3", 3, 0), Horizon("4", 4, 0)]),
        ((" 7 .. 7 ",), [Horizon("7", 7, 0)]),
        (("1s",), [Horizon("1s", 0, 10**9)]),
        ((2, "1..3", 3), [Horizon("2", 2, 0), Horizon("1", 1, 0), Horizon("3", 3, 0)]),
    ],
)
def test_horizons_are_ticks_ranges_and_times_without_repeats(horizons, expected):
    assert list(Horizons(horizons)) == expected


@pytest.mark.parametrize(
    ("horizons", "problem"),
    [
        ((), "expected at least one, was []"),
        ((0,), "expected at least 1 tick, was 0"),
        ((-1,), "expected a duration like '100ms', was '-1'"),
        (("soon",), "expected a duration like '100ms', was 'soon'"),
        (("²",), "expected a duration like '100ms', was '²'"),
        (("3..2",), "expected 1 <= first <= last, was '3..2'"),
        (("0..2",), "expected 1 <= first <= last, was '0..2'"),
        (("1..",), "expected a duration like '100ms', was '1..'"),
        (
            ("1..1000000000",),
            "expected at most 10,000 horizons, was '1..1000000000'; each is learned for itself",
        ),
    ],
)
def test_horizons_that_cannot_be_meant_are_refused(horizons, problem):
    with pytest.raises(ConfigError) as caught:
        from_tree({"target": {"horizons": list(horizons)}})
    assert str(caught.value) == f"target.horizons: {problem}"


def test_an_empty_duration_is_none():
    none = Duration("")
    assert (bool(none), none.ns, none.seconds) == (False, 0, 0.0)


def test_a_duration_knows_its_seconds_and_what_was_written():
    given = Duration("250ms")
    assert (bool(given), given.seconds, given.text) == (True, 0.25, "250ms")
    assert repr(given) == "Duration('250ms')"


@pytest.mark.parametrize("value", [Duration("1s"), Horizons((1, "2s"))])
def test_typed_values_survive_pickle_and_copy_and_serve_as_keys(value):
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert {value: 1}[copy.copy(value)] == 1
    assert value != "1s"


def test_what_was_written_is_written_again():
    plain = {"a": Duration("1.5 s"), "b": Horizons(("1..3", "1s"))}
    written = msgspec.to_builtins(plain, enc_hook=write)
    assert written == {"a": "1.5 s", "b": ("1..3", "1s")}
    with pytest.raises(NotImplementedError):
        write(object())
