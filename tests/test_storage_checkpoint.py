from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sfm_stream.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointMismatch,
    Fenced,
)
from sfm_stream.storage import checkpoint, tensors

ARRAYS = {
    "memory": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "count": np.array(7, np.int64),
    "none": np.zeros((0, 5), np.int8),
}
DTYPES = [np.int64, np.float64, np.float32, np.int32, np.int8, np.bool_]
arrays = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
        )
    ),
    max_size=4,
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
manifests = st.dictionaries(
    st.text(max_size=6).filter(lambda key: key not in checkpoint.OURS),
    plain,
    max_size=3,
)


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert array.shape == other[name].shape
        assert array.tobytes() == other[name].tobytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=20)
@given(arrays=arrays, manifest=manifests, seq=st.integers(0, 2**62))
def test_what_was_saved_is_loaded(arrays, manifest, seq):
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(Path(folder), seq, arrays, manifest)
        found = checkpoint.load(path)
        assert path == checkpoint.latest(Path(folder))
    same(found.arrays, arrays)
    assert {k: found.manifest[k] for k in manifest} == manifest
    assert found.manifest["seq"] == seq


def test_manifest_describes_the_arrays(tmp_path):
    path = checkpoint.save(tmp_path, 12, ARRAYS, {"config": "abc"})
    manifest = json.loads((path / "manifest.json").read_text())
    assert path.name == "000000000012"
    assert manifest["format"] == checkpoint.FORMAT
    assert manifest["config"] == "abc"
    assert manifest["arrays"] == {
        "memory": ["float32", [2, 3, 4]],
        "count": ["int64", []],
        "none": ["int8", [0, 5]],
    }


def test_arrays_with_strides_are_saved_by_value(tmp_path):
    whole = np.arange(24.0).reshape(4, 6)
    views = {"columns": whole[:, ::2], "turned": whole.T, "back": whole[::-1]}
    same(checkpoint.load(checkpoint.save(tmp_path, 1, views, {})).arrays, views)


def test_loaded_arrays_may_be_written(tmp_path):
    found = checkpoint.load(checkpoint.save(tmp_path, 1, ARRAYS, {}))
    found.arrays["memory"][:] = 3
    assert checkpoint.load(tmp_path / "000000000001").arrays["memory"][1, 2, 3] == 23


def test_tuples_and_nan_in_the_manifest_do_not_break_its_check(tmp_path):
    path = checkpoint.save(tmp_path, 1, ARRAYS, {"a": (1, float("nan")), "b": {3: 4}})
    manifest = checkpoint.load(path).manifest
    assert (manifest["a"], manifest["b"]) == ([1, None], {"3": 4})


def test_only_the_newest_are_kept(tmp_path):
    for seq in (5, 20, 100, 1_000):
        checkpoint.save(tmp_path, seq, ARRAYS, {}, keep=2)
    assert names(tmp_path) == ["000000000100", "000000001000"]


def test_snapshots_ahead_of_the_journal_push_out_none_that_fit(tmp_path):
    for seq in (5, 20):
        checkpoint.save(tmp_path, seq, ARRAYS, {}, 2, journalled=seq)
    for seq in (30, 40, 50):
        checkpoint.save(tmp_path, seq, ARRAYS, {}, 2, journalled=20)
    assert names(tmp_path) == ["000000000005", "000000000020", "000000000050"]
    checkpoint.save(tmp_path, 60, ARRAYS, {}, 2, journalled=60)
    assert names(tmp_path) == ["000000000050", "000000000060"]


def test_saving_below_a_damaged_newer_one_keeps_what_was_saved(tmp_path):
    checkpoint.save(tmp_path, 100, ARRAYS, {}, keep=1)
    checkpoint.save(tmp_path, 50, ARRAYS, {}, keep=1)
    assert names(tmp_path) == ["000000000050", "000000000100"]


def test_what_a_guard_refuses_gets_no_name_and_removes_none(tmp_path):
    def refuse():
        raise Fenced("run", "epoch 1 is over")

    checkpoint.save(tmp_path, 5, ARRAYS, {})
    for seq in (5, 20):
        with pytest.raises(Fenced):
            checkpoint.save(tmp_path, seq, {"x": np.ones(2)}, {}, 1, refuse)
    assert names(tmp_path) == ["000000000005"]
    same(checkpoint.load(tmp_path / "000000000005").arrays, ARRAYS)


