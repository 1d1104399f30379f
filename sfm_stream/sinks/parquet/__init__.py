"""Records as Parquet files, each of them complete, and a log of what is to be one."""

from sfm_stream.sinks.parquet.frames import nothing
from sfm_stream.sinks.parquet.parts import last, read, whole
from sfm_stream.sinks.parquet.sink import ParquetSink

__all__ = ["ParquetSink", "last", "nothing", "read", "whole"]
