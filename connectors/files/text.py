"""Read files of any compression as pieces of text, in bounded memory.

The text is UTF-8 with a newline after each line, whatever the file's encoding and line
ends.
"""

from __future__ import annotations

import atexit
import bz2
import glob
import hashlib
import io
import lzma
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from connectors.files import archives, encodings
from sfm_stream.errors import ConfigError, FeedError, did_you_mean, listed

PIECE = 1 << 22
LONGEST_LINE = 1 << 26
MOST_RAW, RAW_FREE = 200, 1 << 26
"""A packed file may unpack to this many times its size, or to these bytes if more."""
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BZIP2, XZ = b"BZh", b"\xfd7zX"
NO_TEXT = {
    b"PAR1": ("Parquet", "feed.connector = 'parquet' reads it"),
    b"ARRO": ("Arrow", "write it as Parquet or CSV"),
    b"\xd0\xcf\x11\xe0": ("a workbook of Excel", "feed.connector = 'excel' reads it"),
    b"SQLi": ("a database of SQLite", "write the table as CSV"),
}
"""First bytes of files that are not text: each with its kind and what to do."""
GZIP_FRAMING = 31
PIPED = "standard-input"
"""Name of the temporary file that holds a piped input."""
ZSTD_LINES = 10_000
DIGITS = re.compile(r"([0-9]+)")
SPACES, EDGES = re.compile(" +"), re.compile(r"(?m)^ | (?=\r?$)")


def expand(path: str | tuple[str, ...]) -> tuple[str, ...]:
    """List the files of text that `feed.path` means, including files in archives.

    Raises:
        ConfigError: if no path is given.
        FeedError: if there is no such file, or an archive holds several kinds.
    """
    each = (p for one in found(path) for p in archives.members(one))
    return tuple(sorted(each, key=_natural))


def found(path: str | tuple[str, ...]) -> tuple[str, ...]:
    """List the files that `feed.path` means, in natural order: g_2 before g_10.

    Raises:
        ConfigError: if no path is given.
        FeedError: if there is no such file, or its path is not in UTF-8.
    """
    given = (path,) if isinstance(path, str) else path
    if not any(given):
        raise ConfigError("feed.path", "expected a file, a glob or a list, was ''")
    there = dict.fromkeys(p for item in given for p in _matches(item))
    for one in there:
        _expect_utf8(one)
    return tuple(sorted(there, key=_natural))


def _expect_utf8(path: str) -> None:
    """Refuse a path that cannot be stored in a run's description of its source."""
    try:
        path.encode()
    except UnicodeEncodeError as e:
        problem = "expected a path in UTF-8, was one of other bytes"
        raise FeedError(path, problem, "rename it") from e


def repeated(path: str | tuple[str, ...]) -> str:
    """Make a note of files that `feed.path` names more than once, or empty."""
    given = () if isinstance(path, str) else path
    counts = Counter(p for item in given for p in _matches(item))
    twice = [repr(p) for p, count in counts.items() if count > 1]
    return f"named more than once and read once: {listed(twice)}" if twice else ""


def spooled(stream: IO[bytes]) -> str:
    """Copy a piped input to a temporary file, to its end; give the file's path.

    The file is removed when the process ends.
    """
    folder = tempfile.mkdtemp(prefix="sfm-stream-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / PIPED
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file)
    return str(path)


def _matches(item: str) -> list[str]:
    try:
        return _looked_up(item)
    except OSError as e:  # too long, or forbidden
        raise FeedError(item, f"cannot be looked up: {e.strerror}") from e


def _looked_up(item: str) -> list[str]:
    if Path(item).is_file():
        return [item]
    if archives.within(item):
        return archives.matching(item)
    found = [p for p in glob.glob(item, recursive=True) if Path(p).is_file()]  # noqa: PTH207 paths stay as they were given
    if found:
        return found
    if Path(item).is_dir():
        raise FeedError(item, "expected a file, was a folder", _within(item))
    if Path(item).exists():
        hint = f"feed.path = '-' reads what is piped in: sfm-stream ... < {item}"
        raise FeedError(item, "expected a file, was a pipe or a device", hint)
    if Path(item).name == PIPED:
        problem = "expected a file, was what was piped in, which is no more"
        hint = "`tee` keeps it: a run of that file can be resumed and verified"
        raise FeedError(item, problem, hint)
    folder = Path(item).parent
    there = [str(p) for p in folder.iterdir()] if folder.is_dir() else []
    raise FeedError(item, "no such file", did_you_mean(item, sorted(there)))


