"""Sinks: they write the records of the engine to files, databases or memory.

A sink has a position, which a checkpoint keeps. A sink opened with a position first
drops all records that were written later, so that replayed ticks do not write their
records twice. Opened without a position, a sink begins a new run and refuses to write
over an old one; opened with an empty position, it goes back to the start of the run.
"""

from sfm_stream.sinks.chosen import Chosen
from sfm_stream.sinks.contract import Sink
from sfm_stream.sinks.delivery import Delivery, Status
from sfm_stream.sinks.jsonl import JsonlSink
from sfm_stream.sinks.memory import MemorySink
from sfm_stream.sinks.opening import expect_sinks, open_anew, open_sink
from sfm_stream.sinks.parquet import ParquetSink, last, nothing, read, whole
from sfm_stream.sinks.sqlite import SqliteSink

__all__ = [
    "Chosen",
    "Delivery",
    "JsonlSink",
    "MemorySink",
    "ParquetSink",
    "Sink",
    "SqliteSink",
    "Status",
    "expect_sinks",
    "last",
    "nothing",
    "open_anew",
    "open_sink",
    "read",
    "whole",
]
