from __future__ import annotations

from pathlib import Path

import pytest

from sfm_stream.errors import SinkError
from sfm_stream.records import Records
from sfm_stream.sinks import spill
from tests.records_rig import refuse, some


@pytest.mark.parametrize("block", [some(0, 30), some(3, 1, ("ä",)), Records({}, {})])
def test_records_come_back_to_the_last_bit_and_the_file_is_gone(tmp_path, block):
    path = tmp_path / "deep" / "0.bin"
    spill.write(path, block)
    found = spill.take(path)
    assert found.tables == block.tables
    for kind, columns in block.columns.items():
        for name, column in columns.items():
            was = found.columns[kind][name]
            assert (was.dtype, was.shape) == (column.dtype, column.shape)
            assert was.tobytes() == column.tobytes()
    assert list(found.rows()) == list(block.rows())
    assert not path.exists()


def test_disk_that_refuses_is_named_and_keeps_nothing(tmp_path, monkeypatch):
    path, write = tmp_path / "0.bin", Path.write_bytes

    def half(self, data):
        write(self, data[:100])
        refuse()

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SinkError, match=r"0.bin: the disk is full"):
        spill.write(path, some(0, 10))
    assert not path.exists()


@pytest.mark.parametrize("damage", ["short", "lost", "odd type", "wrong shape"])
def test_damaged_file_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "0.bin"
    spill.write(path, some(0, 10))
    data = path.read_bytes()
    if damage == "short":
        path.write_bytes(data[:-20])
    elif damage == "odd type":
        path.write_bytes(data.replace(b"<f8", b"|O8"))
    elif damage == "wrong shape":
        path.write_bytes(data.replace(b"<f8\x91\x14", b"<f8\x91\x15"))
        assert path.read_bytes() != data
    else:
        path.unlink()
    with pytest.raises(SinkError, match=r"0.bin: cannot be"):
        spill.take(path)
