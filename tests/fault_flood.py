"""Flood a live process with frames, and see whether everyone gets a share.

    python -m tests.daemon_faults flood [--rate 50000] [--seconds 10] [--streams 50]

Reading, stepping and serving share a processor. Prints frames sent and ticks taken per
second, and the longest that `/status` took in milliseconds; raises if that is more than
`PATIENCE_MS`, or the model took no ticks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from tests.feed_tables import NUMBERS
from tests.living import asked, living

PATIENCE_MS = 250.0
STEP = 0.01
START = 1_700_000_000 * 10**9
CONFIG = (
    NUMBERS
    + """\
overload = "{overload}"
[stream]
symbols = {symbols}
[daemon]
listen = "127.0.0.1:0"
"""
)


def frame(number, streams):
    at = START + number * 20_000
    said = b'{"s":"s%d","t":%d,"v":%.4f}' % (number % streams, at, number % 97 / 7)
    return Frame(Opcode.TEXT, said).serialize(mask=False)


async def flooding(rate, streams, say):
    """Send as many frames as asked for to whoever connects, until told to end."""

    async def pour(socket):
        with suppress(ConnectionClosed, ConnectionResetError):
            await socket.recv()
            begun, number = time.perf_counter(), 0
            while True:
                wanted = int((time.perf_counter() - begun) * rate)
                most = min(wanted, number + 5_000)
                parts = [frame(n, streams) for n in range(number, most)]
                number = most
                # frames are made by hand: the library would take the processor
                socket.transport.write(b"".join(parts))
                while socket.transport.get_write_buffer_size() > 2**20:
                    await asyncio.sleep(STEP)
                    begun += STEP  # what the other end does not take is not sent
                await asyncio.sleep(STEP)

    async with serve(pour, "127.0.0.1", 0, compression=None, ping_interval=None) as one:
        port = next(iter(one.sockets)).getsockname()[1]
        say(f"ws://127.0.0.1:{port}")
        await asyncio.Event().wait()


def watched(url, seconds):
    """Ask for the status again and again; give ticks per second and the waits."""
    waits, end = [], time.perf_counter() + seconds
    first, _ = asked(url, "/status")
    begun = time.perf_counter()
    while time.perf_counter() < end:
        last, took = asked(url, "/status")
        waits.append(took)
        time.sleep(0.1)
    passed = time.perf_counter() - begun
    first, last = json.loads(first), json.loads(last)
    return {
        "ticks_per_s": round((last["ticks"] - first["ticks"]) / passed, 1),
        "waiting": last["waiting"],
        "state": last["state"],
        "status_ms": {
            "median": round(sorted(waits)[len(waits) // 2] * 1e3, 1),
            "max": round(max(waits) * 1e3, 1),
        },
        "asked": len(waits),
    }


def carry_out(arguments):
    parser = argparse.ArgumentParser(prog="flood")
    parser.add_argument("--rate", type=float, default=50_000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--overload", default="block")
    given = parser.parse_args(arguments)
    line = [
        sys.executable,
        "-m",
        "tests.fault_flood",
        str(given.rate),
        str(given.streams),
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as flood:  # noqa: S603
        try:
            symbols = json.dumps([f"s{i}" for i in range(given.streams)])
            url = flood.stdout.readline().strip()
            config = CONFIG.format(url=url, symbols=symbols, overload=given.overload)
            with living(config) as one:
                found = watched(one.url, given.seconds)
        finally:
            flood.kill()
    if found["status_ms"]["max"] > PATIENCE_MS or found["ticks_per_s"] == 0:
        raise RuntimeError(f"it did not hold against the flood: {found}")
    return found


if __name__ == "__main__":

    def say(url):
        sys.stdout.write(url + "\n")
        sys.stdout.flush()

    asyncio.run(flooding(float(sys.argv[1]), int(sys.argv[2]), say))
