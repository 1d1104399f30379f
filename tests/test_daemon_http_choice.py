from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.daemon.http.choice import Choice, Subscription
from sfm_stream.records import Records
from tests.daemon_web import TABLES, forecasts, mixed


def chosen(records, *wanted):
    return [
        (record.seq, [wanted.index(one) for one in takers])
        for record, takers in Choice().rows(records, wanted)
    ]


def test_rows_are_those_of_the_wanted_streams():
    a, b = (Subscription(streams=frozenset(name)) for name in "ab")
    assert chosen(forecasts(0, 6, streams=3), b) == [(1, [0]), (4, [0])]
    assert chosen(forecasts(0, 3, streams=3), a, b) == [(0, [0]), (1, [1])]
    everything = Subscription()
    assert chosen(forecasts(0, 2, streams=2), everything, b) == [(0, [0]), (1, [0, 1])]


def test_no_row_of_another_stream_becomes_a_record(monkeypatch):
    made = []
    before = Records._of
    monkeypatch.setattr(
        Records, "_of", lambda s, kind: made.extend(before(s, kind)) or before(s, kind)
    )
    chosen(forecasts(0, 1_000, streams=3), Subscription(streams=frozenset("b")))
    assert {record.stream for record in made} == {"b"}


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({"records": {"rejected"}}, [8]),
        ({"targets": {"mid"}}, [7, 8]),
        ({"targets": {"ask"}}, [8]),
        ({"horizons": {"10"}}, [8]),
        ({"horizons": {"1"}, "records": {"forecasts"}}, [7]),
    ],
)
def test_rows_are_of_the_wanted_kinds_targets_and_horizons(wanted, seqs):
    one = Subscription(**{name: frozenset(value) for name, value in wanted.items()})
    assert [seq for seq, _ in chosen(mixed(), one)] == seqs


def test_codes_are_found_anew_when_streams_are_added():
    choice, wanted = Choice(), [Subscription(streams=frozenset("d"))]
    columns = forecasts(0, 4, streams=4).columns
    assert list(choice.rows(forecasts(0, 3, streams=3), wanted)) == []
    grown = Records(columns, TABLES | {"stream": ("a", "b", "c", "d")})
    assert [record.seq for record, _ in choice.rows(grown, wanted)] == [3]


def test_decisions_about_all_streams_are_wanted_by_everyone():
    columns = {"seq": 3, "stream": 0, "time": 1, "action": 0}
    decision = Records(
        {"decisions": {name: np.array([v]) for name, v in columns.items()}},
        {"decisions.stream": ("", "a"), "decisions.action": ("freeze",)},
    )
    assert chosen(decision, Subscription(streams=frozenset("b"))) == [(3, [0])]
