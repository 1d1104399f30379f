from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cells import date_and_time, dates

DAY = 86_400 * 10**9
WIDTHS = {"%H%M": 4, "%H%M%S": 6, "%H%M%S%3f": 9}


def test_times_of_day_are_told_from_times():
    assert date_and_time.is_time_of_day(pl.Series(["00:01", "9:30", "23:59:59.5"]))
    assert not date_and_time.is_time_of_day(pl.Series(["00:01", "2024-01-01"]))


@pytest.mark.parametrize(
    ("cells", "digits"),
    [
        (["93000", "100000"], 6), (["093000", "235959"], 6), (["0", "30", "2359"], 4),
        (["2430"], 6), (["930", "1600"], 4), (["93000123", "160000456"], 9),
        (["93000.5"], 6), (["9", "16"], 0), (["240000"], 0), (["9:30"], 0), (["990000"], 0),
        (["999999999"], 0), (["7000000000"], 0), ([None, ""], 0),
    ],
)  # fmt: skip
def test_the_digits_of_times_without_separators_are_counted(cells, digits):
    assert date_and_time.bare_digits(pl.Series(cells, dtype=pl.String)) == digits


@given(
    st.lists(st.integers(0, DAY // 10**6 - 1), min_size=1, max_size=20),
    st.sampled_from(list(WIDTHS)),
    st.booleans(),
)
def test_zeros_that_numbers_lost_are_put_back(millis, form, stripped):
    whole = np.array(millis) * 10**6
    seconds = whole // 10**9
    clock = [f"{s // 3600:02}{s // 60 % 60:02}{s % 60:02}{ns % 10**9 // 10**6:03}"
             for s, ns in zip(seconds.tolist(), whole.tolist(), strict=True)]  # fmt: skip
    width = WIDTHS[form]
    cells = [
        one[:width].lstrip("0") or "0" if stripped else one[:width] for one in clock
    ]
    frame = pl.DataFrame({"d": ["2024-01-02"] * len(cells), "t": cells})
    read = dates.Clock(("d", "t"), form=f"%Y-%m-%d {form}").read(frame)
    unit = {4: 60 * 10**9, 6: 10**9, 9: 10**6}[width]
    midnight = np.datetime64("2024-01-02", "ns").astype(np.int64)
    assert (read - midnight).tolist() == (whole // unit * unit).tolist()
