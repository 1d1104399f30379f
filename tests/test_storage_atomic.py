from __future__ import annotations

import errno
import os

import pytest

from sfm_stream.storage import atomic


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_write_replaces_the_whole_content(tmp_path):
    path = tmp_path / "file"
    atomic.write(path, b"a long first content")
    atomic.write(path, memoryview(b"second"))
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_refused_write_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic.write(path, b"old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_append_writes_all_even_when_the_system_takes_little(tmp_path, monkeypatch):
    handle = os.open(tmp_path / "file", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
    atomic.append(handle, b"0123456789")
    os.close(handle)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_append_that_fails_halfway_adds_nothing(tmp_path, monkeypatch):
    handle = os.open(tmp_path / "file", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    atomic.append(handle, b"before")
    write, calls = os.write, []

    def half(handle, data):
        calls.append(data)
        return write(handle, data[:4]) if len(calls) == 1 else refuse()

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        atomic.append(handle, b"0123456789")
    os.close(handle)
    assert (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("code", "problem", "hint"),
    [
        (errno.ENOSPC, "the disk is full", "free space"),
        (errno.EDQUOT, "the disk is full", "free space"),
        (errno.EACCES, "permission denied", "writable"),
        (errno.EISDIR, "is a directory", "name a file"),
        (errno.ENOTDIR, "not a directory", "name another folder"),
        (errno.EEXIST, "file exists", "name another folder"),
        (errno.EMFILE, "too many open files", "raise the limit of open files"),
        (errno.ENFILE, "too many open files", "raise the limit of open files"),
    ],
)
def test_explain_says_what_to_do(code, problem, hint):
    said = atomic.explain(OSError(code, os.strerror(code)))
    assert problem in said[0]
    assert hint in said[1]


def test_what_a_path_names_is_known_by_device_and_inode(tmp_path):
    path = tmp_path / "file"
    path.touch()
    before = atomic.identity(path)
    moved = path.rename(tmp_path / "moved")
    assert atomic.identity(path) is None
    path.touch()
    assert atomic.identity(path) != atomic.identity(moved) == before
    assert atomic.identity(path / "below") is None
