from __future__ import annotations

import re

import numpy as np
import pytest

from connectors.files.columns import derived
from sfm_stream.errors import ConfigError, FeedError

ROWS = {"x": np.array([4.0, -1.5, 0.25, 9.0]), "y": np.array([2.0, 0.5, 3.0, -1.0])}
OWN = (
    "(x + y) / 2", "x * y - x % 2", "-x", "abs(x)", "ln(1 + abs(x))", "log10(abs(x))",
    "sqrt(abs(x))", "power(x, 2)", "round(x, 1)", "floor(x) + ceil(y)", "sign(x)",
    "sin(x) + atan2(x, y)", "greatest(x, y)", "least(x, y)", "coalesce(x, y)",
    "nullif(x, 4)", "CASE WHEN x > y THEN x ELSE y END", "x BETWEEN 0 AND 5",
    "x > 1 AND NOT y < 2", "x IN (4, 9)", "x IS NOT NULL", "try_cast(x AS int)", "x > y",
    "exp(x)", "3",
)  # fmt: skip
OTHERS = (
    "avg(x)",
    "x - avg(x)",
    "CASE WHEN x > 9 THEN max(x) ELSE 0 END",
    "count(*)",
    "sum(x) OVER (PARTITION BY y)",
    "unnest(x)",
    "substr(x, 1)",
)


def made(text, rows=ROWS):
    return derived.values(rows, derived.expression("z", text), "a.csv")


@pytest.mark.parametrize("text", OWN)
def test_each_row_gives_alone_what_it_gives_among_others(text):
    whole = np.broadcast_to(made(text), len(ROWS["x"]))
    each = [made(text, {k: v[[i]] for k, v in ROWS.items()})[0] for i in range(4)]
    np.testing.assert_array_equal(whole, each)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coalesce(x, y)", [1.0, 5.0]),
        ("x IS NULL", [0.0, 1.0]),
        ("CASE WHEN x > 0 THEN x ELSE y END", [1.0, 5.0]),
        ("x + y", [3.0, np.nan]),
    ],
)
def test_a_missing_cell_is_null(text, expected):
    rows = {"x": np.array([1.0, np.nan]), "y": np.array([2.0, 5.0])}
    np.testing.assert_array_equal(made(text, rows), expected)


@pytest.mark.parametrize(
    "text", ["greatest(x, first_value(x))", "lead(x) OVER (ORDER BY y)", "(SELECT 1)"]
)
def test_what_older_releases_of_polars_cannot_read_is_refused_too(text):
    with pytest.raises(ConfigError, match=r"derive\.z: expected an expression"):
        derived.expression("z", text)


@pytest.mark.parametrize("text", OTHERS)
def test_what_may_look_at_other_rows_is_refused_by_name(text):
    with pytest.raises(ConfigError) as e:
        derived.expression("z", text)
    told = "feed.options.derive.z: expected an expression of one row's numbers, was "
    assert str(e.value).startswith(told + repr(text))
    # releases of Polars have names of their own
    assert re.search(r"known to stay within a row, [\w.]+ is not$", str(e.value))


@pytest.mark.parametrize(
    ("text", "kind"), [("x || y", "String"), ("date '2024-01-01'", "Date")]
)
def test_what_gives_no_number_is_refused(text, kind):
    problem = f"expected an expression that gives a number, was .*; it gives {kind}"
    with pytest.raises(ConfigError, match=problem):
        derived.expression("z", text)


@pytest.mark.parametrize("text", ["x +", '"x', "x LIKE 'a'", "sinh(x)", ""])
def test_what_is_no_expression_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match="expected an expression, was") as e:
        derived.expression("z", text)
    assert "\n" not in str(e.value)


def test_a_number_that_does_not_fit_is_an_error_that_names_the_remedy():
    with pytest.raises(FeedError, match=r"derive\.z cannot .*try_cast") as e:
        made("cast(x AS int)", {"x": np.array([1e300])})
    assert e.value.source == "a.csv"
    assert "\n" not in str(e.value)
