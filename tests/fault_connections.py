"""Open more idle connections to a live process than it may open files.

    python -m tests.daemon_faults connections [--count 1500] [--files 1024] [--seconds 20]

Prints the most files it had open, whether it still answered, and how it ended; raises
if it came near its limit, did not answer, journalled nothing, or did not end in order.
"""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.living import asked, living

CONFIG = """
[feed]
connector = "binance"
options = {{ url = "{url}", channel = "trade" }}
[stream]
symbols = ["btcusdt"]
[target]
values = ["price"]
[daemon]
listen = "127.0.0.1:0"
checkpoint_every = "2s"
"""
CAPTURE = "configs/made_up.gz"


def files(process):
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def besiege(one, count, seconds):
    """Keep connections coming for so long; give what was seen."""
    place, most, held = urlsplit(one.url), 0, []
    first = json.loads(asked(one.url, "/status")[0])["seq"]
    end, slowest = time.monotonic() + seconds, 0.0
    while time.monotonic() < end and one.process.poll() is None:
        while len(held) < count:
            there = socket.socket()
            there.setblocking(False)
            with suppress(BlockingIOError):
                there.connect((place.hostname, place.port))
            held.append(there)
        time.sleep(0.2)
        most = max(most, files(one.process))
        slowest = max(slowest, asked(one.url, "/healthz")[1])
        held = still_open(held)
    last = json.loads(asked(one.url, "/status")[0])["seq"]
    for there in held:
        there.close()
    return {"files": most, "slowest_s": round(slowest, 2), "events": last - first}


def still_open(held):
    """Close the connections that were closed at the other end; give the others."""
    kept = []
    with selectors.DefaultSelector() as selector:
        for there in held:
            selector.register(there, selectors.EVENT_READ)
        spoken = {key.fileobj for key, _ in selector.select(0)}
    for there in held:
        there.close() if there in spoken else kept.append(there)
    return kept


def carry_out(arguments):
    parser = argparse.ArgumentParser(prog="connections")
    parser.add_argument("--count", type=int, default=1_500)
    parser.add_argument("--files", type=int, default=1_024)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    line = [sys.executable, "-m", "sfm_stream", "simulate", CAPTURE,
            "--venue", "binance", "--port", "0", "--speed", "10", "--loop"]  # fmt: skip
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as simulator:  # noqa: S603
        try:
            config = CONFIG.format(url=simulator.stdout.readline().strip())
            with living(config, "prlimit", f"--nofile={given.files}") as one:
                found = besiege(one, given.count, given.seconds)
                one.process.send_signal(signal.SIGTERM)
                found["code"] = one.process.wait(60)
        finally:
            simulator.kill()
    if found["files"] > given.files - 32 or not found["events"] or found["code"]:
        raise RuntimeError(f"it did not hold against them: {found}")
    return found