def _within(folder: str) -> str:
    """Suggest a glob for the files in a folder, however deep they are."""
    files = (p for p in Path(folder).rglob("*") if p.is_file())
    there = (p for p in files if not archives.is_junk(str(p)))
    first = next(there, None)
    if first is None:
        return "it holds no file"
    deep = "**/" if first.parent != Path(folder) else ""
    return f"try {folder}/{deep}*{first.suffix}"


def _natural(path: str) -> list[tuple[int, str]]:
    # Compare digits by their count first: a name may have too many for an int.
    parts = DIGITS.split(path)
    bare = [p.lstrip("0") if i % 2 else p for i, p in enumerate(parts)]
    return [(len(p) if i % 2 else -1, p) for i, p in enumerate(bare)]


def identity(path: str) -> dict[str, Any]:
    """Give path, size in bytes and SHA-256 of a file.

    Raises:
        FeedError: if the file cannot be read.
    """
    archive, _ = archives.within(path) or (path, "")
    try:
        with Path(archive).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"path": path, "size": file.tell(), "sha256": digest}
    except OSError as e:
        raise FeedError(path, f"cannot be read: {e.strerror}") from e


def texts(path: str, encoding: str = "") -> Iterator[tuple[bytes, bool]]:
    """Give a file as pieces of whole lines; the last piece ends the file.

    Args:
        path: a file that is plain or packed by gzip, bzip2, xz or zstandard, as its
            first bytes tell; or a file in a zip archive.
        encoding: encoding of the file; empty to detect UTF-8, UTF-16 or Windows'
            Latin-1.

    Yields:
        Bytes that end in a newline, and whether they are the last; the last bytes may
        be empty or lack the newline.

    Raises:
        FeedError: if the file is damaged or cut off, after the lines before that.
    """
    rest = b""
    try:
        for piece in encodings.utf8(_bounded(path), encoding):
            rest += piece
            whole = rest.rfind(b"\n")
            # Hold the last whole line back: the last piece is to contain it.
            if cut := rest.rfind(b"\n", 0, max(0, whole)) + 1:
                yield rest[:cut], False
                rest = rest[cut:]
            else:
                _refuse_endless(path, rest)
    except FeedError:
        yield rest[: rest.rfind(b"\n") + 1], True
        raise
    yield rest, True


def lines(pieces: Iterator[bytes], encoding: str = "") -> Iterator[tuple[bytes, bool]]:
    """Join pieces of text into whole lines, and give each line as soon as it ends.

    Args:
        pieces: text, cut anywhere.
        encoding: as in `texts`; detected from the first piece.

    Yields:
        As `texts`.

    Raises:
        FeedError: if a line is longer than `LONGEST_LINE`.
    """
    rest = b""
    for piece in encodings.utf8(pieces, encoding):
        rest += piece
        if cut := rest.rfind(b"\n") + 1:
            yield rest[:cut], False
            rest = rest[cut:]
        _refuse_endless("standard input", rest)
    yield rest, True


def head(path: str, lines: int, encoding: str = "") -> bytes:
    """Give the first `lines` lines of a file, or those of them that can be read.

    Zero bytes are removed.

    Raises:
        FeedError: if no line can be read.
    """
    text = b""
    try:
        for piece, _ in texts(path, encoding):
            text += without_zeros(piece)[0]
            if text.count(b"\n") >= lines:
                break
    except FeedError:
        if not text:
            raise
    return _first(text, lines)


def _first(text: bytes, lines: int) -> bytes:
    end = -1
    for _ in range(lines):
        end = text.find(b"\n", end + 1)
        if end < 0:
            return text
    return text[: end + 1]


def _refuse_endless(path: str, line: bytes) -> None:
    if len(line) > LONGEST_LINE:
        problem = f"expected lines, was none within {len(line)} bytes"
        raise FeedError(path, problem, "is it text?")


def without_zeros(text: bytes) -> tuple[bytes, int]:
    """Remove zero bytes, and count them.

    A crash of the machine leaves them at the end of a file that was growing; new lines
    may follow.
    """
    if b"\0" not in text:  # counting takes forty times as long
        return text, 0
    return text.replace(b"\0", b""), text.count(b"\0")