def test_saving_again_replaces(tmp_path):
    path = checkpoint.save(tmp_path, 1, ARRAYS, {})
    (path / "state.safetensors").write_bytes(b"damage")
    again = checkpoint.save(tmp_path, 1, {"x": np.ones(2)}, {})
    assert again == path
    same(checkpoint.load(path).arrays, {"x": np.ones(2)})
    assert names(tmp_path) == ["000000000001"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_checkpoints_gives_none(tmp_path, there):
    folder = tmp_path if there else tmp_path / "absent"
    assert checkpoint.latest(folder) is None
    assert checkpoint.newest_good(folder, pytest.fail) is None


@pytest.mark.parametrize("lost", ["manifest.json", "state.safetensors"])
def test_missing_file_is_corrupt_and_not_latest(tmp_path, lost):
    older = checkpoint.save(tmp_path, 1, ARRAYS, {})
    path = checkpoint.save(tmp_path, 2, ARRAYS, {})
    (path / lost).unlink()
    with pytest.raises(CheckpointCorrupt, match=lost):
        checkpoint.load(path)
    assert checkpoint.latest(tmp_path) == older


def test_every_flipped_bit_is_corrupt(tmp_path):
    path = checkpoint.save(tmp_path, 2, {"x": np.arange(3.0)}, {"position": 1234})
    for name in ("manifest.json", "state.safetensors"):
        whole = (path / name).read_bytes()
        for at in range(len(whole)):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << at % 8
            (path / name).write_bytes(flipped)
            with pytest.raises(CheckpointCorrupt):
                checkpoint.load(path)
        (path / name).write_bytes(whole)
    checkpoint.load(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"seq": '])
def test_manifest_that_is_none_is_corrupt(tmp_path, text):
    path = checkpoint.save(tmp_path, 2, ARRAYS, {})
    (path / "manifest.json").write_bytes(text)
    with pytest.raises(CheckpointCorrupt):
        checkpoint.load(path)


def test_state_that_is_none_is_corrupt_even_with_its_hash(tmp_path, monkeypatch):
    def junk(path, _arrays):
        path.write_bytes(b"no safetensors")
        return hashlib.sha256(b"no safetensors").hexdigest()

    monkeypatch.setattr(tensors, "write", junk)
    path = checkpoint.save(tmp_path, 2, ARRAYS, {})
    with pytest.raises(CheckpointCorrupt, match="cannot be read"):
        checkpoint.load(path)


def test_state_with_other_arrays_is_corrupt(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_described", lambda _: {"y": ["int8", [1]]})
    path = checkpoint.save(tmp_path, 2, ARRAYS, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointCorrupt, match="arrays: expected"):
        checkpoint.load(path)


def test_other_format_is_a_mismatch_and_not_passed_over(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, ARRAYS, {})
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    path = checkpoint.save(tmp_path, 2, ARRAYS, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointMismatch, match="expected format 1, was 99"):
        checkpoint.load(path)
    with pytest.raises(CheckpointMismatch):
        checkpoint.newest_good(tmp_path, pytest.fail)


def test_damaged_ones_are_passed_over_with_a_warning(tmp_path):
    for seq in (1, 2, 3):
        checkpoint.save(tmp_path, seq, ARRAYS, {})
    (tmp_path / "000000000003" / "state.safetensors").write_bytes(b"torn")
    (tmp_path / "000000000002" / "manifest.json").unlink()
    warned = []
    found = checkpoint.newest_good(tmp_path, warned.append)
    assert found is not None
    assert found.manifest["seq"] == 1
    assert ["000000000003" in warned[0], "000000000002" in warned[1]] == [True, True]
    assert len(warned) == 2


def test_half_written_folder_is_ignored_and_swept(tmp_path):
    checkpoint.save(tmp_path, 1, ARRAYS, {})
    for name in ("000000000002.tmp", "000000000000.tmp.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.safetensors").write_bytes(b"half")
    assert checkpoint.latest(tmp_path) == tmp_path / "000000000001"
    checkpoint.save(tmp_path, 2, ARRAYS, {})
    assert names(tmp_path) == ["000000000001", "000000000002"]


def test_reserved_names_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"\['seq'\] are reserved"):
        checkpoint.save(tmp_path, 1, ARRAYS, {"seq": 4})


def test_values_json_cannot_hold_leave_nothing_behind(tmp_path):
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path, 1, ARRAYS, {"object": object()})
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", range(4))
def test_full_disk_at_any_step_leaves_the_older_ones(tmp_path, monkeypatch, call):
    checkpoint.save(tmp_path, 1, ARRAYS, {}, keep=1)
    fsync, calls = os.fsync, []

    def refuse(handle):
        calls.append(handle)
        if len(calls) > call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CheckpointError, match=r"0002: the disk is full; free space"):
        checkpoint.save(tmp_path, 2, ARRAYS, {}, keep=1)
    monkeypatch.undo()
    same(checkpoint.load(tmp_path / "000000000001").arrays, ARRAYS)
    assert not list(tmp_path.glob("*.tmp*"))


