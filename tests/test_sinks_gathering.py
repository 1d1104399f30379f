from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.sinks import gathering
from sfm_stream.sinks.gathering import Gathering, Pile
from tests.records_rig import cut, some

BLOCK = some(0, 40)


def column(*values):
    return {"seq": np.array(values)}


@given(
    pieces=st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1),
    count=st.integers(1, 9),
)
def test_rows_leave_a_pile_in_the_order_they_came(pieces, count):
    pile, found = Pile(), []
    for piece in pieces:
        pile.add(column(*piece))
        while pile.rows >= count:
            found += pile.first(count)["seq"].tolist()
            pile.drop(count)
    if pile.rows:
        found += pile.first(pile.rows)["seq"].tolist()
    assert found == [value for piece in pieces for value in piece]


def test_pile_of_many_pieces_stays_in_few_arrays():
    pile = Pile()
    for i in range(10 * gathering.LOOSE_PIECES):
        pile.add(column(i))
    assert len(pile._joined) + len(pile._loose) <= 10
    assert pile.first(pile.rows)["seq"].tolist() == list(range(pile.rows))


@settings(max_examples=50)
@given(places=st.lists(st.integers(0, 40)).map(sorted))
def test_any_chunking_gives_the_same_records(places):
    gathered = Gathering()
    for records in cut(BLOCK, *places):
        gathered.add(records)
    assert gathered.rows == len(BLOCK)
    assert list(gathered.take().rows()) == list(BLOCK.rows())
    assert gathered.rows == 0


def test_names_of_streams_that_came_later_are_known():
    blocks = [some(0, 9, ("a",)), some(9, 9, ("a", "b"))]
    gathered = Gathering()
    for block in blocks:
        gathered.add(block)
    assert list(gathered.take().rows()) == [r for b in blocks for r in b.rows()]
