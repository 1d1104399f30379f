"""Replace references to secrets, such as tokens in addresses and subscriptions.

    {env:NAME}     the environment variable NAME
    {file:PATH}    the content of a file, without surrounding space

A text may contain these references, or be `env:NAME` or `file:PATH` as a whole. They
are replaced only when a connection is opened or a frame is sent: all that is stored or
logged has the reference, not the secret.
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
    """Replace the references in a text by the secrets.

    Args:
        text: text with references.
        at: the setting's key, for errors.

    Raises:
        ConfigError: if a variable is not set or a file cannot be read.
    """
    return _replaced(text, at, lambda secret: secret)


def reveal_frame(frame: bytes, at: str) -> bytes:
    """Replace the references in a JSON frame by the secrets, escaped as JSON strings.

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
