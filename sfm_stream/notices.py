"""Notices: lines of text for people, each with its severity.

The code that makes a notice knows how serious it is; the code that passes it on must
not guess this from the text.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias


class Level(IntEnum):
    """The severity of a notice; the numbers are those of `logging`."""

    INFO = 20
    WARNING = 30
    ERROR = 40


class Notice(str):
    """A line for people.

    Attributes:
        level: its severity.
    """

    __slots__ = ("level",)
    level: Level


Say: TypeAlias = Callable[[Notice], None]


def info(text: str) -> Notice:
    """Make a notice of normal operation."""
    return _notice(text, Level.INFO)


def warning(text: str) -> Notice:
    """Make a notice of a problem that the process itself can handle."""
    return _notice(text, Level.WARNING)


def error(text: str) -> Notice:
    """Make a notice of a loss or a refusal that needs a person's attention."""
    return _notice(text, Level.ERROR)


def _notice(text: str, level: Level) -> Notice:
    made = Notice(text)
    made.level = level
    return made
