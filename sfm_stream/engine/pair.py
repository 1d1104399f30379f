"""Columns of one tick and its label for the compiled tick, reused for every event.

Writing a live tick into them takes less time than making new columns.
"""

from __future__ import annotations

import struct

import numpy as np

from sfm_stream.events import LABEL, TICK, Label, Tick
from sfm_stream.events.kinds import LARGEST, NO_TIME, expect_width, misfit
from sfm_stream.kernels.rows import Events

BYTES = 8
"""Bytes of one value."""
NO_NUMBER = (struct.error, TypeError, OverflowError)
"""Errors of a value or time that is not a number: valid ones need no check."""


class Pair:
    """Columns of two events: a tick, and a label.

    Args:
        fields: the number of values of an event.

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
        # A memoryview writes single numbers three times as fast as the array does.
        e = self.events
        self._stream, self._row = memoryview(e.stream), memoryview(e.row)
        self._time, self._seq = memoryview(e.time), memoryview(e.seq)
        self._values = memoryview(e.values.reshape(-1)).cast("B")
        self._pack = struct.Struct(f"={fields}d").pack_into
        self._begin = 0, BYTES * fields

    def write(
        self, place: int, event: Tick | Label, number: int, row: int, seq: int
    ) -> None:
        """Write an event of a stream into its place.

        Args:
            place: 0 for the tick, 1 for the label.
            event: the tick or label.
            number: of its stream.
            row: the first row of the stream, written for both events.
            seq: number of the event.

        Raises:
            ShapeError: if the event does not have one value per field.
            FeatureError: if a value or the time is not a number.
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
        """Write the label of the tick in this pair: it belongs to the same stream.

        Args:
            label: the label.
            seq: number of the label.

        Raises:
            ShapeError: if the label does not have one value per field.
            FeatureError: if a value or the time is not a number.
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
