from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Label, Tick

ONE, TWO = Tick("a", 10**18, (1.0,)), Tick("a", 10**18 + 1, (2.0,))


def test_former_names_warn_of_the_new_ones_and_do_the_same():
    engine, other = (Engine(from_tree({}), ["y"]) for _ in range(2))
    with pytest.warns(DeprecationWarning, match=r"begin is now Engine\.observe_block"):
        said = engine.begin(Block.of([ONE], 1))
    with pytest.warns(DeprecationWarning, match="learn_block"):
        engine.finish()
    with pytest.warns(DeprecationWarning, match="peek_array"):
        expected = engine.expect(TWO).copy()
    with pytest.warns(DeprecationWarning, match="observe_labelled"):
        scores = engine.answer(TWO, Label("a", TWO.time, (3.0,)))
    assert list(said.rows()) == other.observe(ONE)
    other.learn()
    np.testing.assert_array_equal(expected, other.peek_array(TWO))
    expected = other.observe_labelled(TWO, Label("a", TWO.time, (3.0,)))
    np.testing.assert_array_equal(scores, expected)
