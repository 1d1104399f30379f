"""Frames that are not quite JSON: several documents in one, and bare `nan`."""

from __future__ import annotations

import json
import re

# A text that nothing closes is taken to its end, or each mark in it would be tried.
NOT_A_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+"?|(?<![\w.+-])[+-]?(?:nan|inf(?:inity)?)(?![\w.])',
    re.IGNORECASE | re.DOTALL,
)
SPACE = b" \t\r\n\x1e"
"""What may stand between documents; RFC 7464 puts a record separator before each."""
BETWEEN = re.compile(rf"[{SPACE.decode()},]*")
# Numbers stay text: only where they end is of interest, and they may be of any length.
READER = json.JSONDecoder(parse_int=str, parse_float=str)


def without_nan(frame: bytes) -> bytes:
    """Write null where a number stands bare that JSON does not have.

    Some devices and Python's own `json` write `nan`, `NaN`, `inf` or `Infinity`.
    """
    lower = frame.lower()  # a look for words takes a hundredth of what follows
    if b"nan" not in lower and b"inf" not in lower:
        return frame

    def mended(found: re.Match[bytes]) -> bytes:
        return found[0] if found[0].startswith(b'"') else b"null"

    return NOT_A_NUMBER.sub(mended, frame)


def documents(frame: bytes) -> list[bytes]:
    """Cut a frame into the JSON documents that stand in it one after the other.

    Returns:
        What can be read, and the rest from where it cannot; nothing if the frame does
        not begin with a document and go on after it.

    Raises:
        UnicodeDecodeError: if it is no text.
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
    """Give the place behind what stands between documents."""
    between = BETWEEN.match(text, end)
    return between.end() if between else end
