"""Kill a live process at random moments, and see whether anything was lost or doubled.

    python -m tests.daemon_kills CAPTURE [--kills 20] [--speed 5] [--seed 0]

plays a capture of Binance's futures on a socket and lets a process live on it; kills it
with SIGKILL, starts it again, and so on; stops it in order at last. Then its records are
compared with a replay of its journal, and its other sinks with its records. Prints one
line per start, and raises where anything differs.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import polars as pl

SHORTEST, LONGEST = 2.0, 12.0
PATIENCE = 120.0
CONFIG = """
[feed]
connector = "binance-usdm"
options = {{ url = "{url}", channel = "bookTicker" }}
[stream]
symbols = ["btcusdt"]
[target]
values = ["mid"]
horizons = [1, 10]
[daemon]
listen = ""
checkpoint_every = "2s"
[[sink]]
kind = "jsonl"
[[sink]]
kind = "sqlite"
"""
KINDS = {"forecasts": "forecast", "scores": "score", "updates": "update"}


def command(*arguments, **given):
    line = [sys.executable, "-m", "sfm_stream", *map(str, arguments)]
    return subprocess.Popen(line, text=True, **given)  # noqa: S603 our own program


def journalled(run):
    """Give the bytes of all segments; a compressed one counts as none."""
    return sum(p.stat().st_size for p in (run / "journal").glob("*.log"))


def first_live(run, process):
    """Wait until a new event is journalled; give the seconds it took."""
    begun, before = time.monotonic(), journalled(run)
    while journalled(run) <= before:
        if process.poll() is not None or time.monotonic() - begun > PATIENCE:
            message = f"no event within {PATIENCE} s, exit code {process.poll()}"
            raise RuntimeError(message)
        time.sleep(0.02)
    return time.monotonic() - begun


def address(simulator):
    """Give where a simulator plays; without it a daemon would ask the venue itself.

    Raises:
        RuntimeError: if it plays nowhere.
    """
    url = simulator.stdout.readline().strip()
    if not url.startswith("ws://127.0.0.1:"):
        raise RuntimeError(f"expected a simulator on this machine, was {url!r}")
    return url


def main(arguments):
    random = Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run = place / "run"
        simulator = command(
            "simulate", arguments.capture, "--venue", "binance-usdm", "--port", 0,
            "--speed", arguments.speed, "--loop", stdout=subprocess.PIPE,
        )  # fmt: skip
        config = place / "live.toml"
        process = None
        try:
            config.write_text(CONFIG.format(url=address(simulator)))
            for number in range(arguments.kills + 1):
                process = command("daemon", config, "--out", run)
                took = first_live(run, process)
                lived = random.uniform(SHORTEST, LONGEST)
                time.sleep(lived)
                last = number == arguments.kills
                process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                code = process.wait(PATIENCE)
                sys.stdout.write(
                    f"{number:2} first event after {took:.2f} s, "
                    f"ended after {lived:.2f} s more, exit code {code}\n"
                )
                sys.stdout.flush()
        finally:
            for one in (simulator, process):
                if one is not None:
                    one.kill()
                    one.wait()
        if code:
            raise RuntimeError("told to stop, it did not end in order")
        compare(run)


def compare(run):
    """Compare journal, records and the other sinks.

    Raises:
        RuntimeError: where they differ.
    """
    code = command("verify", run).wait()
    lines = [json.loads(line) for line in (run / "records.jsonl").open()]
    with sqlite3.connect(run / "records.sqlite") as base:
        for kind, tag in KINDS.items():
            rows = pl.read_parquet(run / "records" / f"{kind}-*.parquet")
            seqs = rows["seq"].to_list()
            (count,) = base.execute(f"select count(*) from {kind}").fetchone()  # noqa: S608
            said = [line["seq"] for line in lines if line["type"] == tag]
            sys.stdout.write(f"{kind}: {len(seqs)} rows\n")
            if said != seqs or count != len(seqs):
                message = f"{kind}: {len(seqs)} rows, {len(said)} lines, {count} keys"
                raise RuntimeError(message)
    if code:
        raise RuntimeError("live and replay differ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("capture")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--speed", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
