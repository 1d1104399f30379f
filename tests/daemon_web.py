"""What tests of the live process's address share: records, pages, and who asks."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager

import numpy as np

from sfm_stream.daemon.http.broadcast import Hub
from sfm_stream.daemon.http.prometheus import Meters
from sfm_stream.daemon.http.server import Pages, serving
from sfm_stream.records import REJECTED_REASONS, SKIPPED_REASONS, Records
from sfm_stream.settings import Daemon
from tests.vitals_rig import WELL

SWITCHED = 101
"""A websocket: it ends when we do."""
TABLES = {
    "stream": ("a", "b", "c"),
    "target": ("mid",),
    "horizon": ("1", "10"),
    "updates.skipped": SKIPPED_REASONS,
    "rejected.field": ("", "mid"),
    "rejected.reason": REJECTED_REASONS,
}


def forecasts(start, stop, streams=1, experts=1):
    """Make forecasts of events start..stop, streams and horizons in turn."""
    seq = np.arange(start, stop)
    nothing = np.full(len(seq), np.nan)
    return Records(
        {
            "forecasts": {
                "seq": seq, "stream": seq % streams, "target": seq * 0,
                "horizon": seq * 0, "origin": seq, "time": seq, "due": seq + 1,
                "mean": seq / 2, "lower": nothing, "upper": nothing,
                "weights": np.full((len(seq), experts), 0.5),
                "amplitude": np.zeros((len(seq), 0)),
                "quantiles": np.zeros((len(seq), 0)),
            }
        },
        TABLES,
    )  # fmt: skip


def mixed(seq=7):
    """Make one forecast of `a`, and one rejected tick of `b`."""
    rejected = {
        "seq": np.array([seq + 1]), "stream": np.array([1]), "time": np.array([5]),
        "field": np.array([1]), "reason": np.array([4]),
    }  # fmt: skip
    one = forecasts(seq, seq + 1).columns["forecasts"] | {"stream": np.array([0])}
    return Records({"forecasts": one, "rejected": rejected}, TABLES)


@asynccontextmanager
async def served(ask=lambda: WELL, settings=Daemon, listen="127.0.0.1:0", **given):
    """A served process; gives its hub and address."""
    hub = Hub(**given)

    async def told():
        return ask()

    async with serving(listen, Pages(told, settings, Meters(), hub)) as url:
        yield hub, url


@contextmanager
def served_apart(**given):
    """A served process in a thread of its own; gives its address."""
    ready, found = threading.Event(), []

    async def serve():
        done = asyncio.Event()
        async with served(**given) as (_, url):
            found.extend([url, asyncio.get_running_loop(), done])
            ready.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    url, loop, done = found
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()


async def asked(url, path, *headers, method="GET", host=""):
    """Ask as a browser would; give status, headers and body.

    Args:
        host: for the Host header; empty: that of the address; None: no such header.
    """
    place, port = url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(place.strip("[]"), int(port))
    named = [] if host is None else [f"Host: {host or f'{place}:{port}'}"]
    lines = [f"{method} {path} HTTP/1.1", *named, *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
    status, fields = int(first.split()[1]), dict(line.split(": ", 1) for line in rest)
    body = b"" if status == SWITCHED else await reader.read()
    writer.close()
    return status, fields, body


def lines(frames):
    """Give the lines of frames, read."""
    return [json.loads(line) for frame in frames for line in frame.split("\n")]