def spaced(text: str) -> str:
    """Reduce runs of spaces to one space, and remove spaces at both ends of lines."""
    return EDGES.sub("", SPACES.sub(" ", text))


def split(text: str) -> list[str]:
    """Split text into lines at newlines only, not at other line separators."""
    return list(io.StringIO(text, newline="\n"))


def last_lines(text: bytes, count: int = 1) -> tuple[bytes, bytes]:
    """Split off the last `count` lines, with the blank lines after them."""
    cut = len(text.rstrip(b"\r\n"))
    for _ in range(count):
        cut = text.rfind(b"\n", 0, max(0, cut - 1)) + 1
    return text[:cut], text[cut:]


def _bounded(path: str) -> Iterator[bytes]:
    """Give the content of a file up to the limits of `MOST_RAW` and `RAW_FREE`.

    A packed file of a few kilobytes can unpack to more than any disk holds.
    """
    inside = archives.within(path)
    place, total = Path(inside[0] if inside else path), 0
    size = place.stat().st_size if place.is_file() else None
    for piece in _pieces(path):
        total += len(piece)
        if size is not None and total > max(RAW_FREE, MOST_RAW * size):
            problem = f"expected at most {MOST_RAW} times its {size:,} bytes unpacked"
            hint = "unpack it first if it is right"
            raise FeedError(path, f"{problem}, was {total:,} and more", hint)
        yield piece


def _pieces(path: str) -> Iterator[bytes]:
    """Give the content of a file, decompressed, in pieces of about PIECE."""
    if packed := archives.within(path):
        yield from archives.unzipped(*packed, PIECE)
        return
    try:
        with Path(path).open("rb") as file:
            magic = file.read(len(ZSTD))
            file.seek(0)
            if magic in NO_TEXT:
                what, hint = NO_TEXT[magic]
                raise FeedError(path, f"expected text, was {what}", hint)
            if magic.startswith(GZIP):
                yield from _inflated(path, file)
            elif magic.startswith(BZIP2):
                with bz2.open(file) as stream:
                    yield from _unpacked(stream)
            elif magic == XZ:
                with lzma.open(file) as stream:
                    yield from _unpacked(stream)
            elif magic == ZSTD:
                yield from _zstandard(path)
            elif magic == archives.ZIP:
                yield from archives.unzipped(path, archives.data(path)[0], PIECE)
            else:
                yield from iter(lambda: file.read(PIECE), b"")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as e:
        raise FeedError(path, f"cannot be read on: {e}", "is the file whole?") from e


def _unpacked(file: bz2.BZ2File | lzma.LZMAFile) -> Iterator[bytes]:
    """Read bzip2 or xz; give all content before an error."""
    held = bytearray()
    try:
        while piece := file.read1(PIECE):
            held += piece
            if len(held) >= PIECE:
                yield bytes(held)
                held.clear()
    except (OSError, EOFError, lzma.LZMAError):
        yield bytes(held)
        raise
    yield bytes(held)


def _inflated(path: str, file: IO[bytes]) -> Iterator[bytes]:
    """Read gzip of any number of members; give all content before an error."""
    member = zlib.decompressobj(GZIP_FRAMING)
    data = b""
    while data := data or file.read(PIECE // 8):
        if member.eof:
            data = data.lstrip(b"\0")  # padding between members
            member = zlib.decompressobj(GZIP_FRAMING)
            continue
        yield member.decompress(data, PIECE)
        data = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise FeedError(path, "gzip ends too early", "the file was cut off")


def _zstandard(path: str) -> Iterator[bytes]:
    """Read zstandard by Polars, the only one of our dependencies that can."""
    import polars as pl

    lines = pl.scan_csv(
        path,
        has_header=False,
        separator="\x1f",  # the unit separator: a line is one cell
        quote_char=None,
        schema={"line": pl.String},
        empty_string_is_null=False,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )
    try:
        for batch in lines.collect_batches(chunk_size=ZSTD_LINES, lazy=True):
            yield b"%b\n" % batch["line"].str.join("\n").item().encode()
    except pl.exceptions.PolarsError as e:
        raise FeedError(path, f"cannot be read on: {e}", "is the file whole?") from e
