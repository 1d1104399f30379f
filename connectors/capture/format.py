"""The format of recorded lines, written and read.

    <ns> <frame>                 a frame as it was received, and when
    <ns>* <base64>               the same, of a frame that holds a line's end
    <label> <-> <ns>             a connection opened
    <label> <- <ns>: <frame>     what was sent
    <label> </> <ns>: <reason>   it closed
    <label> <> <ns>              frames below came through this one
    <label> <!> <ns>: <gap>      a loss of data was noticed, as JSON
    sfm-stream:// <*> <ns>: <version>   recording began; data before it is missing

A label is the address, and `#n` where a feed has several connections. Frames belong to
the label named last. cryptofeed's files are read too: its times are seconds, and its
received lines read `<s>: <frame>`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from enum import Enum
from urllib.parse import urlsplit

import msgspec

from connectors.files import text as files
from connectors.stamps import SECOND
from sfm_stream.errors import FeedError
from sfm_stream.events import Gap

LAST_TIME = 2**63
STAMP_DIGITS = 19
NS_DIGITS = 9
GAP = msgspec.json.Decoder(Gap)
US = "sfm-stream://"


class Kind(Enum):
    """What a line says; the values of marks stand in it."""

    FRAME = b""
    OPENED = b"<->"
    SENT = b"<-"
    CLOSED = b"</>"
    SWITCHED = b"<>"
    GAP = b"<!>"
    BEGUN = b"<*>"
    GARBAGE = b"?"


MARKS = {kind.value: kind for kind in Kind if kind.value.startswith(b"<")}


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of a recording.

    Attributes:
        kind: what it says.
        label: of its connection; empty for frames.
        time: when, ns; 0 for garbage.
        body: frame, reason or gap.
    """

    kind: Kind
    label: str
    time: int
    body: bytes


def label(url: str, number: int | None) -> str:
    """Name a connection by its address, without what may be secret in one."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return place if number is None else f"{place}#{number}"


def received(frame: bytes, time: int) -> bytes:
    """Write a frame."""
    if len(frame.splitlines()) == 1 and frame[-1:] not in b"\r\n":
        return b"%d %b\n" % (time, frame)
    return b"%d* %b\n" % (time, base64.b64encode(frame))


def mark(kind: Kind, label: str, time: int, body: bytes = b"") -> bytes:
    """Write what happened to a connection."""
    tail = b": " + b" ".join(body.splitlines()) if body else b""
    return b"%b %b %d%b\n" % (label.encode(), kind.value, time, tail)


def gap(label: str, gap: Gap) -> bytes:
    """Write a loss of data."""
    return mark(Kind.GAP, label, gap.time, msgspec.json.encode(gap))


def read(path: str) -> Iterator[Line]:
    """Give the lines of a file that are not blank.

    Raises:
        FeedError: if the file is damaged, or its last line is cut off.
    """
    row = 0
    for text, last in files.texts(path):
        whole, torn = _split_torn(text) if last else (text, False)
        lines = [line for line in whole.splitlines() if line]
        row += len(lines)
        yield from map(parse, lines)
        if torn:
            problem = "the last line is cut off; expected a whole frame"
            raise FeedError(path, problem, "mend or delete it", row=row + 1)


def parse(line: bytes) -> Line:
    """Read a line, whatever it holds."""
    head, _, rest = line.partition(b" ")
    if b"://" in head:
        return _marked(head, rest)
    time = stamp(head)
    if time is not None:
        return Line(Kind.FRAME, "", time, rest)
    time = stamp(head.removesuffix(b"*"))
    if time is not None:
        try:
            frame = base64.b64decode(rest, validate=True)
        except binascii.Error:
            time = None
        else:
            return Line(Kind.FRAME, "", time, frame)
    return Line(Kind.GARBAGE, "", 0, line)


def _marked(head: bytes, rest: bytes) -> Line:
    sign, _, tail = rest.partition(b" ")
    kind = MARKS.get(sign)
    # cryptofeed writes seconds, and nothing that matters after them
    when, _, body = tail.partition(b": ")
    time = stamp(when) or stamp(when + b":") or 0
    if kind is None or (kind is Kind.GAP and read_gap(body) is None):
        return Line(Kind.GARBAGE, "", 0, head)
    label = "" if kind is Kind.BEGUN else head.decode(errors="replace")
    return Line(kind, label, time, body)


def read_gap(body: bytes) -> Gap | None:
    """Read a loss of data, None if it is not one."""
    try:
        return GAP.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def stamp(head: bytes) -> int | None:
    """Read `ns` or `s:` into ns by its digits; float64 holds no ns of today."""
    if head.isdigit() and len(head) <= STAMP_DIGITS:
        ns = int(head)
    else:
        whole, _, fraction = head.removesuffix(b":").partition(b".")
        seconds = head.endswith(b":") and (whole + fraction).isdigit()
        if not seconds or len(whole) > STAMP_DIGITS:
            return None
        nano = fraction[:NS_DIGITS].ljust(NS_DIGITS, b"0")
        ns = int(whole or b"0") * SECOND + int(nano)
    return ns if ns < LAST_TIME else None


def _split_torn(text: bytes) -> tuple[bytes, bool]:
    """Take the last line of a file away if it was cut off."""
    before, line = files.last_lines(text)
    if not line or line.endswith(b"\n"):
        return text, False
    head, _, frame = line.partition(b" ")
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (text, False) if b"://" in head else (before, True)
    return text, False
