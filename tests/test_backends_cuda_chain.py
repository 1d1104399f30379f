"""The backend `cuda` says what the CPU says: in numba's simulator, over fibers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import cuda_rig

pytest.importorskip("numba_cuda", reason="needs the extra `cuda`")
pytestmark = cuda_rig.NEEDS_COMPILER
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Give what went wrong in each story, by its name."""
    folder = str(tmp_path_factory.mktemp("simulated"))
    command = [sys.executable, "-W", "ignore", "-m", "tests.cuda_simulated", folder]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(  # noqa: S603 our own stories
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "story",
    [
        "a_story_of_everything", "adaptive_frequencies_on_the_clock",
        "more_records_than_there_is_room_for", "strangers_and_folded_ticks",
        "without_a_cell", "a_clock_that_was_set_back", "one_event_at_a_time", "a_label_right_after_its_peek",
        "a_run_moves_between_the_devices", "one_cell_for_a_panel",
        "one_cell_for_streams_that_come_as_they_like",
        "one_cell_with_little_room_for_records",
        "one_cell_and_an_update_at_every_tick", "one_cell_one_event_at_a_time",
        "the_settings_of_the_panel", "targets_that_choose_their_helpers",
        "least_squares_by_all_threads_of_a_block",
    ],
)  # fmt: skip
def test_records_and_state_are_those_of_the_cpu(told, story):
    assert told[story] == ""
