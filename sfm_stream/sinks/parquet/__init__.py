"""Records as complete Parquet files, and logs of rows that will become Parquet."""

from sfm_stream.sinks.parquet.frames import nothing
from sfm_stream.sinks.parquet.parts import last, read, whole
from sfm_stream.sinks.parquet.sink import ParquetSink

__all__ = ["ParquetSink", "last", "nothing", "read", "whole"]
