"""What a process tells people, and how serious it is.

Whoever makes a notice knows that; whoever passes it on must not guess it from the text.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias


class Level(IntEnum):
    """How serious a notice is; the numbers are those of `logging`."""

    INFO = 20
    WARNING = 30
    ERROR = 40


class Notice(str):
    """A line for people.

    Attributes:
        level: how serious it is.
    """

    __slots__ = ("level",)
    level: Level


Say: TypeAlias = Callable[[Notice], None]


def info(text: str) -> Notice:
    """Make a notice of what goes as it should."""
    return _notice(text, Level.INFO)


def warning(text: str) -> Notice:
    """Make a notice of what a person should know; the process gets along."""
    return _notice(text, Level.WARNING)


def error(text: str) -> Notice:
    """Make a notice of what a person should see to: something is lost or refused."""
    return _notice(text, Level.ERROR)


def _notice(text: str, level: Level) -> Notice:
    made = Notice(text)
    made.level = level
    return made
