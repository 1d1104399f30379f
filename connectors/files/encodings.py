"""Convert text of any encoding and line ends to UTF-8 with newlines, piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

from sfm_stream.errors import ConfigError

FEW = 4096
TWICE = b"\r\r\n"
STAND_IN, SHOWN = "\ufffd", 60
"""Replacement for unreadable characters, and the shown length of their first line."""
AT, HINT = "feed.options.encoding", "leave it empty to have it detected"
TRIED = "1\n2"


def utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Convert pieces of any encoding and line ends to UTF-8 with newlines."""
    first = next(pieces, b"")
    codec = codecs.lookup(encoding).name if encoding else _encoding(first)
    given: Iterator[bytes] = chain([first], pieces)
    if codec != "utf-8":
        given = _recoded(given, codec)
        first = next(given, b"")
        given = chain([first], given)
    elif first.startswith(codecs.BOM_UTF8):
        given = chain([first[len(codecs.BOM_UTF8) :]], pieces)
    if b"\r" in first and b"\n" not in first:
        given = (piece.replace(b"\r", b"\n") for piece in given)
    elif TWICE in first[:FEW]:
        given = _ended_once(given)
    return map(_unmarked, given)


def _ended_once(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Reduce the doubled line ends that Windows programs can write to newlines."""
    held = b""
    for piece in pieces:
        text = held + piece
        end = len(text.rstrip(b"\r"))
        held = text[end:]
        yield text[:end].replace(TWICE, b"\n")
    yield held


def _unmarked(piece: bytes) -> bytes:
    """Remove byte order marks inside the text, which joining of files leaves there."""
    # the search for one byte takes a tenth of the time of the search for three
    if codecs.BOM_UTF8[:1] in piece:
        return piece.replace(codecs.BOM_UTF8, b"")
    return piece


def _recoded(pieces: Iterable[bytes], codec: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)("replace")
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as e:  # some codecs raise instead of replacing
        problem = f"expected the encoding of the file, was {codec!r}: {e}"
        raise ConfigError(AT, problem, HINT) from e


def unread(lines: bytes) -> tuple[int, int, str]:
    """Count the characters in lines that could not be read.

    Returns:
        Their number; the number, from 1, and the text of the first line with one.
    """
    if lines.isascii():
        return 0, 0, ""
    before, found, behind = lines.decode(errors="replace").partition(STAND_IN)
    if not found:
        return 0, 0, ""
    line = before.rpartition("\n")[2] + found + behind.partition("\n")[0]
    return 1 + behind.count(STAND_IN), before.count("\n") + 1, line[:SHOWN]


def _encoding(text: bytes) -> str:
    """Detect the encoding of a file from its first piece."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    few = text[:FEW]
    for codec, at in (("utf-16-le", 1), ("utf-16-be", 0)):
        high, low = few[at::2], few[1 - at :: 2]
        # runs of zero bytes are not text in any encoding
        if len(few) > 1 and (high.count(0) - low.count(0)) * 2 > len(high):
            return codec
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def expect_encoding(name: str) -> None:
    """Refuse an encoding that is unknown or not an encoding of text.

    Raises:
        ConfigError: naming the encoding.
    """
    try:
        written = TRIED.encode(name or "utf-8")  # refuses codecs that are not of text
        decoder = codecs.getincrementaldecoder(name or "utf-8")("replace")
        read = decoder.decode(written, final=True)
    except (LookupError, UnicodeError):
        read = ""
    if read != TRIED:
        problem = f"expected an encoding of text like 'latin-1', was {name!r}"
        raise ConfigError(AT, problem, HINT)
