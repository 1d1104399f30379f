"""An update takes a step from new labels and one from old ones, or none at all."""

from __future__ import annotations

import numpy as np

from sfm_stream.events.kinds import FREEZE
from sfm_stream.state import places
from tests.kernels_rig import START, Rig, control, join, ticks, tones

LEARN = {"window": 8, "every": 8}


def test_old_windows_move_the_weights_once_more():
    with_old, without = (
        Rig({"learn": LEARN | {"replay": replay}}) for replay in (400, 0)
    )
    for r in (with_old, without):
        r.run(ticks(tones(200)))
    steps = [int(r.view("counters")[places.ADAM_STEP]) for r in (with_old, without)]
    versions = [int(r.view("counters")[places.VERSION]) for r in (with_old, without)]
    assert versions[0] == versions[1] == steps[1]
    assert 1.8 * steps[1] < steps[0] < 2 * steps[1]
    assert without.view("kept_u").size == 0


def test_frozen_weights_rest_and_nothing_is_kept():
    r = Rig({"learn": LEARN | {"replay": 400}})
    r.run(join(control(START - 1, FREEZE), ticks(tones(100))))
    before = r.view("weights").copy()
    r.run(ticks(tones(100), START + 10**9 * np.arange(100, 200)))
    np.testing.assert_array_equal(r.view("weights"), before)
    assert r.view("counters")[places.OFFERED] == 0
