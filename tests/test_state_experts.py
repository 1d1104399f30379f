from __future__ import annotations

import pytest

from sfm_stream.config import from_tree
from sfm_stream.state import experts

INPUTS = 4


def config(*names, **features):
    tree = {"forecast": {"experts": list(names), "fast": 0.5, "forgetting": 0.75}}
    sizes = {"lags": 3, "errors": 2, **features}
    return from_tree(tree | {"features": sizes, "model": {"outputs": 5}})


def test_parts_of_the_regressors_lie_in_the_documented_order():
    at = experts.regressors(config("last", "sfm-rls"), INPUTS)
    assert at.tolist() == [0, 5, 9, 12, 14, 15, 21]


def test_without_a_cell_there_is_no_room_for_its_outputs():
    at = experts.regressors(config("last", "rls"), INPUTS)
    assert at.tolist() == [0, 0, 4, 7, 9, 10, 16]


def test_each_sees_its_own_run_and_the_places_do_not_overlap():
    rows, _ = experts.squares(config("rls", "last", "sfm-rls", "rls-fast"), INPUTS)
    assert rows[:, experts.EXPERT].tolist() == [0, 2, 3]
    assert rows[:, experts.FIRST].tolist() == [5, 0, 9]
    assert rows[:, experts.SIZE].tolist() == [16, 21, 6]
    assert rows[:, experts.THETA].tolist() == [0, 16, 37]
    assert rows[:, experts.COV].tolist() == [0, 256, 697]


def test_a_move_is_held_the_more_the_further_back_it_lies():
    settings = config("rls", "sfm-rls")
    known = experts.ridges(settings, INPUTS)
    ridge = settings.forecast.ridge
    lagged = [ridge, 4 * ridge, 9 * ridge]
    assert known[4:7].tolist() == known[25:28].tolist() == lagged
    assert {*known[:4], *known[7:25], *known[28:]} == {ridge}


def test_one_that_is_not_careful_holds_nothing_back():
    known = experts.ridges(config("rls", "sfm-rls-wide"), INPUTS)
    assert set(known[16:]) == {1.0}
    assert len(known) == 16 + 21


def test_only_the_fast_one_forgets_fast():
    _, rates = experts.squares(config("rls", "sfm-rls", "rls-fast"), INPUTS)
    assert rates == [0.75, 0.75, 0.5]


def test_the_wide_one_alone_forgets_soon_and_clips_further_out():
    tree = {"forecast": {"soon": 0.25, "input_clip": 4.0, "wide_clip": 9.0}}
    settings = from_tree(tree)
    _, rates = experts.squares(settings, INPUTS)
    kept = settings.forecast.forgetting
    assert rates == [kept, kept, 0.25]
    assert experts.clips(settings) == [4.0, 4.0, 9.0]


def test_no_linear_expert_is_no_row():
    rows, rates = experts.squares(config("last", "sfm"), INPUTS)
    assert (rows.shape, rates) == ((0, 5), [])


@pytest.mark.parametrize(
    ("name", "needed"),
    [("last", False), ("rls", False), ("rls-fast", False), ("sfm", True),
     ("sfm-rls", True), ("sfm-rls-wide", True)],
)  # fmt: skip
def test_the_cell_is_there_where_an_expert_needs_it(name, needed):
    assert experts.uses_cell(config(name)) is needed
