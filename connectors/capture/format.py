"""The format of recordings: write and read its lines.

    <ns> <frame>                 a received frame with its time of receipt
    <ns>* <base64>               the same for a frame that contains a line end
    <label> <-> <ns>             the connection opened
    <label> <- <ns>: <frame>     a frame was sent
    <label> </> <ns>: <reason>   the connection closed
    <label> <> <ns>              the frames below came through this connection
    <label> <!> <ns>: <gap>      a loss of data was noticed, as JSON
    sfm-stream:// <*> <ns>: <version>   recording began; data before it is missing

A label is the address of a connection, with `#n` if the feed has several connections.
Frames belong to the label named last. Files of cryptofeed are read too: their times are
in seconds, and a received frame reads `<s>: <frame>`.
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
    """The kind of a line; the value of a mark is its text in the line."""

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
        kind: kind of the line.
        label: label of its connection; empty for frames.
        time: time of the line, ns; 0 for garbage.
        body: the frame, the reason or the gap.
    """

    kind: Kind
    label: str
    time: int
    body: bytes


def label(url: str, number: int | None) -> str:
    """Name a connection by its address, without the parts that may be secret."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return place if number is None else f"{place}#{number}"


def received(frame: bytes, time: int) -> bytes:
    """Write the line of a received frame."""
    if len(frame.splitlines()) == 1 and frame[-1:] not in b"\r\n":
        return b"%d %b\n" % (time, frame)
    return b"%d* %b\n" % (time, base64.b64encode(frame))


def mark(kind: Kind, label: str, time: int, body: bytes = b"") -> bytes:
    """Write the line of a mark: what happened to a connection."""
    tail = b": " + b" ".join(body.splitlines()) if body else b""
    return b"%b %b %d%b\n" % (label.encode(), kind.value, time, tail)


def gap(label: str, gap: Gap) -> bytes:
    """Write the line of a loss of data."""
    return mark(Kind.GAP, label, gap.time, msgspec.json.encode(gap))


def read(path: str) -> Iterator[Line]:
    """Give all lines of a file except blank ones.

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
    """Parse a line; one that does not fit the format is garbage."""
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
    # cryptofeed writes seconds, and nothing of use after them
    when, _, body = tail.partition(b": ")
    time = stamp(when) or stamp(when + b":") or 0
    if kind is None or (kind is Kind.GAP and read_gap(body) is None):
        return Line(Kind.GARBAGE, "", 0, head)
    label = "" if kind is Kind.BEGUN else head.decode(errors="replace")
    return Line(kind, label, time, body)


def read_gap(body: bytes) -> Gap | None:
    """Read a loss of data; None if the text is not a gap."""
    try:
        return GAP.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def stamp(head: bytes) -> int | None:
    """Read `ns` or `s:` into ns by its digits; float64 cannot hold present ns."""
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
    """Remove the last line of a file if it is cut off; say whether it was."""
    before, line = files.last_lines(text)
    if not line or line.endswith(b"\n"):
        return text, False
    head, _, frame = line.partition(b" ")
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (text, False) if b"://" in head else (before, True)
    return text, False
