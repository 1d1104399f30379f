from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from connectors.files import archives, text
from sfm_stream.errors import FeedError


@pytest.fixture
def packed(tmp_path):
    def pack(*names, archive="two.zip"):
        path = tmp_path / archive
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, f"t,a\n1420070400,{len(name)}\n")
        return str(path)

    return pack


def read(path):
    return b"".join(piece for piece, _ in text.texts(path))


def test_the_files_of_an_archive_are_read_in_natural_order(packed):
    path = packed("p_10.csv", "p_2.csv", "__MACOSX/._p_2.csv", "README.txt")
    found = text.expand(path)
    assert found == (f"{path}/p_2.csv", f"{path}/p_10.csv")
    assert [read(one).split(b",")[-1] for one in found] == [b"7\n", b"8\n"]
    first, second = map(text.identity, found)
    assert first["path"] != second["path"]
    assert first["sha256"] == second["sha256"]


def test_an_archive_of_one_file_is_that_file(packed):
    path = packed("a.csv", ".DS_Store")
    assert text.expand(path) == (path,)
    assert read(path).startswith(b"t,a\n")


def test_some_files_of_an_archive_are_named_behind_it(packed):
    path = packed("a/p_1.csv", "a/p_2.csv", "b.json")
    assert text.expand(f"{path}/a/*_2.csv") == (f"{path}/a/p_2.csv",)
    assert text.expand(f"{path}/b.json") == (f"{path}/b.json",)
    with pytest.raises(FeedError, match=r"no file 'c\.csv' in it; there are: a/p_1"):
        text.expand(f"{path}/c.csv")


def test_an_archive_of_several_kinds_names_the_way_out(packed):
    path = packed("a.csv", "b.json")
    with pytest.raises(FeedError, match=r"was \.csv, \.json; name some as .*/\*"):
        text.expand(path)


@pytest.mark.parametrize(
    ("names", "told"),
    [(["__MACOSX/._a"], "was none"), (["xl/workbook.xml"], "a workbook of Excel")],
)
def test_an_archive_without_data_is_refused(packed, names, told):
    with pytest.raises(FeedError, match=told):
        archives.data(packed(*names))


def test_a_damaged_archive_is_an_error(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(archives.ZIP + b"\0" * 40)
    with pytest.raises(FeedError, match="cannot be read on"):
        text.expand(str(path))
    assert archives.within(f"{tmp_path}/none.zip/a.csv") is None


def test_names_with_more_digits_than_a_number_may_have_are_put_in_order(packed):
    short, long = f"p_1{'0' * 4_999}.csv", f"p_1{'0' * 5_000}.csv"
    path = packed(long, short)
    assert text.expand(path) == (f"{path}/{short}", f"{path}/{long}")


def test_a_file_with_a_password_is_refused(packed):
    path = Path(packed("a.csv"))
    whole = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(magic) + flags] |= archives.ENCRYPTED
    path.write_bytes(whole)
    with pytest.raises(FeedError, match=r"password, was 'a\.csv' with one; unpack it"):
        read(str(path))
