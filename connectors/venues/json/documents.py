"""Frames that are not quite JSON: several documents in one, and bare `nan`."""

from __future__ import annotations

import json
import re

NOT_A_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*"|(?<![\w.+-])[+-]?(?:nan|inf(?:inity)?)(?![\w.])', re.IGNORECASE
)
SPACE = b" \t\r\n\x1e"
"""What may stand between documents; RFC 7464 puts a record separator before each."""
READER = json.JSONDecoder()


def without_nan(frame: bytes) -> bytes:
    """Write null where a number stands bare that JSON does not have.

    Some devices and Python's own `json` write `nan`, `NaN`, `inf` or `Infinity`.
    """

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
        RecursionError: if it is nested too deeply.
    """
    text = frame.strip(SPACE).decode()
    parts: list[str] = []
    while text:
        try:
            _, end = READER.raw_decode(text)
        except json.JSONDecodeError:
            break
        parts.append(text[:end])
        text = text[end:].lstrip(SPACE.decode() + ",")
    if not parts or (len(parts) == 1 and not text):
        return []
    return [part.encode() for part in (*parts, *([text] if text else []))]
