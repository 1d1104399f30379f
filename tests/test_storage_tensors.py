from __future__ import annotations

import hashlib
import os
import threading
import time

import numpy as np
import pytest
import safetensors.numpy

from sfm_stream.storage import tensors
from tests.daemon_rig import full_disk

MIB = 2**20


def test_the_library_reads_what_was_written(tmp_path):
    arrays = {
        "flags": np.array([True, False, True]),
        "steps": np.arange(24, dtype=np.float64).reshape(2, 3, 4)[:, ::2],
        "columns": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "network": np.arange(5, dtype=">f4"),
        "one": np.array(7, np.uint16),
        "none": np.zeros((0, 5), np.int8),
    }
    tensors.write(tmp_path / "a", arrays)
    found = safetensors.numpy.load_file(tmp_path / "a")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(found[name], array, strict=name != "network")


def test_the_hash_is_that_of_the_file(tmp_path):
    arrays = {"a": np.zeros(tensors.PIECE), "b": np.ones(3, np.int8)}
    found = tensors.write(tmp_path / "a", arrays)
    assert found == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()


def test_a_full_disk_is_the_systems_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        tensors.write(tmp_path / "a", {"a": np.zeros(3)})


def test_a_write_cut_short_by_the_system_goes_on(tmp_path, monkeypatch):
    write, arrays = os.write, {"a": np.arange(1_000)}
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:77]))
    tensors.write(tmp_path / "a", arrays)
    found = safetensors.numpy.load_file(tmp_path / "a")
    np.testing.assert_array_equal(found["a"], arrays["a"])


def test_other_threads_run_while_a_large_file_is_written(tmp_path):
    large = {"a": np.ones(64 * MIB // 8)}
    turns, done = [], threading.Event()

    def count():
        while not done.is_set():
            turns.append(None)
            time.sleep(0)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        before = len(turns)
        tensors.write(tmp_path / "a", large)
        after = len(turns)
    finally:
        done.set()
        counting.join()
    assert after - before > 64 * MIB // tensors.PIECE


def test_arrays_of_many_pieces_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "PIECE", 64)
    arrays = {"long": np.arange(1_001, dtype=np.int16), "short": np.arange(3)}
    tensors.write(tmp_path / "a", arrays)
    found = safetensors.numpy.load_file(tmp_path / "a")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


class Halves:
    """An array that is made in two parts."""

    def __init__(self, whole):
        self.dtype, self.shape, self._whole = whole.dtype, whole.shape, whole

    def parts(self):
        yield from (self._whole[:2], self._whole[2:])


def test_an_array_made_in_parts_is_written_as_a_whole_one(tmp_path):
    whole = {"a": np.arange(12, dtype=np.int32).reshape(4, 3), "b": np.arange(5.0)}
    parted = {name: Halves(array) for name, array in whole.items()}
    tensors.write(tmp_path / "whole", whole)
    tensors.write(tmp_path / "parted", parted)
    assert (tmp_path / "parted").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("name", ["a" * length for length in range(1, 9)])
def test_numbers_begin_where_processors_read_them_at_once(tmp_path, name):
    tensors.write(tmp_path / "a", {name: np.arange(3.0)})
    size = int.from_bytes((tmp_path / "a").read_bytes()[:8], "little")
    assert size % tensors.ALIGNED == 0
