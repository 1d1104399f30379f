"""What tests of several daemons share: a venue of random walks, daemons on runs."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from random import Random

from connectors.capture.format import received
from sfm_stream.storage import epoch
from sfm_stream.storage.segment import BEGINNING
from tests.feed_tables import NUMBERS

PATIENCE = 180.0
START = 1_700_000_000 * 10**9
CONFIG = (
    NUMBERS
    + """\
processes = 0
[stream]
symbols = {symbols}
[target]
horizons = [1, 3]
[model]
states = 4
frequencies = 3
outputs = 5
[daemon]
listen = ""
lease = "{lease}"
checkpoint_every = "300ms"
catch_up_after = "1h"
"""
)


def command(*arguments, **given):
    line = [sys.executable, "-m", "sfm_stream", *map(str, arguments)]
    return subprocess.Popen(line, text=True, **given)  # noqa: S603 our own program


def said(*arguments):
    """Carry out a command; give its exit code and all that it says."""
    done = command(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.communicate(timeout=PATIENCE)[0], done.returncode


def capture(path, symbols, per_second, seconds):
    """Make up ticks of streams that come in turn."""
    random, level = Random(0), dict.fromkeys(symbols, 0.0)
    with gzip.open(path, "wb", 1) as file:
        for number in range(per_second * seconds):
            name = symbols[number % len(symbols)]
            level[name] += random.gauss(0.0, 1.0)
            at = START + number * 10**9 // per_second
            frame = b'{"s":"%s","t":%d,"v":%.4f}' % (name.encode(), at, level[name])
            file.write(received(frame, at))


@contextmanager
def venue(place, symbols, per_second=200, seconds=300, lease="1s"):
    """Play a made-up capture on a socket; give the path of a configuration for it."""
    capture(place / "made_up.gz", symbols, per_second, seconds)
    simulator = command(
        "simulate", place / "made_up.gz", "--venue", "plain", "--port", 0, "--loop",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        url = simulator.stdout.readline().strip()
        if not url.startswith("ws://127.0.0.1"):
            raise RuntimeError(f"expected a venue on this machine, was {url!r}")
        path = place / "live.toml"
        told = CONFIG.format(url=url, symbols=json.dumps(symbols), lease=lease)
        path.write_text(told)
        yield path
    finally:
        simulator.kill()
        simulator.wait()
        simulator.stdout.close()


class Daemon:
    """A daemon on a run, whose log can be read when it has ended."""

    def __init__(self, config, run, *more):
        self.run = run
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed in `end`
        self.process = command(
            "daemon", config, "--out", run, *more, stdout=self._log, stderr=self._log
        )

    @property
    def number(self):
        """The epoch of the process that has the run now, 0 before the first."""
        place = self.run / epoch.NAME
        names = [p.name for p in place.iterdir()] if place.is_dir() else []
        return max(map(int, names), default=0)

    def journalled(self):
        """Give the place and size of the active segment, which only grow."""
        logs = sorted((self.run / "journal").glob("*.log"))
        newest = logs[-1] if logs else None
        if newest is None:
            return f"{0:012d}.log", BEGINNING
        return newest.name, newest.stat().st_size

    def until(self, condition):
        """Wait for what the daemon will bring about; its end is an error."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"not in time, or ended: {self.end()}")
            time.sleep(0.02)

    def until_events(self):
        """Wait until something new is journalled."""
        before = self.journalled()
        self.until(lambda: self.journalled() > before)

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Wait until it has ended, or end it; give its log."""
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        self._log.seek(0)
        told = self._log.read()
        self._log.close()
        return told
