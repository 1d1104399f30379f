"""What a configuration must not hold in clear: tokens of addresses and subscriptions.

    {env:NAME}     the environment variable NAME
    {file:PATH}    the content of a file, without the space around it

stand for the secret in a text, or `env:NAME` and `file:PATH` for a whole one. They are
replaced where a connection is opened or a frame is sent, and nowhere else: whatever is
written down holds the reference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from sfm_stream.errors import ConfigError

WHOLE = re.compile(r"(env|file):([^{}]+)")
WITHIN = re.compile(r"\{(env|file):([^{}]+)\}")
MARKS = (b"env:", b"file:")


def reveal(text: str, at: str) -> str:
    """Put the secrets into a text.

    Args:
        text: with references.
        at: key to blame.

    Raises:
        ConfigError: if a variable is not set or a file cannot be read.
    """
    return _replaced(text, at, lambda secret: secret)


def reveal_frame(frame: bytes, at: str) -> bytes:
    """Put the secrets into a frame of JSON, escaped as its strings are.

    Raises:
        ConfigError: if a variable is not set or a file cannot be read.
    """
    if not any(mark in frame for mark in MARKS):
        return frame
    return _replaced(frame.decode(), at, _escaped).encode()


def _replaced(text: str, at: str, form: Callable[[str], str]) -> str:
    if whole := WHOLE.fullmatch(text):
        return _secret(whole, at)
    return WITHIN.sub(lambda found: form(_secret(found, at)), text)


def _secret(reference: re.Match[str], at: str) -> str:
    kind, name = reference.groups()
    if kind == "env":
        found = os.environ.get(name)
        if found is None:
            problem = f"expected the environment variable {name}, was not set"
            raise ConfigError(at, problem, "set it, or name another one")
        return found
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or e
        raise ConfigError(at, f"expected a secret in {name}: {reason}") from e


def _escaped(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
