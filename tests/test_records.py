from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sfm_stream.events import CONTROLS
from sfm_stream.records import (
    KINDS,
    REJECTED_REASONS,
    SKIPPED_REASONS,
    VOIDED_REASONS,
    Choice,
    Decision,
    Forecast,
    Records,
    Rejected,
    Score,
    Update,
    Voided,
)

NAN = float("nan")
TABLES = {
    "stream": ("a", "b"),
    "target": ("mid",),
    "horizon": ("1", "10s"),
    "experts": ("last", "rls"),
    "updates.skipped": SKIPPED_REASONS,
    "voided.reason": VOIDED_REASONS,
    "rejected.reason": REJECTED_REASONS,
    "rejected.field": ("bid", ""),
    "decisions.stream": ("", "a", "b"),
    "decisions.action": CONTROLS,
    "choices.field": ("bid", "ask"),
}


def columns(**by_name):
    return {name: np.array(column) for name, column in by_name.items()}


def records():
    """Records of three events, every kind among them, the kinds in any order."""
    return Records(
        {
            "forecasts": columns(
                seq=[4, 4, 6], stream=[1, 1, 0], target=[0, 0, 0], horizon=[0, 1, 0],
                origin=[2, 2, 5], time=[10, 10, 12], due=[3, 99, 6],
                mean=[1.5, 1.25, 2.0], lower=[NAN, 1.0, -1.0], upper=[NAN, 2.0, 3.0],
                weights=[[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]],
                amplitude=[[0.5, 1.0], [NAN, NAN], [2.0, 3.0]],
                quantiles=[[NAN, NAN], [1.0, 2.0], [-1.0, 3.0]],
            ),
            "scores": columns(
                seq=[4, 6, 6], stream=[1, 0, 0], target=[0, 0, 0], horizon=[0, 0, 1],
                origin=[1, 4, 3], time=[10, 12, 12], truth=[1.0, 2.0, 2.0],
                mean=[1.5, 2.5, 3.0], naive=[0.0, 1.0, 1.0], covered=[-1, 0, 1],
                winkler=[NAN, 3.0, 4.0], crps=[NAN, 0.5, 0.75],
            ),
            "updates": columns(
                seq=[4], stream=[1], target=[0], version=[3], labels=[32], loss=[0.5],
                norm=[NAN], skipped=[2],
            ),
            "voided": columns(
                seq=[6, 5], stream=[0, 1], target=[0, 0], horizon=[1, 0],
                origin=[0, 2], reason=[1, 0],
            ),
            "rejected": columns(
                seq=[5], stream=[1], time=[11], field=[0], reason=[4]
            ),
            "decisions": columns(seq=[5], stream=[0], time=[11], action=[1]),
            "choices": columns(
                seq=[4], stream=[1], target=[0], place=[0], field=[0],
                correlation=[-0.5], least=[0.25],
            ),
        },
        TABLES,
    )  # fmt: skip


def test_columns_become_records_by_event_and_within_one_by_kind():
    kinds = [(r.seq, type(r)) for r in records().rows()]
    assert kinds == [
        (4, Score), (4, Forecast), (4, Forecast), (4, Choice), (4, Update),
        (5, Decision), (5, Rejected), (5, Voided),
        (6, Voided), (6, Score), (6, Score), (6, Forecast),
    ]  # fmt: skip


def test_records_of_one_event_and_kind_keep_their_order():
    rows = list(records().rows())
    assert [r.horizon for r in rows if isinstance(r, Forecast)] == ["1", "10s", "1"]
    assert [r.origin for r in rows if isinstance(r, Score)] == [1, 4, 3]


def test_codes_become_the_texts_they_stand_for():
    rows = list(records().rows())
    update = next(r for r in rows if isinstance(r, Update))
    assert (update.stream, update.target) == ("b", "mid")
    assert update.skipped == "non-finite gradient"
    rejected = next(r for r in rows if isinstance(r, Rejected))
    assert rejected == Rejected(5, "b", 11, "bid", "value is missing")
    decision = next(r for r in rows if isinstance(r, Decision))
    assert decision == Decision(5, "", 11, "freeze")
    choice = next(r for r in rows if isinstance(r, Choice))
    assert choice == Choice(4, "b", "mid", 0, "bid", -0.5, 0.25)
    voided = [r for r in rows if isinstance(r, Voided)]
    assert voided == [
        Voided(5, "b", "mid", "1", 2, "gap"),
        Voided(6, "a", "mid", "10s", 0, "too many pending"),
    ]


def test_what_is_not_known_is_none_or_empty():
    forecasts = [r for r in records().rows() if isinstance(r, Forecast)]
    assert [(f.lower, f.upper) for f in forecasts] == [
        (None, None), (1.0, 2.0), (-1.0, 3.0),
    ]  # fmt: skip
    assert [f.amplitude for f in forecasts] == [(0.5, 1.0), (), (2.0, 3.0)]
    scores = [r for r in records().rows() if isinstance(r, Score)]
    assert [s.covered for s in scores] == [None, False, True]


def test_a_record_holds_plain_python_values():
    for record in records().rows():
        for value in msgspec.structs.astuple(record):
            assert type(value) in {int, float, str, bool, tuple, type(None)}


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("forecasts", 3),
        ("scores", 3),
        ("updates", 1),
        ("voided", 2),
        ("rejected", 1),
        ("decisions", 1),
        ("choices", 1),
    ],
)
def test_records_are_counted_by_kind(kind, count):
    assert records().count(kind) == count


def test_records_are_counted_together_and_absent_kinds_count_nothing():
    assert len(records()) == 12
    only = Records({"updates": records().columns["updates"]}, TABLES)
    assert len(only) == 1
    assert only.count("scores") == 0
    assert [type(r) for r in only.rows()] == [Update]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_record_has_the_columns_of_its_fields(kind):
    assert set(records().columns[kind]) == set(KINDS[kind].__struct_fields__)


def test_a_record_survives_being_written_as_a_message():
    union = Forecast | Score | Update | Voided | Rejected | Decision | Choice
    rows = list(records().rows())
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(rows), type=list[union])
    assert list(map(repr, decoded)) == list(map(repr, rows))
