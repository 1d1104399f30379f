"""Load several shards with many streams, and see how fast they are together.

    python -m tests.shard_load [--streams 10000] [--shards 4] [--rate 1] [--seconds 60]

makes up trades of so many symbols, plays them on a socket as a venue that sends what was
subscribed to, and has as many daemons live on it. It prints a line of JSON: ticks per
second taken and sent, the slowest shard's latency from receipt to delivery and the age
of its oldest waiting event, in milliseconds, what was dropped or lost, streams of each
shard, processor seconds per second and resident memory of all shards.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from socket import socket

from connectors.capture.format import received
from sfm_stream.cluster.whole import ask_all, whole
from sfm_stream.daemon.http.client import Answer
from tests.shard_rig import START, Daemon, command

PATIENCE = 600.0
WARM = 10.0
EVERY = 10.0  # s; an answer about 2,500 streams is work that a shard would not do else
CONFIG = """
[feed]
connector = "binance"
options = {{ url = "{url}", channel = "trade" }}
processes = 0
[stream]
symbols = {symbols}
[target]
values = ["price"]
[model]
states = {states}
frequencies = {frequencies}
outputs = {states}
[daemon]
lease = "60s"
"""


def write(path, streams, rate, seconds):
    """Make up trades of all symbols in turn."""
    with gzip.open(path, "wb", 1) as file:
        for number in range(int(streams * rate * seconds)):
            which, turn = number % streams, number // streams
            at = START + int(number * 1e9 / (streams * rate))
            price = 100 + (which * 7 + turn * turn * 3) % 11
            frame = (
                b'{"stream":"s%dusdt@trade","data":{"e":"trade","E":%d,"T":%d,'
                b'"s":"S%dUSDT","t":%d,"p":"%d.5","q":"1","m":true}}'
            ) % (which, at // 10**6, at // 10**6, which, turn + 1, price)
            file.write(received(frame, at))


def free_port():
    with socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def seconds_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def until_ticks(urls, streams):
    """Wait until every stream has ticked in its shard."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answers = ask_all(urls)
        here = [a.vitals for a in answers.values() if isinstance(a, Answer)]
        if sum(len(one.streams) for one in here) == streams:
            return
        time.sleep(EVERY)
    raise RuntimeError(f"not all streams came: {[len(v.streams) for v in here]}")


def measure(urls, daemons, seconds):
    pids = [one.process.pid for one in daemons]
    before, begun = whole(ask_all(urls)).vitals, time.monotonic()
    spent, lags = sum(map(seconds_of, pids)), []
    while time.monotonic() - begun < seconds:
        time.sleep(EVERY)
        lags.append(whole(ask_all(urls)).vitals.lag_s * 1e3)
    answers, passed = ask_all(urls), time.monotonic() - begun
    after = whole(answers).vitals
    counters = {name: count - before.counters.get(name, 0)
                for name, count in after.counters.items()}  # fmt: skip
    latencies = [one.vitals.latency_us for one in answers.values()]
    return {
        "seconds": passed,
        "ticks_per_s": (after.ticks - before.ticks) / passed,
        "p50_ms": [one.p50 / 1e3 for one in latencies],
        "p99_ms": [one.p99 / 1e3 for one in latencies],
        "lag_ms": [sorted(lags)[len(lags) * part // 100] for part in (50, 99)],
        "dropped": counters.get("dropped", 0),
        "gaps": after.gaps - before.gaps,
        "rejected": after.rejected - before.rejected,
        "streams": [len(one.vitals.streams) for one in answers.values()],
        "cpu": (sum(map(seconds_of, pids)) - spent) / passed,
        "memory_mib": after.memory_mib,
        "load": os.getloadavg()[0],
    }


def main(given):
    symbols = [f"s{i}usdt" for i in range(given.streams)]
    with tempfile.TemporaryDirectory() as name:
        place, daemons = Path(name), []
        lasting = given.seconds + given.start
        write(place / "made_up.gz", given.streams, given.rate, lasting)
        simulator = command(
            "simulate", place / "made_up.gz", "--venue", "binance", "--port", 0,
            "--loop", stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            url = simulator.stdout.readline().strip()
            told = CONFIG.format(
                url=url, symbols=json.dumps(symbols), states=given.states,
                frequencies=given.frequencies,
            )  # fmt: skip
            (place / "live.toml").write_text(told)
            ports = [free_port() for _ in range(given.shards)]
            for number, port in enumerate(ports, 1):
                daemons.append(Daemon(
                    place / "live.toml", place / f"shard-{number}",
                    "--shard", f"{number}/{given.shards}",
                    "--set", f"daemon.listen=127.0.0.1:{port}",
                ))  # fmt: skip
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            until_ticks(urls, given.streams)
            time.sleep(WARM)
            found = measure(urls, daemons, given.seconds)
        finally:
            for one in daemons:
                one.signal(signal.SIGKILL)
                one.end()
            simulator.kill()
            simulator.wait()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--start", type=float, default=120.0)
    parser.add_argument("--states", type=int, default=8)
    parser.add_argument("--frequencies", type=int, default=4)
    main(parser.parse_args())
