"""Frames that are not quite JSON: several documents in one, and bare `nan`."""

from __future__ import annotations

import json
import re

# A text without an end quote is matched to the end, else each mark in it is tried.
NOT_A_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+"?|(?<![\w.+-])[+-]?(?:nan|inf(?:inity)?)(?![\w.])',
    re.IGNORECASE | re.DOTALL,
)
SPACE = b" \t\r\n\x1e"
"""Space between documents; RFC 7464 puts a record separator before each document."""
BETWEEN = re.compile(rf"[{SPACE.decode()},]*")
# Numbers are kept as text: only their end is needed, and they may be of any length.
READER = json.JSONDecoder(parse_int=str, parse_float=str)


def without_nan(frame: bytes) -> bytes:
    """Replace unquoted numbers that JSON does not allow by null.

    Some devices and Python's own `json` write `nan`, `NaN`, `inf` or `Infinity`.
    """
    lower = frame.lower()  # this search takes a hundredth of the time of the pattern
    if b"nan" not in lower and b"inf" not in lower:
        return frame

    def mended(found: re.Match[bytes]) -> bytes:
        return found[0] if found[0].startswith(b'"') else b"null"

    return NOT_A_NUMBER.sub(mended, frame)


def documents(frame: bytes) -> list[bytes]:
    """Split a frame into its JSON documents.

    Returns:
        The documents that can be read, and the remaining bytes if any; an empty list
        if the frame does not begin with a document, or is a single one.

    Raises:
        UnicodeDecodeError: if the frame is not UTF-8.
    """
    text = frame.strip(SPACE).decode()
    parts: list[str] = []
    at = 0
    while at < len(text):
        try:
            _, end = READER.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            break
        parts.append(text[at:end])
        at = _past(text, end)
    if not parts or (len(parts) == 1 and at == len(text)):
        return []
    return [part.encode() for part in (*parts, *([text[at:]] if text[at:] else []))]


def _past(text: str, end: int) -> int:
    """Skip the space and commas after a document; give the next position."""
    between = BETWEEN.match(text, end)
    return between.end() if between else end
