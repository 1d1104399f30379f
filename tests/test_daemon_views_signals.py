from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.config import from_tree
from sfm_stream.daemon.views.signals import Signals
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Tick
from sfm_stream.state.inputs import DERIVED
from tests.daemon_rig import SECOND, SMALL, START

QUOTE = ("bid", "ask", "bid_qty", "ask_qty")
"""The operands of all derived values."""


@pytest.mark.parametrize("target", ["ask", *DERIVED])
def test_targets_are_those_the_engine_scores_by(target):
    settings = from_tree({**SMALL, "target": {"values": [target]}})
    engine = Engine(settings, QUOTE)
    values = np.random.default_rng(3).uniform(1, 9, (40, 4))
    values[10, 2:] = 0  # nothing is offered
    ticks = [Tick("a", START + i * SECOND, tuple(v)) for i, v in enumerate(values)]
    scores = engine.run(Block.of(ticks, 4)).columns["scores"]
    found = Signals(settings, QUOTE).of(values, np.zeros(40, int))
    np.testing.assert_allclose(found[scores["origin"]], scores["naive"], rtol=1e-12)


def test_of_ticks_folded_into_bins_nothing_is_known():
    settings = from_tree({**SMALL, "stream": {"every": "1s"}})
    assert np.isnan(
        Signals(settings, ("x",)).of(np.ones((2, 1)), np.zeros(2, int))
    ).all()
