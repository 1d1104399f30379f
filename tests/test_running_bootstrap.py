from __future__ import annotations

import numpy as np

from sfm_stream.running import bootstrap


def test_the_interval_holds_the_skill_as_often_as_it_says():
    random = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        theirs = random.exponential(size=50)
        ours = theirs * random.uniform(0.3, 0.7, 50)  # a skill of .5
        low, high = bootstrap.interval(bootstrap.skills(ours, theirs))
        held += low <= 0.5 <= high
    assert 165 <= held <= 195


def test_two_models_are_drawn_alike_so_what_is_common_cancels():
    theirs = np.random.default_rng(1).exponential(size=40)
    rough = np.random.default_rng(2).exponential(size=40)
    both = np.stack([rough, rough + 0.1 * theirs])
    one, two = bootstrap.skills(both, np.stack([theirs, theirs]))
    low, high = bootstrap.interval(one - two)
    assert np.allclose([low, high], 0.1)


def test_where_the_last_value_was_never_wrong_there_is_no_interval():
    assert bootstrap.interval(bootstrap.skills(np.ones(10), np.zeros(10))) is None


def test_draws_with_squares_too_large_for_a_float_have_no_skill():
    ours, theirs = np.ones(10), np.full(10, 2.0)
    ours[3] = theirs[3] = np.inf
    drawn = bootstrap.skills(ours, theirs)
    assert np.unique(drawn[np.isfinite(drawn)]) == 0.5
    assert np.isnan(drawn).sum() > 500
    assert np.isnan(bootstrap.skills(np.full(10, 1e308), theirs)).all()
