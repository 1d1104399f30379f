"""Files as exports, browsers and markets write them."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from connectors.files.parquet import Parquet
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError, NoRows
from sfm_stream.events import NO_TIME
from tests.test_connectors_files_kinds import opened, whole

START, QUARTER = 1_714_521_600, 900  # 2024-05-01, and a quarter of an hour
ROWS = 48
VALUES = [100 + (i * 37 % 11) / 10 for i in range(ROWS)]


def moments(form, step=QUARTER, since=0):
    at = np.datetime64(START, "s").astype("datetime64[s]")
    return [(at + since + i * step).item().strftime(form) for i in range(ROWS)]


def expect_read(feed, step=QUARTER, first=START):
    block = whole(feed)
    assert block.time.tolist() == [(first + i * step) * 10**9 for i in range(ROWS)]
    assert block.values[:, 0].tolist() == VALUES


def lines(times, separator=",", head="when"):
    rows = [f"{t}{separator}{v}" for t, v in zip(times, VALUES, strict=True)]
    return "\n".join([f"{head}{separator}load", *rows]) + "\n"


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S GMT+0200",
        "%Y-%m-%dT%H:%M:%S UTC+02:00",
        "%a %b %d %Y %H:%M:%S GMT+0200 (CEST)",
        "%d %B %Y %H:%M GMT+0200 (Central European Summer Time)",
    ],
)
def test_offsets_as_browsers_write_them_are_read(tmp_path, form):
    expect_read(opened(tmp_path, lines(moments(form))), first=START - 7200)


@pytest.mark.parametrize("between", [" - ", " \u2013 ", " to "])
@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S"])
def test_an_interval_is_told_by_its_start(tmp_path, form, between):
    ends = moments(form, since=QUARTER)
    spans = [f"{a}{between}{b}" for a, b in zip(moments(form), ends, strict=True)]
    expect_read(opened(tmp_path, lines(spans, head="MTU (UTC)")))


@pytest.mark.parametrize("first", [0, 1])
def test_hours_beside_dates_are_times_of_day(tmp_path, first):
    dates = moments("%Y-%m-%d", step=3600)
    rows = [
        f"{day},{i % 24 + first},{value}"
        for i, (day, value) in enumerate(zip(dates, VALUES, strict=True))
    ]
    feed = opened(tmp_path, "\n".join(["date,hour,load", *rows]) + "\n")
    assert feed.fields == ("load",)
    expect_read(feed, step=3600, first=START + 3600 * first)


def test_a_column_of_other_whole_numbers_is_no_hour(tmp_path):
    dates = moments("%Y-%m-%d", step=86_400)
    rows = [f"{d},{i},{v}" for i, (d, v) in enumerate(zip(dates, VALUES, strict=True))]
    feed = opened(tmp_path, "\n".join(["date,hour,load", *rows]) + "\n")
    assert feed.fields == ("hour", "load")


def test_an_array_with_a_line_for_each_record_is_read(tmp_path):
    times = moments("%Y-%m-%d %H:%M:%S")
    told = [{"when": t, "load": v} for t, v in zip(times, VALUES, strict=True)]
    text = "[\n" + ",\n".join(json.dumps(one) for one in told) + "\n]\n"
    feed = opened(tmp_path, text, "a.jsonl", connector="jsonl")
    expect_read(feed)
    assert feed.tally.counts == {}


def test_a_record_of_whole_columns_is_refused_with_the_way_out(tmp_path):
    text = json.dumps({"when": moments("%Y-%m-%d %H:%M"), "load": VALUES})
    with pytest.raises(NoRows, match=r"one with 'when' as a list.*transpose"):
        opened(tmp_path, text, "a.jsonl", connector="jsonl")


def test_a_target_that_stands_still_is_told(tmp_path):
    times = moments("%Y-%m-%d %H:%M:%S")
    rows = [f"{t},0,{v}" for t, v in zip(times, VALUES, strict=True)]
    feed = opened(tmp_path, "\n".join(["when,table,load", *rows]) + "\n")
    assert any(
        "the target 'table' is 0 in all of the first rows; target.values names "
        "another, e.g. 'load'" in note
        for note in feed.notes
    )
    named = opened(
        tmp_path, "\n".join(["when,table,load", *rows]) + "\n", fields=["table", "load"]
    )
    assert not any("stands" in note or "in all of" in note for note in named.notes)


@pytest.mark.parametrize("form", ["%Y-%j", "%G-W%V-%u", "%Y-%jT%H:%M"])
def test_days_of_the_year_and_of_weeks_are_times(tmp_path, form):
    step = QUARTER if "H" in form else 86_400
    expect_read(opened(tmp_path, lines(moments(form, step))), step=step)


def test_numbers_of_bills_are_no_days_of_the_year(tmp_path):
    rows = [f"2024-{i + 1:03},{v}" for i, v in enumerate(VALUES)]
    feed = opened(tmp_path, "\n".join(["bill,load", *rows]) + "\n")
    assert not feed.is_timed
    assert (whole(feed).time != NO_TIME).all()


def test_numbers_without_a_name_are_a_field(tmp_path):
    text = lines([f"{t},{i * 7 % 5}.5" for i, t in enumerate(moments("%F %T"))])
    feed = opened(tmp_path, text.replace("when,", "when,,"))
    assert feed.fields == ("Unnamed: 1", "load")
    assert whole(feed).values[:3].tolist() == [[0.5, 100], [2.5, 100.4], [4.5, 100.8]]


def test_counts_of_rows_without_a_name_are_left_out_and_told(tmp_path):
    text = lines([f"{t},{i}" for i, t in enumerate(moments("%F %T"))])
    feed = opened(tmp_path, text.replace("when,", "when,,"))
    assert feed.fields == ("load",)
    assert "left out: 'Unnamed: 1' counts rows" in feed.notes


def test_times_without_a_name_are_found(tmp_path):
    expect_read(opened(tmp_path, lines(moments("%F %T"), head="")))
    expect_read(opened(tmp_path, lines(moments("%s"), head="")))


def test_a_separator_behind_every_row_is_not_spoken_of(tmp_path):
    feed = opened(tmp_path, lines(moments("%F %T")).replace("\n", ",\n"))
    assert feed.fields == ("load",)
    assert not any("left out" in note for note in feed.notes)


@pytest.mark.parametrize("fields", [[], [""]])
def test_a_column_whose_name_is_empty_is_read(tmp_path, fields):
    pl.DataFrame({"": VALUES}).write_parquet(tmp_path / "a.parquet")
    feed = {"connector": "parquet", "path": str(tmp_path / "a.parquet")}
    made = Parquet(from_tree({"feed": feed, "stream": {"fields": fields}}))
    assert made.fields == ("",)
    assert whole(made).values[:, 0].tolist() == VALUES


def test_seconds_from_a_start_are_no_target(tmp_path):
    feed = opened(tmp_path, lines([f"{i / 100:.2f}" for i in range(ROWS)], head="time"))
    assert feed.fields == ("load",)
    assert any("'time' counts from a start, first 0 and 0.01" in n for n in feed.notes)
    again = opened(tmp_path, (tmp_path / "a.csv").read_text(), fields=["time"])
    assert again.fields == ("time",)


def test_the_names_that_an_error_gives_tell_columns_apart(tmp_path):
    text = lines([f"{t},7" for t in moments("%F %T")], head="when,load")
    with pytest.raises(FeedError) as e:
        opened(tmp_path, text)
    told = str(e.value).split("feed.options.names = ")[1]
    names = json.loads(told.split(" tells")[0])
    assert names == ["when", "load", "load 2"]
    feed = opened(tmp_path, text, names=names, header=False, skip=1)
    assert feed.fields == ("load", "load 2")
    assert whole(feed).values[:, 1].tolist() == VALUES


def test_one_sign_cannot_be_two_things(tmp_path):
    problem = "expected another sign than feed.options.decimal, was ','"
    with pytest.raises(ConfigError, match=problem) as e:
        opened(tmp_path, lines(moments("%F %T")), decimal=",", thousands=",")
    assert e.value.at == "feed.options.thousands"
