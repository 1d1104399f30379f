from __future__ import annotations

import shutil

import pytest

from sfm_stream import sinks
from sfm_stream.errors import JournalError, RecordsLost, SinkError
from sfm_stream.running.repair import repair
from sfm_stream.running.verify import verify
from sfm_stream.storage import run_folder
from tests.daemon_rig import ticks
from tests.records_rig import files
from tests.test_daemon_recovery import let_go, live, recovered


def lived(folder):
    found = recovered(folder, said=[])
    live(found, ticks(0, 40), save=True)
    let_go(found)
    return run_folder.load(folder)


@pytest.mark.parametrize("damage", ["lost", "flipped"])
def test_lost_records_are_said_again_by_the_journal(tmp_path, damage):
    run = lived(tmp_path)
    before = files(run.records)
    part = run.records / "scores-000000.parquet"
    if damage == "lost":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-9] + b"\xff" * 9)
    if damage == "flipped":
        with pytest.raises(SinkError, match=r"000000.parquet: cannot .* repair RUN"):
            verify(run, pytest.fail)
    counts = repair(run, pytest.fail)
    assert files(run.records) == before
    assert counts["scores"] == sum(len(p) for p in sinks.read(run.records, "scores"))
    assert (tmp_path / "records.damaged-1").is_dir()
    verify(run, pytest.fail)
    found = recovered(tmp_path, said=[])
    assert found.engine.seq == 40
    let_go(found)


def test_damaged_records_of_before_stay_whatever_their_number(tmp_path):
    run = lived(tmp_path)
    kept = tmp_path / "records.damaged-2" / "kept"
    kept.parent.mkdir()
    kept.touch()
    for number in (1, 3):
        repair(run, pytest.fail)
        assert (tmp_path / f"records.damaged-{number}").is_dir()
    assert kept.exists()


def test_a_run_that_a_process_works_on_is_left_alone(tmp_path):
    run = lived(tmp_path)
    found = recovered(tmp_path, said=[])
    with pytest.raises(JournalError, match="another process writes here"):
        repair(run, pytest.fail)
    let_go(found)


def test_a_journal_that_does_not_reach_back_names_another_way_out(tmp_path):
    run = lived(tmp_path)
    log = run.journal / "000000000000.log"
    log.rename(log.with_name("000000000010.log"))
    with pytest.raises(JournalError, match="first was 10; start a new run"):
        repair(run, pytest.fail)


def test_records_removed_while_the_run_lived_are_brought_back_and_it_goes_on(tmp_path):
    found = recovered(tmp_path, said=[])
    live(found, ticks(0, 40), save=True)
    shutil.rmtree(tmp_path / "records")
    with pytest.raises(RecordsLost):
        found.sinks["records"].flush()
    live(found, ticks(40, 60), save=True)
    let_go(found)
    run = run_folder.load(tmp_path)
    counts = repair(run, pytest.fail)
    assert counts["forecasts"] > 40
    verify(run, pytest.fail)
    again = recovered(tmp_path, said=[])
    live(again, ticks(60, 70), save=True)
    let_go(again)
    verify(run, pytest.fail)
