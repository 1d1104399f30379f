"""Every pair of a state and a step leads somewhere that is written down, or is refused."""

from __future__ import annotations

from itertools import product

import pytest

from connectors.live.connection.states import TRANSITIONS, State, Step, after
from sfm_stream.errors import InvalidState

# What follows, state by state; `.` where the step cannot happen.
WRITTEN = """
             TRY         STAND        SPEAK  HUSH   END      STOP
init         connecting  .            .      .      .        closed
connecting   .           subscribing  .      .      backoff  closed
subscribing  .           .            live   stale  backoff  closed
live         .           .            live   stale  backoff  closed
stale        .           .            live   stale  backoff  closed
backoff      connecting  .            .      .      .        closed
closed       .           .            .      .      .        .
"""


def written():
    head, *lines = WRITTEN.strip().splitlines()
    steps = head.split()
    rows = [line.split() for line in lines]
    return {
        (State(row[0]), Step[step]): None if cell == "." else State(cell)
        for row in rows
        for step, cell in zip(steps, row[1:], strict=True)
    }


def test_the_table_covers_every_pair():
    assert set(written()) == set(product(State, Step))
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "step"), list(product(State, Step)))
def test_each_pair_leads_where_it_is_written_or_is_refused(state, step):
    following = written()[state, step]
    if following is None:
        with pytest.raises(
            InvalidState, match=rf"{state.value}: expected .*was {step.name}"
        ):
            after(state, step)
    else:
        assert after(state, step) is following


def test_every_state_is_reached_and_only_one_is_final():
    reached, last = {State.INIT}, set()
    while reached != last:
        last = set(reached)
        reached |= {to for state in last for to in TRANSITIONS[state].values()}
    assert reached == set(State)
    assert [state for state in State if not TRANSITIONS[state]] == [State.CLOSED]
