from __future__ import annotations

import logging

import pytest

from sfm_stream.notices import Level, error, info, warning


@pytest.mark.parametrize(
    ("make", "level"),
    [(info, Level.INFO), (warning, Level.WARNING), (error, Level.ERROR)],
)
def test_a_notice_is_its_text_and_knows_its_level(make, level):
    made = make("the disk is full")
    assert made == "the disk is full"
    assert made.level is level
    assert logging.getLevelName(made.level) == level.name
