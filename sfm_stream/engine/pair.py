"""A tick and its label as the compiled tick takes them, filled again and again.

A live tick is written in less time than its columns would take to make.
"""

from __future__ import annotations

import struct

import numpy as np

from sfm_stream.events import LABEL, TICK, Label, Tick
from sfm_stream.events.kinds import LARGEST, NO_TIME, expect_width, misfit
from sfm_stream.kernels.rows import Events

BYTES = 8
"""Of a value."""
NO_NUMBER = (struct.error, TypeError, OverflowError)
"""Raised for a value or time that is no number; valid ones cost nothing more."""


class Pair:
    """Columns of two events: a tick, and a label.

    Args:
        fields: how many values each has.

    Attributes:
        events: the columns.
    """

    def __init__(self, fields: int) -> None:
        self.events = Events(
            kind=np.array([TICK, LABEL], np.int8),
            stream=np.zeros(2, np.int64),
            row=np.zeros(2, np.int64),
            time=np.zeros(2, np.int64),
            values=np.zeros((2, fields)),
            code=np.zeros(2, np.int64),
            seq=np.zeros(2, np.int64),
        )
        self._fields = fields
        # numbers go through these views in a third of the time
        e = self.events
        self._stream, self._row = memoryview(e.stream), memoryview(e.row)
        self._time, self._seq = memoryview(e.time), memoryview(e.seq)
        self._values = memoryview(e.values.reshape(-1)).cast("B")
        self._pack = struct.Struct(f"={fields}d").pack_into
        self._begin = 0, BYTES * fields

    def write(
        self, place: int, event: Tick | Label, number: int, row: int, seq: int
    ) -> None:
        """Write an event of the stream of this number, whose first row is `row`.

        Args:
            place: 0 of the tick, 1 of the label.
            event: what is written.
            number: of its stream.
            row: of both events.
            seq: number of the event.

        Raises:
            ShapeError: if it does not have one value per field.
            FeatureError: if a value or its time is no number.
        """
        values, time = event.values, event.time
        if len(values) != self._fields:
            expect_width(event, self._fields)
        try:
            self._pack(self._values, self._begin[place], *values)
            self._time[place] = time if NO_TIME <= time <= LARGEST else NO_TIME
        except NO_NUMBER as e:
            raise misfit(event) or e from e
        self._stream[place] = number
        self._row[0] = self._row[1] = row
        self._seq[place] = seq

    def answer(self, label: Label, seq: int) -> None:
        """Write the label of the tick that stands here: it is of the same stream.

        Args:
            label: what is written.
            seq: number of the label.

        Raises:
            ShapeError: if it does not have one value per field.
            FeatureError: if a value or its time is no number.
        """
        values, time = label.values, label.time
        if len(values) != self._fields:
            expect_width(label, self._fields)
        try:
            self._pack(self._values, self._begin[1], *values)
            self._time[1] = time if NO_TIME <= time <= LARGEST else NO_TIME
        except NO_NUMBER as e:
            raise misfit(label) or e from e
        self._stream[1] = self._stream[0]
        self._seq[1] = seq
