"""What looking costs: the daemon with and without clients, in turns, in one run.

    python -m tests.page_cost [--streams 1000] [--rate 4] [--clients 1] [--turns 4]

plays made-up streams to a live process and has so many clients look at the overview in
every second turn. Prints a line of JSON: processor microseconds of the daemon per tick
without and with them, and how much more that is.

    python -m tests.page_cost --chromium [--rate 1000]

opens the page of one stream in Chromium, and prints how long draws took, ms, how many
there were a second, and how much of a core all of Chromium used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect

from tests.browser_rig import browser
from tests.page_rig import living

TURN, SETTLE = 8.0, 2.0
LOOK = '{"view": "overview", "hz": 1}'


async def looked(url, clients, wish):
    """Have clients look, and read what they are sent, for good."""

    async def one():
        async with connect(f"{url.replace('http', 'ws')}/records", max_size=None) as ws:
            await ws.send(wish)
            async for _ in ws:
                pass

    await asyncio.gather(*(one() for _ in range(clients)))


def children(root):
    """Give a process and all that it started, by number."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(place.parent.name)] = int(fields[1])
    found = {root}
    while more := {n for n, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def processor_s(numbers):
    """Give the processor seconds of processes; none of those that ended."""
    ticks = 0
    for number in numbers:
        try:
            text = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            continue
        ticks += sum(map(int, text.rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def turn(daemon, clients):
    """Give processor microseconds per tick while so many clients look."""
    line = [sys.executable, "-m", "tests.page_cost", "--look", daemon.url,
            "--clients", str(clients)]  # fmt: skip
    looking = subprocess.Popen(line) if clients else None  # noqa: S603 ourselves
    try:
        time.sleep(SETTLE)
        all_of_it = children(daemon.process.pid)
        before, ticks = processor_s(all_of_it), daemon.wait()["ticks"]
        time.sleep(TURN)
        used = processor_s(all_of_it) - before
        return used * 1e6 / (daemon.wait()["ticks"] - ticks)
    finally:
        if looking:
            looking.kill()
            looking.wait()


def served(given):
    """Compare turns with and without clients."""
    seconds = 300 + given.turns * 2 * (TURN + SETTLE)
    with living(given.streams, given.rate, port(), seconds, horizons=(1, 10)) as daemon:
        daemon.wait(given.streams * 3)
        turns = [
            (turn(daemon, 0), turn(daemon, given.clients)) for _ in range(given.turns)
        ]
    without, with_them = np.median(np.array(turns), 0).tolist()
    share = float(np.median([b / a for a, b in turns])) - 1
    return {"without_us": without, "with_us": with_them, "more": share,
            "turns": turns, "load": os.getloadavg()[0]}  # fmt: skip


def drawn(given):
    """Draw the page of one stream in Chromium."""
    with living(1, given.rate, port(), 120) as daemon, browser() as page:
        daemon.wait(int(given.rate * 3))
        page.open(daemon.url)
        page.until("globalThis.sfm?.points?.last > 300")
        mine = children(page.process)
        page.ask("sfm.took.splice(0)")
        begun, before = time.monotonic(), processor_s(mine)
        time.sleep(TURN)
        passed = time.monotonic() - begun
        took = sorted(page.ask("sfm.took.slice()"))
        used = processor_s(mine) - before
        return {
            "draws_a_second": len(took) / passed, "p50_ms": took[len(took) // 2],
            "p95_ms": took[int(len(took) * 0.95)], "cores": used / passed,
            "load": os.getloadavg()[0],
        }  # fmt: skip


def port():
    """Give a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--chromium", action="store_true")
    parser.add_argument("--look")
    parser.add_argument("--wish", default=LOOK)
    given = parser.parse_args()
    if given.look:
        asyncio.run(looked(given.look, given.clients, given.wish))
    else:
        found = drawn(given) if given.chromium else served(given)
        sys.stdout.write(json.dumps(found) + "\n")
