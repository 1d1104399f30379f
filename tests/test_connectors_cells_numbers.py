from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cells import numbers
from connectors.cells.numbers import MISSING, Notation

NAN = np.nan


def read(cells, notation=None):
    found, odd = numbers.read(
        pl.Series("a", cells, dtype=pl.String), notation or Notation()
    )
    return found.tolist(), odd.to_list()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.5", 1.5), (" -2 ", -2), ("+3", 3), ("1e3", 1000), (".5", 0.5), ("5.", 5),
        ("-0.3%", -0.003), ("10.4K", 10_400), ("2.5M", 2.5e6), ("1B", 1e9),
        ("$12.50", 12.5), ("(1.5)", -1.5), ("\u22121.5", -1.5), ("true", 1),
        ("False", 0), ("inf", np.inf), ("-Infinity", -np.inf),
    ],
)  # fmt: skip
def test_a_number_is_read_however_it_is_written(cell, value):
    # beside a plain one, and beside a word for none
    found, odd = read(["7", cell, "NA"])
    np.testing.assert_allclose(found, [7, value, NAN])
    assert not any(odd)


@pytest.mark.parametrize(
    ("decimal", "thousands", "cell", "value"),
    [
        (",", ".", "1.234,56", 1234.56), (",", ".", "99,95", 99.95),
        (".", ",", "20,999.5", 20_999.5), (".", ",", "12,34,567", 1_234_567),
        (",", " ", "1 234,5", 1234.5), (",", " ", "1\xa0234,5", 1234.5),
        (",", " ", "1\u202f234,5", 1234.5), (".", "'", "1'234.5", 1234.5),
        (".", ",", "1,234K", 1_234_000), (",", ".", "-0,3%", -0.003),
    ],
)  # fmt: skip
def test_signs_of_decimals_and_thousands_are_those_that_are_named(
    decimal, thousands, cell, value
):
    found, odd = read([cell], Notation(decimal, thousands))
    np.testing.assert_allclose(found, [value])
    assert odd == [False]


@pytest.mark.parametrize(
    "cell", ["abc", "1.2.3", "1,2", "--5", "12:30", "2024-01-02", "1.5 kg", "%", "K"]
)
def test_a_cell_that_is_no_number_is_marked(cell):
    found, odd = read(["1", cell])
    assert np.isnan(found[1])
    assert odd == [False, True]


def test_groups_of_other_than_three_digits_are_no_number():
    assert read(["99,95", "1,2,3"], Notation(".", ","))[1] == [True, True]


@pytest.mark.parametrize("word", MISSING)
def test_a_word_for_a_missing_value_is_one(word):
    found, odd = read(["1", word, f" {word} "])
    assert np.isnan(found[1:]).all()
    assert not any(odd)


def test_other_words_are_named_and_numbers_may_be_among_them():
    notation = Notation(missing=("-9999", "void"))
    found, odd = read(["1", "-9999", "-9999.0", "void", "NA"], notation)
    np.testing.assert_array_equal(found, [1, NAN, NAN, NAN, NAN])
    assert odd == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("cells", "signs"),
    [
        (["1.5", "2"], [(".", "")]),
        (["99,95", "100,1"], [(",", ".")]),
        (["20,999.5", "21,000.1"], [(".", ",")]),
        (["1.234,5", "2,5"], [(",", ".")]),
        (["1'234.5", "999.5"], [(".", "'")]),
        (["1 234,5", "2,5"], [(",", " ")]),
        (["AAPL", "A,B"], [(".", "")]),
    ],
)
def test_the_notation_is_the_one_that_reads_the_column(cells, signs):
    found, _ = numbers.recognise({"a": pl.Series(cells)}, MISSING)
    assert [(n.decimal, n.thousands) for n in found] == signs


def test_a_cell_of_two_readings_has_both_and_another_column_decides():
    doubtful = pl.Series(["1,234", "2,345"])
    found, known = numbers.recognise({"a": doubtful}, MISSING)
    assert {n.decimal for n in found} == {",", "."}
    assert set(known) == {"a"}
    columns = {"a": doubtful, "b": pl.Series(["20,999.5", "20,998.5"])}
    found, _ = numbers.recognise(columns, MISSING)
    assert [(n.decimal, n.thousands) for n in found] == [(".", ",")]


@given(
    st.lists(
        st.floats(-1e12, 1e12).map(lambda x: round(x, 2)), min_size=1, max_size=20
    ),
    st.sampled_from([(",", "."), (".", ","), (",", " "), (".", "'")]),
)
def test_every_number_comes_back_in_every_notation(values, signs):
    decimal, thousands = signs
    swap = str.maketrans(",.", thousands + decimal)
    cells = [f"{v:,.2f}".translate(swap) for v in values]
    found, odd = read(cells, Notation(decimal, thousands))
    assert not any(odd)
    np.testing.assert_allclose(found, values, rtol=1e-12)


def test_a_column_of_some_text_is_one_of_numbers_and_one_of_much_is_not():
    some = pl.Series(["1", "2", "3", "oops", None, "NA"])
    assert numbers.is_numeric(some, Notation())
    assert not numbers.is_numeric(pl.Series(["1", "x", "y", "z"]), Notation())
    assert not numbers.is_numeric(pl.Series([None, "", "NA"]), Notation())


def test_only_the_largest_of_64_bits_stand_for_none():
    given_ = np.array([2.0**63, -(2.0**63), 2.0**64, 9.2e18, np.inf, np.nan, 0])
    assert numbers.is_sentinel(given_).tolist() == [True, True, True] + [False] * 4
