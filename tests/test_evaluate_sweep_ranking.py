from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sfm_stream.config import from_tree
from sfm_stream.errors import SinkError
from sfm_stream.evaluate.sweep import grid, ranking

RANDOM = np.random.default_rng(3)
THEIRS = RANDOM.exponential(size=50)


def result(share, *, scored=1000):
    """Give a result whose errors are so large a share of the last value's."""
    ours = THEIRS * share
    skill = 1 - share if scored else None
    figures = dict.fromkeys(ranking.FIGURES, 0.0)
    cell = {
        "target": "a", "horizon": "1", "scored": scored, **figures, "skill": skill,
        "ours": ours.tolist(), "theirs": THEIRS.tolist(),
    }  # fmt: skip
    return {"cells": [cell], "seconds": 1.5, "account": {}}


GRID = grid.read(["learn.lr=1e-3,3e-3", "model.cell=sfm,a-sfm"])
POINTS = GRID.points()
OWN = list("abcd")
RESULTS = [result(0.5), result(0.3), result(0.9, scored=0), result(0.4)]


def test_the_best_stands_first_and_what_was_not_scored_last():
    places = ranking.rank(POINTS, RESULTS)
    assert [place.values for place in places] == [POINTS[i] for i in (1, 3, 0, 2)]
    assert places[-1].skill is places[-1].interval is places[-1].behind is None
    assert places[0].behind == (0.0, 0.0)
    # all errors are the same share of the last value's: nothing is left to chance
    assert places[1].behind == pytest.approx((0.1, 0.1))


def test_a_point_is_told_in_a_text_for_each_column():
    told = [ranking.told(place) for place in ranking.rank(POINTS, RESULTS)]
    assert told[0] == ["1e-3", "a-sfm", "0.7000", "0.7000, 0.7000", "best", "1.5"]
    assert told[-1] == ["3e-3", "sfm", "-", "-", "-", "1.5"]


def test_points_scored_on_other_ticks_are_not_paired_and_named():
    later = result(0.4)
    later["cells"][0]["theirs"] = THEIRS[::-1].tolist()
    results = [{**one, "account": {"taken": 1}, "remarks": []} for one in
               (result(0.5), result(0.3), result(0.9), later)]  # fmt: skip
    places = ranking.rank(POINTS, results)
    assert [ranking.told(place)[-2] for place in places] == [
        "best", "other ticks", "0.2000, 0.2000", "0.6000, 0.6000",
    ]  # fmt: skip
    assert ranking.remarks(POINTS, results) == [
        "skills compare only among what is scored on the same ticks, targets and "
        "horizons: 1e-3 sfm, 1e-3 a-sfm, 3e-3 sfm | 3e-3 a-sfm"
    ]
    assert ranking.remarks(POINTS[:3], results[:3]) == []


def test_all_are_rows_of_one_parquet_file(tmp_path):
    path = ranking.keep(tmp_path, GRID, POINTS, RESULTS, OWN)
    frame = pl.read_parquet(path)
    assert frame["learn.lr"].to_list() == [1e-3, 1e-3, 3e-3, 3e-3]
    assert frame["model.cell"].to_list() == ["sfm", "a-sfm"] * 2
    assert frame["skill"].to_list() == [0.5, 0.7, None, 0.6]
    assert frame["skill_low"].to_list()[:2] == pytest.approx([0.5, 0.7])


def test_a_point_whose_squares_have_no_float_has_no_interval(tmp_path):
    huge = result(0.5)
    huge["cells"][0] |= {"skill": None, "ours": [np.inf, *THEIRS[1:].tolist()]}
    path = ranking.keep(tmp_path, GRID, POINTS, [huge, *RESULTS[1:]], OWN)
    assert pl.read_parquet(path)["skill_low"].to_list()[0] is None


def test_a_folder_takes_more_points_of_its_sweep_and_no_other_sweep(tmp_path):
    ranking.expect_own(tmp_path, OWN)
    path = ranking.keep(tmp_path, GRID, POINTS, RESULTS, OWN)
    ranking.expect_own(tmp_path, [*OWN, "e"])
    with pytest.raises(SinkError, match="another sweep; name another folder with"):
        ranking.expect_own(tmp_path, OWN[1:])
    pl.DataFrame({"skill": [0.5]}).write_parquet(path)  # as a former version wrote it
    with pytest.raises(SinkError, match="another sweep"):
        ranking.expect_own(tmp_path, OWN)


def test_a_damaged_file_of_results_is_refused_and_stays(tmp_path):
    path = ranking.keep(tmp_path, GRID, POINTS, RESULTS, OWN)
    path.write_bytes(damaged := path.read_bytes()[:-40])
    with pytest.raises(SinkError, match="was a damaged or another file; name another"):
        ranking.expect_own(tmp_path, OWN)
    assert path.read_bytes() == damaged


def test_points_are_told_apart_by_any_setting():
    tried = [from_tree({"model": {"states": n}, "run": {"seed": s}})
             for n in (4, 5) for s in (0, 1)]  # fmt: skip
    assert len(set(ranking.identities([*tried, *tried]))) == 4
