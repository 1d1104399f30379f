"""All exceptions that this project raises, as one tree.

    SFMStreamError
    +-- ConfigError            (ValueError)    a setting is invalid
    +-- FeedError                              a file or a venue is at fault
    +-- ShapeError             (ValueError)    an array has the wrong shape
    +-- FeatureError           (ValueError)    a feature, target or value of an event
    |                                          is not a number
    +-- InvalidState           (RuntimeError)  calls came out of order
    +-- SourceChanged                          a run's source has changed
    +-- AddressError                           an address is taken or silent
    +-- StorageError                           a run's files cannot be used
    |   +-- JournalError                       the event log cannot be used
    |   +-- SinkError                          records could not be written
    |   |   +-- RecordsLost                    records that were written are gone
    |   +-- Fenced                             another process has taken the run
    |   +-- CheckpointError
    |       +-- CheckpointCorrupt              a snapshot is damaged
    |       +-- CheckpointMismatch             a snapshot belongs to another model
    +-- ReplayMismatch                         a replay gave other records

Messages read `where: expected X, was Y; do Z`, lower case, no full stop.
Bad data raises no exception: it becomes a `Rejected` record.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 20
LONGEST = 100
"""Largest number of characters of a value in a message."""


class SFMStreamError(Exception):
    """The root of all exceptions raised by this project."""


class ConfigError(SFMStreamError, ValueError):
    """A setting is unknown, impossible or contradicts another one.

    Attributes:
        at: the key, as `section.key`.
        problem: what is wrong with its value.
        hint: what to do, or empty.
    """

    def __init__(self, at: str, problem: str, hint: str = "") -> None:
        super().__init__(at, problem, hint)
        self.at, self.problem, self.hint = at, problem, hint

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.at}: {self.problem}{tail}"


class FeedError(SFMStreamError):
    """A file or a venue gave data that cannot be read.

    Attributes:
        source: path or address.
        problem: what was expected and what was found.
        hint: what to do, or empty.
        row: number of the data row at fault, from 1; or None.
        column: name of the column or field at fault, or None.
    """

    def __init__(
        self,
        source: str,
        problem: str,
        hint: str = "",
        *,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        # row and column travel in __dict__: a copy is made from these arguments
        super().__init__(source, problem, hint)
        self.source, self.problem, self.hint = source, problem, hint
        self.row, self.column = row, column

    def __str__(self) -> str:
        row = "" if self.row is None else f" row {self.row}"
        column = "" if self.column is None else f" column {self.column!r}"
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.source}{row}{column}: {self.problem}{tail}"


class NoRows(FeedError):
    """A file or piped input holds no rows."""


class ShapeError(SFMStreamError, ValueError):
    """An array does not have the shape its name promises.

    Attributes:
        name: the array.
        expected: the shape it must have.
        was: the shape it has.
    """

    def __init__(self, name: str, expected: str, was: str) -> None:
        super().__init__(name, expected, was)
        self.name, self.expected, self.was = name, expected, was

    def __str__(self) -> str:
        return f"{self.name}: expected shape {self.expected}, was {self.was}"


class FeatureError(SFMStreamError, ValueError):
    """A feature, target or part of an event is not a number: the caller's mistake.

    Attributes:
        name: name of the feature, target or part.
        value: the value that was given.
        expected: the kind of value that was expected.
        hint: what to do.
    """

    def __init__(
        self,
        name: object,
        value: object,
        expected: str = "a number or a date",
        hint: str = "turn it into numbers before, or leave it out",
    ) -> None:
        super().__init__(name, value, expected, hint)
        self.name, self.value = name, value
        self.expected, self.hint = expected, hint

    def __str__(self) -> str:
        was = repr(self.value)
        was = was if len(was) <= LONGEST else f"{was[:LONGEST]}..."
        return f"{self.name!r}: expected {self.expected}, was {was}; {self.hint}"


class InvalidState(SFMStreamError, RuntimeError):
    """A method was called out of order."""


class SourceChanged(SFMStreamError):
    """The source of a run has changed since the run was made.

    Attributes:
        source: path or name of the source.
        expected: its description when the run was made.
        was: its description now.
    """

    def __init__(self, source: str, expected: str, was: str) -> None:
        super().__init__(source, expected, was)
        self.source, self.expected, self.was = source, expected, was

    def __str__(self) -> str:
        return (
            f"{self.source}: expected {self.expected}, was {self.was}; "
            "restore the source or start a new run"
        )


class AddressError(SFMStreamError):
    """An address cannot be listened on, or no live process answers there.

    Attributes:
        address: as `host:port`, or whole.
        problem: what was expected and what was found.
        hint: what to do, or empty.
    """

    def __init__(self, address: str, problem: str, hint: str = "") -> None:
        super().__init__(address, problem, hint)
        self.address, self.problem, self.hint = address, problem, hint

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.address}: {self.problem}{tail}"


class StorageError(SFMStreamError):
    """A file or folder of a run cannot be written or used.

    Attributes:
        path: the file or folder.
        problem: what was expected and what was found.
        hint: what to do, or empty.
    """

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__(path, problem, hint)
        self.path, self.problem, self.hint = path, problem, hint

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.path}: {self.problem}{tail}"


class JournalError(StorageError):
    """The event log cannot be read or written."""


class Fenced(StorageError):
    """Another process has taken the run: this one must not write any more."""


class SinkError(StorageError):
    """Records could not be written where they should go."""


class RecordsLost(SinkError):
    """Records that a sink had written are missing."""


class HoldsRecords(SinkError):
    """A sink's file or folder holds records that no checkpoint of the run knows."""


class CheckpointError(StorageError):
    """A snapshot cannot be written or used."""


class CheckpointCorrupt(CheckpointError):
    """A snapshot on disk is damaged or incomplete."""


class CheckpointMismatch(CheckpointError):
    """A snapshot on disk belongs to another model or format."""


class ReplayMismatch(SFMStreamError):
    """A replay of the same events gave other records than those of a run.

    Attributes:
        kind: the kind of record, e.g. `forecasts`.
        row: 0-based row of the first difference.
        column: its column.
        expected: the value in the replay.
        was: the value in the run's files.
    """

    def __init__(
        self, kind: str, row: int, column: str, expected: object, was: object
    ) -> None:
        super().__init__(kind, row, column, expected, was)
        self.kind, self.row, self.column = kind, row, column
        self.expected, self.was = expected, was

    def __str__(self) -> str:
        return (
            f"{self.kind} row {self.row} column {self.column!r}: "
            f"expected {self.expected!r}, was {self.was!r}; "
            "`sfm-stream repair RUN` builds the records of RUN anew"
        )


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """List the first `most` names, and count the others."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def amount(count: int, noun: str) -> str:
    """Write a count with its noun: `1 tick`, `2,000 ticks`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give a hint: the most similar known name, or else the known names."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {listed(names)}" if names else ""
