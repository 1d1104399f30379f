from __future__ import annotations

import pytest

from sfm_stream.records import KINDS, Records
from sfm_stream.sinks import MemorySink
from sfm_stream.sinks.chosen import Chosen
from tests.records_rig import some

BLOCK = some(0, 60, ("a", "b", "c"))


def passed(kinds, streams):
    sink = MemorySink()
    Chosen(sink, kinds, streams).write(BLOCK)
    return list(sink.rows())


@pytest.mark.parametrize("streams", [(), ("b",), ("c", "a"), ("b", "unknown")])
@pytest.mark.parametrize("kinds", [(), ("scores",), ("forecasts", "decisions")])
def test_chosen_kinds_and_streams_alone_are_passed_on(kinds, streams):
    types = {KINDS[kind] for kind in kinds or KINDS}
    expected = [
        row
        for row in BLOCK.rows()
        if type(row) in types and (not streams or row.stream in {"", *streams})
    ]
    assert passed(kinds, streams) == expected
    assert expected


def test_what_is_left_out_is_not_there_in_columns_either():
    sink = MemorySink()
    chosen = Chosen(sink, ("scores",), ("a",))
    chosen.write(BLOCK)
    chosen.write(Records({}, {}))
    assert list(sink.records[0].columns) == ["scores"]
    chosen.flush()
    assert chosen.position() == {"blocks": 2}
    chosen.close()
