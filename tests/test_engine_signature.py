from __future__ import annotations

import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine.signature import expect, identity
from sfm_stream.errors import CheckpointMismatch


@pytest.mark.parametrize(
    "other",
    [
        {"stream": {"symbols": ["b"]}},
        {"learn": {"enabled": False}},
        {"run": {"block": 7}},
        {"learn": {"schedule": "together"}},
    ],
)
def test_what_may_change_between_runs_is_the_same_model(other):
    expect(identity(from_tree({}), ("x",)), from_tree(other), ("x",))


@pytest.mark.parametrize(
    ("other", "fields", "named"),
    [
        ({"learn": {"lr": 0.1}}, ("x",), "digest"),
        ({"learn": {"schedule": "striped"}}, ("x",), "digest"),
        ({}, ("x", "y"), r"fields \['x', 'y'\], was \['x'\]"),
    ],
)
def test_another_model_is_named(other, fields, named):
    with pytest.raises(CheckpointMismatch, match=f"expected {named}"):
        expect(identity(from_tree({}), ("x",)), from_tree(other), fields)


def test_no_other_schedule_goes_on_with_a_striped_update():
    striped = from_tree({"learn": {"schedule": "striped"}})
    with pytest.raises(CheckpointMismatch, match="expected digest"):
        expect(identity(striped, ("x",)), from_tree({}), ("x",))


def test_a_snapshot_of_another_format_is_refused():
    meta = {**identity(from_tree({}), ("x",)), "state_format": 0}
    with pytest.raises(CheckpointMismatch, match="expected state_format 2, was 0"):
        expect(meta, from_tree({}), ("x",))