@pytest.fixture
def small_disk(tmp_path):
    mount = shutil.which("mount")
    if mount is None or os.geteuid():
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:  # noqa: S603
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run([shutil.which("umount"), str(folder)], check=True)  # noqa: S603


def test_disk_that_is_really_full_leaves_the_older_ones(small_disk):
    checkpoint.save(small_disk, 1, ARRAYS, {})
    with pytest.raises(CheckpointError, match="free space, then resume or start again"):
        checkpoint.save(small_disk, 2, {"x": np.zeros(100_000)}, {})
    assert names(small_disk) == ["000000000001"]
    same(checkpoint.load(small_disk / "000000000001").arrays, ARRAYS)


@pytest.mark.parametrize("step", range(6))
def test_whatever_stops_a_save_of_the_same_number_a_good_one_is_left(
    tmp_path, monkeypatch, step
):
    checkpoint.save(tmp_path, 7, ARRAYS, {"of": "before"})
    steps = []

    def stopping(call):
        def wrapped(*given, **options):
            steps.append(call)
            if len(steps) > step:
                raise KeyboardInterrupt
            return call(*given, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopping(Path.rename))
        patch.setattr(shutil, "rmtree", stopping(shutil.rmtree))
        with contextlib.suppress(KeyboardInterrupt):
            checkpoint.save(tmp_path, 7, ARRAYS, {"of": "now"})
    for reader in (checkpoint.newest_good, partial(checkpoint.oldest_good, since=7)):
        found = reader(tmp_path, pytest.fail)
        assert found.manifest["of"] == ("before" if step < 2 else "now")
    assert checkpoint.set_aside(tmp_path, lambda _: "") == {}
    checkpoint.save(tmp_path, 7, ARRAYS, {"of": "later"})
    assert checkpoint.newest_good(tmp_path, pytest.fail).manifest["of"] == "later"
    assert names(tmp_path) == ["000000000007"]


def test_one_that_was_replaced_does_not_come_back_when_the_newer_is_set_aside(tmp_path):
    path = checkpoint.save(tmp_path, 7, ARRAYS, {})
    shutil.copytree(path, tmp_path / "000000000007.before")  # killed before its end
    assert list(checkpoint.set_aside(tmp_path, lambda _: "lost")) == [
        "000000000007.aside-1"
    ]
    assert checkpoint.newest_good(tmp_path, pytest.fail) is None


def test_as_often_as_one_is_set_aside_it_gets_a_number_of_its_own(tmp_path):
    names_given = []
    for _ in range(3 * checkpoint.MOST_ASIDE):
        checkpoint.save(tmp_path, 7, ARRAYS, {})
        names_given += checkpoint.set_aside(tmp_path, lambda _: "lost")
    assert names_given == [f"000000000007.aside-{n}" for n in range(1, 13)]
    left = sorted(names_given[-checkpoint.MOST_ASIDE :])
    assert names(tmp_path) == left


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from sfm_stream.storage import checkpoint, tensors
fsync, calls = os.fsync, []
def killing(handle):
    calls.append(handle)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)
os.fsync = killing
checkpoint.save(Path(sys.argv[1]), 2, {"x": np.ones(100)}, {})
"""


@pytest.mark.parametrize(("call", "newest"), [(1, 1), (2, 1), (4, 2)])
def test_killed_while_saving_leaves_a_whole_checkpoint(tmp_path, call, newest):
    checkpoint.save(tmp_path, 1, ARRAYS, {})
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(call)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, check=False, cwd=root)  # noqa: S603
    assert done.returncode == -signal.SIGKILL
    found = checkpoint.newest_good(tmp_path, pytest.fail)
    assert found is not None
    assert found.manifest["seq"] == newest
    checkpoint.save(tmp_path, 3, ARRAYS, {})
    assert not list(tmp_path.glob("*.tmp*"))
