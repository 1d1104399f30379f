from __future__ import annotations

import errno
import os

import pytest

from sfm_stream.storage import segment
from sfm_stream.storage.journal.active import Active
from tests.daemon_rig import full_disk

SEED = bytes(range(32))
ONE, TWO = segment.entry(b"one"), segment.entry(b"second")


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "000000000007.log"
    made.write_bytes(segment.head(SEED))
    return made


def parsed(path):
    return segment.parse(path, path.read_bytes())


def test_the_note_says_how_far_the_last_sync_reached(path):
    log = Active(parsed(path), 0)
    log.append(ONE)
    assert parsed(path).synced == 0
    log.sync()
    log.append(TWO)
    assert parsed(path).synced == len(ONE)
    assert bytes(parsed(path).body) == ONE + TWO
    log.close()


def test_a_sync_that_was_asked_for_earlier_takes_nothing_back(path):
    log = Active(parsed(path), 0)
    log.append(ONE)
    early = log.syncing()
    log.append(TWO)
    log.sync()
    early()
    assert parsed(path).synced == len(ONE + TWO)
    log.close()


def test_a_sync_may_be_made_after_it_is_closed(path):
    log = Active(parsed(path), 0)
    log.append(ONE)
    sync = log.syncing()
    log.close()
    sync()
    assert parsed(path).synced == len(ONE)


def test_where_nothing_is_new_a_sync_writes_nothing(path, monkeypatch):
    log = Active(parsed(path), 0)
    log.append(ONE)
    log.sync()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full_disk)
        log.sync()
    log.close()


def test_a_sync_that_failed_notes_nothing(path, monkeypatch):
    log = Active(parsed(path), 0)
    log.append(ONE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            log.sync()
    assert parsed(path).synced == 0
    log.close()


def test_what_is_cut_is_no_longer_noted_as_on_disk(path):
    log = Active(parsed(path), 0)
    log.append(ONE + TWO)
    log.sync()
    log.close()
    log = Active(parsed(path), len(ONE))
    assert (bytes(parsed(path).body), parsed(path).synced) == (ONE, len(ONE))
    log.append(TWO)
    log.sync()
    assert (log.size, parsed(path).synced) == (len(ONE + TWO), len(ONE + TWO))
    assert log.chain.mark() == segment.mark(parsed(path), 2)
    log.close()


def test_a_segment_that_cannot_be_cut_is_let_go_of(path, monkeypatch):
    path.write_bytes(segment.head(SEED) + ONE)
    closed, close = [], os.close
    monkeypatch.setattr(os, "ftruncate", full_disk)
    monkeypatch.setattr(os, "close", lambda handle: closed.append(close(handle)))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        Active(parsed(path), 0)
    assert len(closed) == 2
