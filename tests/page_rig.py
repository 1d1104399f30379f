"""What tests and pictures of the page share: made-up streams, played to a live process.

    python -m tests.page_rig [--streams 6] [--rate 20] [--port 8788] [--seconds 600]

makes up waves whose tones drift, plays them on a socket at their own pace, and lives on
them until it is stopped.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from connectors.capture.format import received
from tests.feed_tables import NUMBERS

PATIENCE = 120.0
NAMES = ("hall", "kitchen", "cellar", "loft", "garden", "street", "roof", "well")
CONFIG = (
    NUMBERS
    + """
[stream]
symbols = {symbols}
[target]
horizons = {horizons}
[daemon]
listen = "127.0.0.1:{port}"
checkpoint_every = "2s"
"""
)


def names_of(streams):
    """Give so many names."""
    return [NAMES[i] if i < len(NAMES) else f"s{i}" for i in range(streams)]


def wave(number, at, rng):
    """Give the values of a stream at times [n], s: tones that drift, in noise."""
    periods = np.array([1.3, 2.7, 7.0]) * (1 + 0.13 * number)
    phases = rng.uniform(0, 6, 3)
    loud = np.array([0.6, 1.0, 0.8 + 0.4 * np.sin(number)])
    bend = 1 + 0.15 * np.sin(at / 40 + number)
    tones = loud * np.sin(2 * np.pi * at[:, None] / periods * bend[:, None] + phases)
    noise = (0.06 + 0.25 * (number % 4 == 3)) * rng.standard_normal(len(at))
    return 20 + number + tones.sum(1) + noise


def write(path, streams, rate, seconds):
    """Make up a capture: every stream once per 1 / rate seconds, in turn."""
    rng = np.random.default_rng(0)
    count = int(rate * seconds)
    at = np.arange(count) / rate
    values = np.stack([wave(i, at, rng) for i in range(streams)], 1).tolist()
    names, begin = names_of(streams), time.time_ns()
    with gzip.open(path, "wb", 1) as file:
        for tick, row in enumerate(values):
            for i, value in enumerate(row):
                moment = begin + int((tick + i / streams) * 1e9 / rate)
                line = json.dumps({"s": names[i], "t": moment, "v": round(value, 4)})
                file.write(received(line.encode(), moment))


def started(*arguments, **given):
    """Start our own command."""
    line = [sys.executable, "-m", "sfm_stream", *map(str, arguments)]
    return subprocess.Popen(line, text=True, **given)  # noqa: S603 our own program


class Living:
    """A live process on a port, and what it reads.

    Attributes:
        url: of its page.
    """

    def __init__(self, place, streams, rate, port, seconds, horizons=(1, 5, 20, 60)):
        self.url = f"http://127.0.0.1:{port}"
        self._place, self._config = place, place / "live.toml"
        capture = place / "made_up.gz"
        write(capture, streams, rate, seconds)
        self._venue = started(
            "simulate", capture, "--venue", "plain", "--port", 0,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        text = CONFIG.format(
            url=self._venue.stdout.readline().strip(), port=port, horizons=list(horizons),
            symbols=json.dumps(names_of(streams)),
        )  # fmt: skip
        self._config.write_text(text)
        self.start()

    def start(self):
        """Start the process, on its run if there is one."""
        with (self._place / "log").open("a") as log:
            self.process = started(
                "daemon", self._config, "--out", self._place / "run", stderr=log
            )

    def wait(self, ticks=0):
        """Wait until it is live and has taken so many ticks."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                with urlopen(f"{self.url}/status", timeout=5) as answer:  # noqa: S310 ours
                    status = json.load(answer)
            except OSError:
                time.sleep(0.1)
                continue
            if status["state"] == "live" and status["ticks"] >= ticks:
                return status
            time.sleep(0.1)
        raise RuntimeError((self._place / "log").read_text()[-2_000:])

    def kill(self):
        """Kill it without a warning."""
        self.process.kill()
        self.process.wait()

    def close(self):
        """End what was started."""
        for one in (self.process, self._venue):
            one.kill()
            one.wait()
        self._venue.stdout.close()


@contextmanager
def living(streams, rate, port, seconds=600, **given):
    """Give a live process, and end it."""
    with tempfile.TemporaryDirectory() as name:
        found = Living(Path(name), streams, rate, port, seconds, **given)
        try:
            yield found
        finally:
            found.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--port", type=int, default=8788)
    parser.add_argument("--seconds", type=float, default=600.0)
    given = parser.parse_args()
    with living(given.streams, given.rate, given.port, given.seconds) as one:
        sys.stdout.write(f"{one.url}\n")
        sys.stdout.flush()
        one.process.wait()
