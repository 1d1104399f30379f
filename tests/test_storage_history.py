from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.errors import ConfigError
from sfm_stream.events import Tick
from sfm_stream.storage import checkpoint, history
from sfm_stream.storage.journal import Journal

ARRAYS = {"x": np.arange(3.0)}


def ticks(start, stop, value=0.5):
    return [Tick("a", i, (value + i,), i) for i in range(start, stop)]


def saved(folder, log):
    mark = {history.MARK: log.mark}
    checkpoint.save(folder / "checkpoints", log.position, ARRAYS, mark)


def opened(folder):
    return Journal(folder / "journal")


def seqs(folder):
    return sorted(p.name for p in (folder / "checkpoints").iterdir())


def set_aside(folder, log):
    return history.set_aside(folder / "checkpoints", folder / "journal", log.position)


def cut_back(folder, count):
    path = folder / "journal/000000000000.log"
    path.write_bytes(path.read_bytes()[:-count])


def test_a_checkpoint_of_the_journals_own_history_stays(tmp_path):
    with opened(tmp_path) as log:
        saved(tmp_path, log)
        log.append(ticks(0, 5))
        saved(tmp_path, log)
        log.append(ticks(5, 9))
        assert set_aside(tmp_path, log) == []
    with opened(tmp_path) as log:
        assert set_aside(tmp_path, log) == []


def test_a_checkpoint_behind_the_journals_end_is_set_aside(tmp_path):
    with opened(tmp_path) as log:
        log.append(ticks(0, 5))
        saved(tmp_path, log)
        log.append(ticks(5, 9))
        saved(tmp_path, log)
    cut_back(tmp_path, 3)
    with opened(tmp_path) as log:
        (line,) = set_aside(tmp_path, log)
    assert "000000000009.aside-1: taken after event 9" in line
    assert "the journal ends at event 8; set aside" in line
    assert seqs(tmp_path) == ["000000000005", "000000000009.aside-1"]


@pytest.mark.parametrize("grown_to", [9, 10, 30])
def test_a_checkpoint_of_lost_events_never_comes_back(tmp_path, grown_to):
    with opened(tmp_path) as log:
        log.append(ticks(0, 5))
        saved(tmp_path, log)
        log.append(ticks(5, 9))
        saved(tmp_path, log)
    cut_back(tmp_path, 40)
    with opened(tmp_path) as log:  # an older version passed it over and went on
        log.append(ticks(log.position, grown_to, value=0.25))
        (line,) = set_aside(tmp_path, log)
        assert "taken after other events than the 9" in line
        held = checkpoint.newest_good(tmp_path / "checkpoints", pytest.fail)
    assert held.manifest["seq"] == 5


def test_checkpoints_of_older_versions_are_told_by_their_count(tmp_path):
    with opened(tmp_path) as log:
        log.append(ticks(0, 5))
        for seq in (3, 5, 6):
            checkpoint.save(tmp_path / "checkpoints", seq, ARRAYS, {})
        (line,) = set_aside(tmp_path, log)
    assert "000000000006.aside-1" in line


def test_a_checkpoint_before_deleted_segments_is_no_misfit(tmp_path):
    with Journal(tmp_path / "journal", segment_bytes=100) as log:
        log.append(ticks(0, 5))
        saved(tmp_path, log)
        log.append(ticks(5, 9))
        log.append(ticks(9, 12))
        log.delete_before(9)
        assert set_aside(tmp_path, log) == []


def test_the_checkpoint_over_a_hole_fits_and_one_within_it_does_not(tmp_path):
    mark = "5f" * 32
    with opened(tmp_path) as log:
        log.append(ticks(0, 5))
        for seq in (7, 9):
            manifest = {history.MARK: mark if seq == 9 else "60" * 32}
            checkpoint.save(tmp_path / "checkpoints", seq, ARRAYS, manifest)
        log.skip_to(9, mark)
        log.append(ticks(9, 11))
        (line,) = set_aside(tmp_path, log)
    assert "000000000007.aside-1" in line


def test_damaged_checkpoints_are_left_to_be_replaced(tmp_path):
    with opened(tmp_path) as log:
        path = checkpoint.save(tmp_path / "checkpoints", 9, ARRAYS, {})
        (path / "manifest.json").write_bytes(b"torn")
        assert set_aside(tmp_path, log) == []


def test_few_are_kept_aside_and_none_is_ever_loaded(tmp_path):
    with opened(tmp_path) as log:
        for seq in range(1, 9):
            checkpoint.save(tmp_path / "checkpoints", seq, ARRAYS, {})
            set_aside(tmp_path, log)
        again = checkpoint.save(tmp_path / "checkpoints", 8, ARRAYS, {})
        set_aside(tmp_path, log)
    assert not again.exists()
    assert len(seqs(tmp_path)) == checkpoint.MOST_ASIDE
    assert seqs(tmp_path)[-1] == "000000000008.aside-2"
    assert checkpoint.latest(tmp_path / "checkpoints") is None


@pytest.mark.parametrize("gone", [False, True])
def test_a_live_run_is_no_backtest_even_without_its_journal(tmp_path, gone):
    history.expect_backtest(tmp_path)
    with opened(tmp_path) as log:
        log.append(ticks(0, 3))
        saved(tmp_path, log)
    if gone:
        (tmp_path / "journal").rename(tmp_path / "kept")
    with pytest.raises(ConfigError) as e:
        history.expect_backtest(tmp_path)
    hint = f"continue it with: sfm-stream daemon CONFIG --out {tmp_path}"
    problem = "expected a run of replay, was one of a daemon"
    assert str(e.value) == f"{tmp_path}: {problem}; {hint}"
