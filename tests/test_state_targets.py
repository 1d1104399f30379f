from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest

from sfm_stream.config import Target, from_tree
from sfm_stream.state import targets


def config(*horizons, max_pending=4096):
    return from_tree(
        {"target": {"horizons": list(horizons)}, "learn": {"max_pending": max_pending}}
    )


def test_horizons_are_ticks_or_nanoseconds_in_the_order_given():
    table = targets.horizon_table(config(10, "1..3", "1.5s", "2m"))
    assert table.dtype == np.int64
    assert table.tolist() == [
        [10, 0], [1, 0], [2, 0], [3, 0], [0, 1_500_000_000], [0, 120_000_000_000],
    ]  # fmt: skip


def test_labels_name_the_rows_of_the_table():
    settings = config("9..11", "100ms", 1)
    assert targets.labels(settings) == ("9", "10", "11", "100ms", "1")
    assert len(targets.horizon_table(settings)) == len(targets.labels(settings))


@pytest.mark.parametrize(
    ("horizons", "ticks"),
    [((1,), 1), ((3, 50, 7), 50), (("1..24",), 24), ((1, "1s"), 60), (("1ns",), 60)],
)
def test_a_forecast_waits_for_the_longest_horizon_or_for_as_long_as_it_may(
    horizons, ticks
):
    assert targets.longest_wait(config(*horizons, max_pending=60)) == ticks


def test_every_kind_of_prediction_has_a_code_of_its_own():
    named = get_args(get_type_hints(Target)["predict"])
    assert set(targets.PREDICT) == set(named)
    assert len(set(targets.PREDICT.values())) == len(named)
    assert targets.PREDICT == {
        "change": targets.PREDICT_CHANGE,
        "log-return": targets.PREDICT_LOG_RETURN,
        "level": targets.PREDICT_LEVEL,
    }
