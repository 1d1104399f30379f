"""The vitals of a live process that is well, to be made worse."""

from __future__ import annotations

from msgspec.structs import replace

from sfm_stream.daemon.status.model import (
    Checkpoint,
    Connection,
    Journal,
    Percentiles,
    Refused,
    Stream,
    Vitals,
)
from sfm_stream.feeds import Happening
from sfm_stream.sinks import Status

FEED = Connection(
    "wss://venue", "live", 60.0, 0.1, "", {"btcusdt": ("live", 0.1)}, {"garbage": 3},
    (Happening(1_700_000_000 * 10**9, "gap", "cut off"),),
)  # fmt: skip
SINK = Status("records", "parquet", 3, 0, 0, 5_000, 0.0, "")
WELL = Vitals(
    version="0.1.0",
    pid=42,
    run="runs/venue",
    state="live",
    since=1_700_000_000 * 10**9,
    uptime_s=61.5,
    seq=1_500,
    recovered=500,
    ticks=1_000,
    rejected=2,
    gaps=1,
    streams={
        "btcusdt": Stream(900, 0, 0.1),
        "ethusdt": Stream(100, 2, 2.5, quarantined_s=30.0),
    },
    feeds=(FEED,),
    waiting=4,
    counters={"garbage": 3, "connecting": 2},
    lag_s=0.01,
    checkpoint=Checkpoint(1_400, 9.0, 0.2),
    journal=Journal(1_500),
    sinks=(SINK,),
    learning=True,
    finite=True,
    alarms=(),
    latency_us=Percentiles(210.0, 3_000.0, 8_000.0, 9_000.0, 1_000),
    held_us=Percentiles(10.0, 900.0, 4_000.0, 7_000.0, 500),
    memory_mib=320.5,
    failures={"views": 1},
    rejections={"value is missing": Refused(2, "stream 'ethusdt' event 7")},
)


def vitals(**worse):
    return replace(WELL, **worse)
