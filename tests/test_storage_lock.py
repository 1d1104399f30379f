from __future__ import annotations

import pytest

from sfm_stream.errors import JournalError
from sfm_stream.events import Gap
from sfm_stream.storage import journal, lock
from sfm_stream.storage.journal import Journal
from tests.daemon_rig import no_locks
from tests.test_storage_journal_writer import killed, ticks


def test_a_journal_has_one_writer_of_this_machine(tmp_path):
    with Journal(tmp_path), pytest.raises(JournalError, match="another process"):
        lock.hold(tmp_path)
    with Journal(tmp_path) as log:
        log.expect_present()


def test_what_a_fenced_writer_appends_late_is_in_no_journal(tmp_path):
    late = Journal(tmp_path)
    late.append(ticks(0, 10))
    lock.take_over(tmp_path)
    with Journal(tmp_path) as heir:  # the lock of before stays with the late one
        assert heir.position == 10
        heir.append(ticks(10, 20))
        late.append([Gap("a", 0, "too late")])
        heir.append(ticks(20, 30))
        assert list(heir.read()) == ticks(0, 30)
    killed(late)
    assert list(journal.read(tmp_path)) == ticks(0, 30)


def test_a_journal_that_is_not_there_is_taken_over_without_a_word(tmp_path):
    lock.take_over(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_disk_without_locks_is_not_told_as_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    with pytest.raises(JournalError, match="cannot be locked: no locks available"):
        lock.hold(tmp_path)
