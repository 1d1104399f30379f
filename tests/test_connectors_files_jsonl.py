from __future__ import annotations

import gzip

import numpy as np
import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.events.blocks import concatenate

BEGIN = 1_700_000_000
LINES = [
    f'{{"at": {BEGIN + i}, "hall": {{"t": {i / 2}, "door": true}}, "who": "a"}}'
    for i in range(60)
]


def opened(folder, lines, fields=(), name="a.jsonl", **feed):
    text = ("\n".join(lines) + "\n").encode(errors="surrogateescape")
    (folder / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    tree = {"connector": "jsonl", "path": str(folder / name), **feed}
    return open_feed(from_tree({"feed": tree, "stream": {"fields": list(fields)}}))


def whole(feed):
    return concatenate(list(feed.blocks(7)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_records_are_ticks_and_what_lies_deeper_has_dots(tmp_path, name):
    feed = opened(tmp_path, LINES, name=name)
    block = whole(feed)
    assert feed.fields == ("hall.t", "hall.door")
    assert block.time[0] == BEGIN * 10**9
    assert block.values[:, 0].tolist() == [i / 2 for i in range(60)]
    assert (block.values[:, 1] == 1).all()
    assert any("'who' holds text, first 'a'" in note for note in feed.notes)


def test_what_is_no_number_is_missing_and_what_is_no_record_is_counted(tmp_path):
    lines = LINES.copy()
    lines[3] = f'{{"at": {BEGIN + 3}, "hall": {{"t": NaN}}}}'
    lines[4] = f'{{"at": {BEGIN + 4}, "hall": {{"t": "unavailable"}}}}'
    lines[5] = f'{{"at": {BEGIN + 5}}}'
    lines[6] = f'{{"at": {BEGIN + 6}, "hall": {{"t": "oops"}}}}'
    lines[7], lines[8] = '{"at": 17', "[1, 2]"
    feed = opened(tmp_path, lines, ["hall.t"])
    block = whole(feed)
    assert len(block) == 58
    assert np.flatnonzero(np.isnan(block.values[:, 0])).tolist() == [3, 4, 5, 6]
    assert feed.tally.counts == {
        "a line is no record of JSON": 2, "a cell is no number": 1,
    }  # fmt: skip
    assert feed.tally.rows == 2
    assert feed.tally.examples["a cell is no number"].endswith(
        "row 7 column 'hall.t': 'oops'"
    )
    assert feed.place(57).endswith("row 60")


HOSTILE = ["[" * 100_000, '{"at":' * 100_000, f'{{"at": {"9" * 5_000}}}', f'{{"at": -{"9" * 5_000}, "v": NaN}}',
           '"\udcff"']  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nesting_and_digits_without_end_are_a_line_lost(tmp_path, hostile):
    feed = opened(tmp_path, [hostile, *LINES[:30], hostile, *LINES[30:]], ["hall.t"])
    assert whole(feed).values[:, 0].tolist() == [i / 2 for i in range(60)]
    assert feed.tally.counts == {"a line is no record of JSON": 2}


def test_records_of_any_depth_are_ticks_or_lines_lost(tmp_path):
    deep = [f'{{"at": {"[" * i}{"]" * i}}}' for i in range(700, 1_100)]
    feed = opened(tmp_path, [*LINES, *deep], ["hall.t"])
    assert len(whole(feed)) + feed.tally.rows == len(LINES) + len(deep)


def test_a_name_that_is_not_there_is_told_with_the_nearest(tmp_path):
    with pytest.raises(FeedError, match=r"did you mean 'hall\.t'"):
        opened(tmp_path, LINES, ["hal.t"])


def test_a_file_without_a_record_is_refused(tmp_path):
    with pytest.raises(FeedError, match="expected records of JSON, was none"):
        opened(tmp_path, ["", "x"])


def test_an_array_of_records_is_told_with_the_way_out(tmp_path):
    text = "[" + ",".join(LINES) + "]"
    with pytest.raises(FeedError, match=r"was none; it holds one array: `jq -c"):
        opened(tmp_path, [text])


LATE = [f'{{"at": {BEGIN + i}, "a": {i}}}' for i in range(1_200)]
LATE[1_100] = f'{{"at": {BEGIN + 1_100}, "a": 1, "b": 2, "c": 3}}'
LATE[1_150] = f'{{"at": {BEGIN + 1_150}, "a": 1, "c": {{"d": 3}}}}'


def test_a_key_that_none_of_the_first_records_has_is_counted(tmp_path):
    feed = opened(tmp_path, LATE)
    assert feed.fields == ("a",)
    assert len(whole(feed)) == 1_200
    ((reason, count),) = feed.tally.counts.items()
    assert reason.startswith("a record with a key that is no field")
    assert count == 2
    assert feed.tally.rows == 0
    assert feed.tally.examples[reason].endswith("a.jsonl row 1101: 'b'")


def test_a_key_that_is_named_is_a_field_wherever_it_stands(tmp_path):
    feed = opened(tmp_path, LATE, ["a", "c.d"])
    assert np.flatnonzero(~np.isnan(whole(feed).values[:, 1])).tolist() == [1_150]
    assert not feed.tally.counts


@pytest.mark.parametrize(
    ("most", "few", "field", "what"),
    [("2", "[1, 2]", "v", "a list or a record"), ('{"x": {"y": 2}}', "1", "v.x.y", "a value"),
     ('{"x": 2}', '{"x": [3]}', "v.x", "a list or a record")],
)  # fmt: skip
def test_the_shape_of_most_records_decides_and_others_are_told(
    tmp_path, most, few, field, what
):
    lines = [f'{{"at": {BEGIN + i}, "v": {most}}}' for i in range(60)]
    lines[7] = f'{{"at": {BEGIN + 7}, "v": {few}}}'
    feed = opened(tmp_path, lines)
    assert feed.fields == (field,)
    assert any(f"{what}, in 1 of the first 60 records, first in record 8" in n for n in feed.notes)  # fmt: skip
    assert np.flatnonzero(np.isnan(whole(feed).values[:, 0])).tolist() == [7]
    named = opened(tmp_path, lines, [field])
    assert not any("left out" in note for note in named.notes)


def test_a_key_with_a_dot_is_no_other_shape(tmp_path):
    lines = [f'{{"at": {BEGIN + i}, "cpu": 1, "cpu.user": {i}}}' for i in range(60)]
    assert opened(tmp_path, lines).fields == ("cpu", "cpu.user")
