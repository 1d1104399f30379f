from __future__ import annotations

import pytest

from connectors.live.piped.first_lines import ENOUGH, first_lines
from connectors.tally import Tally
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError, NoRows

ODD = '{"event":"subscribed"}'
BEAT = '{"event":"subscribed","id":1}'
QUOTE = '{"t":1690000000,"s":"a","bid":1,"ask":2}'


def read(*lots, **settings):
    """Give the lines kept, the fields, and what was passed over."""
    return read_from(iter(lots), **settings)


def read_from(lots, connector="jsonl", fields=(), targets=(), **feed):
    config = from_tree(
        {
            "feed": {"connector": connector, "path": "-", **feed},
            "stream": {"fields": list(fields)},
            "target": {"values": list(targets)},
        }
    )
    odd = Tally()
    texts = (lot.encode() + b"\n" for lot in lots)
    head, table = first_lines(config, texts, odd)
    return head.decode().splitlines(), table.fields, odd


@pytest.mark.parametrize(
    ("first", "given"),
    [
        (ODD, {}),
        (BEAT, {"targets": ["bid"]}),
        (BEAT, {"targets": ["mid"]}),
        ('{"bid":1}', {"time": "t"}),
        (BEAT, {"time": "t"}),
        (BEAT, {"symbol": "s"}),
        (BEAT, {"columns": {"price": "bid"}}),
    ],
)
def test_a_record_without_what_is_needed_is_passed_over_and_counted(first, given):
    head, _, odd = read(first, QUOTE, **given)
    assert head == [QUOTE]
    assert odd.counts["garbage"] == 1
    assert first in odd.examples["garbage"]


def test_of_records_that_come_together_most_decide():
    head, fields, odd = read(f"{BEAT}\n{QUOTE}\n{BEAT}\n{QUOTE}\n{QUOTE}")
    assert fields == ("bid", "ask")
    assert head == [QUOTE, BEAT, QUOTE, QUOTE]
    assert odd.counts["garbage"] == 1


def test_a_record_alone_decides_before_others_come():
    lots = iter([BEAT, QUOTE, QUOTE])
    _, fields, _ = read_from(lots)
    assert fields == ("id",)
    assert list(lots) == [QUOTE, QUOTE]


def test_what_is_no_record_is_kept_to_be_counted_with_all_lines():
    head, _, odd = read("{gar", QUOTE)
    assert head == ["{gar", QUOTE]
    assert not odd.counts


def test_named_fields_are_waited_for():
    head, fields, odd = read(BEAT, QUOTE, fields=["bid"])
    assert (head, fields) == ([BEAT, QUOTE], ("bid",))
    assert not odd.counts


def test_fields_that_are_named_may_come_in_records_of_their_own():
    lines = '{"t": 1690000000, "temp": 1}\n{"t": 1690000001, "hum": 3}'
    _, fields, _ = read(lines, fields=["temp", "hum"])
    assert fields == ("temp", "hum")


def test_what_no_record_has_ends_in_the_error_that_names_it():
    with pytest.raises(FeedError, match="no such column"):
        read(QUOTE, QUOTE, time="when")


def test_what_no_record_of_many_has_is_an_error_though_more_would_come():
    lots = iter([QUOTE] * (ENOUGH + 5))
    with pytest.raises(FeedError, match="no such column"):
        read_from(lots, time="when")
    assert len(list(lots)) == 5


def test_a_wrong_setting_is_said_at_the_first_record():
    with pytest.raises(ConfigError, match="derive"):
        read(QUOTE, options={"derive": {"x": "bid +"}})


def test_times_with_two_readings_are_said_at_the_first_record():
    with pytest.raises(FeedError, match="expected one reading"):
        read('{"t":"01/02/2024 10:00:00","v":1}')


def test_rows_with_two_readings_are_said_and_the_input_is_blamed():
    rows = "".join(f"\n0{i}/02/2024 10:00:00,{i}" for i in range(1, 5))
    with pytest.raises(FeedError, match=r"input column .*expected one reading"):
        read("time,price" + rows, connector="csv")


def test_lines_are_waited_for_until_one_is_a_row():
    lots = "exported by us", "", "time,price", "1699999990,1", "1699999991,2"
    head, fields, _ = read(*lots, connector="csv")
    assert fields == ("price",)
    assert head == [*lots[:4]]


def test_only_lines_without_values_end_in_an_error_that_names_the_first():
    with pytest.raises(NoRows, match=r"the first line was 'hum 1 \?'"):
        read("\n hum 1 ?", *["hum"] * ENOUGH)
