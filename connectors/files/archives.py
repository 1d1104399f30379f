"""Files in zip archives, addressed by the archive's path followed by their own.

The path of an archive means all files in it, if they are of one kind.
`prices.zip/2024-01.csv` means one file, `prices.zip/2024-*.csv` several.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from sfm_stream.errors import FeedError, did_you_mean

ZIP = b"PK\x03\x04"
ENCRYPTED = 1
"""The bit in a zip's flags of a file that is kept with a password."""
WORKBOOK, OLD_WORKBOOK = "xl/workbook.xml", b"\xd0\xcf\x11\xe0"
JUNK = (".DS_Store", "Thumbs.db", "desktop.ini")
WORDS = ("readme", "license", "licence", "checksum")
"""Beginnings of the names of files that accompany data."""


def is_junk(name: str) -> bool:
    """Say whether a file is one that desktop systems add to folders and archives."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in JUNK


def members(path: str) -> list[str]:
    """Give the files that a path means: those in an archive, or the path itself.

    Raises:
        FeedError: if the path cannot be read, or an archive is empty or holds several
            kinds of files.
    """
    if within(path) or not _begins(path, ZIP):
        return [path]
    names = data(path)
    kinds = {PurePosixPath(name).suffix.lower() for name in names}
    if len(kinds) > 1:
        problem = f"expected files of one kind, was {', '.join(sorted(kinds))}"
        hint = f"name some as {path}/*{max(kinds)}; {did_you_mean('', names)}"
        raise FeedError(path, problem, hint)
    return [path] if len(names) == 1 else [f"{path}/{name}" for name in names]


def data(path: str) -> list[str]:
    """Give the names of the data files in an archive, without readmes and licences.

    Raises:
        FeedError: if there are no files, or the archive is a workbook.
    """
    names = _names(path)
    if WORKBOOK in names:
        problem = "expected text, was a workbook of Excel"
        raise FeedError(path, problem, "feed.connector = 'excel' reads it")
    if not names:
        raise FeedError(path, "expected files in the archive, was none")
    if len(names) == 1:
        return names
    return [n for n in names if not _stem(n).lower().startswith(WORDS)] or names


def expect_workbook(path: str) -> None:
    """Refuse a file that is not a workbook of Excel.

    Raises:
        FeedError: naming the connector for text.
    """
    if not (_begins(path, OLD_WORKBOOK) or (_begins(path, ZIP)
            and WORKBOOK in _names(path))):  # fmt: skip
        problem = "expected a workbook of Excel, was something else"
        raise FeedError(path, problem, "feed.connector = 'csv' reads text")


def matching(item: str) -> list[str]:
    """Give the files in an archive that match the path after that of the archive.

    Raises:
        FeedError: if no file matches.
    """
    path, pattern = within(item) or (item, "")
    names = _names(path)
    found = [n for n in names if n == pattern or fnmatchcase(n, pattern)]
    if not found:
        raise FeedError(path, f"no file {pattern!r} in it", did_you_mean("", names))
    return [f"{path}/{name}" for name in found]


def within(path: str) -> tuple[str, str] | None:
    """Split a path into archive and name of a file in it; None for any other path."""
    head, mark, name = path.partition(".zip/")
    archive = f"{head}.zip"
    return (archive, name) if mark and Path(archive).is_file() else None


def unzipped(path: str, name: str, size: int) -> Iterator[bytes]:
    """Give the content of a file in an archive, in pieces.

    Args:
        path: path of the archive.
        name: name of the file.
        size: largest number of bytes in a piece.

    Raises:
        FeedError: if the file does not exist, has a password, or is damaged; earlier
            pieces are given.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _expect_open(path, archive.getinfo(name))
            with archive.open(name) as member:
                yield from iter(lambda: member.read(size), b"")
    except (KeyError, OSError, EOFError, zlib.error, lzma.LZMAError,
            zipfile.BadZipFile, NotImplementedError) as e:  # fmt: skip
        raise FeedError(path, f"cannot be read on: {e}", "is the file whole?") from e


def _expect_open(path: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & ENCRYPTED:
        problem = f"expected a file without a password, was {info.filename!r} with one"
        raise FeedError(path, problem, "unpack it first")


def _begins(path: str, magic: bytes) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as e:
        raise FeedError(path, f"cannot be read: {e.strerror}") from e


def _names(path: str) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (OSError, zipfile.BadZipFile) as e:
        raise FeedError(path, f"cannot be read on: {e}", "is the file whole?") from e
    return [i.filename for i in infos if not (i.is_dir() or is_junk(i.filename))]


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
