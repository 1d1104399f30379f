"""Do to a live process what operators and machines do, and see that nothing is wrong.

    python -m tests.daemon_faults power-cut [--times 20] [--seed 0]

`kills` kills it at random moments; `power-cut` also cuts the journal back by a random
number of bytes each time, `lost-page` loses a part of what no sync had reached yet, and
`bit-flip` flips a random bit of it. A made-up capture is played back on a socket
meanwhile. After each blow the process is started again: its
records must be those of a replay of the journal that survived, or it must refuse to
start and name the way out; a lost page is no reason to refuse. One line per blow, and an error where one of them is wrong.

`connections` opens more idle connections than the process may open files, `flood` sends
more frames than it can take, `soak` lets it live for half an hour, and `writes` counts
what it writes in a day that passes at once; see `tests/fault_connections.py`,
`tests/fault_flood.py`, `tests/fault_soak.py` and `tests/fault_writes.py`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from random import Random

from connectors.capture.format import received
from sfm_stream.storage.segment import BEGINNING, parse
from tests.feed_tables import NUMBERS

PATIENCE = 300.0
PAGE = 4_096
START = 1_700_000_000 * 10**9
TICKS, PER_SECOND = 200_000, 200
CONFIG = (
    NUMBERS
    + """
[stream]
symbols = ["a"]
[target]
horizons = [1, 10]
[daemon]
listen = ""
checkpoint_every = "20ms"
[[sink]]
kind = "jsonl"
"""
)
SIEGES = ("connections", "flood", "soak", "writes")
WAY_OUT = ("restore", "start a new run", "repair")


def capture(path):
    """Make up ticks of one stream, in turn."""
    random, level = Random(0), 0.0
    with gzip.open(path, "wb", 1) as file:
        for number in range(TICKS):
            level += random.gauss(0.0, 1.0)
            at = START + number * 10**9 // PER_SECOND
            frame = b'{"s":"a","t":%d,"v":%.4f}' % (at, level)
            file.write(received(frame, at))


def command(*arguments, **given):
    line = [sys.executable, "-m", "sfm_stream", *map(str, arguments)]
    return subprocess.Popen(line, text=True, **given)  # noqa: S603 our own program


def newest(run):
    """Give the active segment of the journal."""
    return max((run / "journal").glob("*.log"))


def cut_back(run, random):
    path = newest(run)
    data = path.read_bytes()
    count = random.randint(1, min(len(data), random.choice((9, 900, 90_000))))
    path.write_bytes(data[:-count])
    return f"{count} of {len(data)} bytes cut"


def flip(run, random):
    path = newest(run)
    data = bytearray(path.read_bytes())
    # the end is where a flip looks like a torn tail
    back = random.choice((1, 60, 600, len(data)))
    at = len(data) - random.randint(1, min(back, len(data)))
    data[at] ^= 1 << random.randrange(8)
    path.write_bytes(bytes(data))
    return f"bit of byte {at} of {len(data)} flipped"


def lose_page(run, random):
    path = newest(run)
    data = bytearray(path.read_bytes())
    synced = BEGINNING + parse(path, bytes(data)).synced
    at = random.randint(synced, len(data))
    lost = data[at : at + random.choice((9, 90, PAGE))]
    data[at : at + len(lost)] = bytes(len(lost))
    path.write_bytes(data)
    return f"{len(lost)} bytes lost from {at} of {len(data)} on, {synced} were on disk"


def nothing(*_):
    return "nothing besides"


BLOWS = {
    "kills": nothing, "power-cut": cut_back, "lost-page": lose_page, "bit-flip": flip,
}  # fmt: skip


def live(config, run, seconds, end=signal.SIGKILL):
    """Live for some seconds after the first new event, then end; or be refused."""
    with tempfile.TemporaryFile("w+") as log:
        process = command("daemon", config, "--out", run, stderr=log, stdout=log)
        before, begun = max(size(run), BEGINNING), time.monotonic()
        while size(run) <= before and process.poll() is None:
            if time.monotonic() - begun > PATIENCE:
                process.kill()
                raise RuntimeError(f"no event within {PATIENCE} s")
            time.sleep(0.02)
        if process.poll() is None:
            time.sleep(seconds)
            process.send_signal(end)
            process.wait(PATIENCE)
            return ""
        log.seek(0)
        return log.read()


def size(run):
    return sum(p.stat().st_size for p in (run / "journal").glob("*.log"))


def verified(run):
    """Give what is wrong with the records of a run, or nothing."""
    line = [sys.executable, "-m", "sfm_stream", "verify", str(run)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603
    return "" if done.returncode == 0 else done.stdout + done.stderr


def blow(config, run, name, random, number):
    """Give the process a blow and start it again; give whether it went on."""
    if said := live(config, run, random.uniform(0.1, 3.0)):
        raise RuntimeError(f"it does not start: {said}")
    told = BLOWS[name](run, random)
    said = live(config, run, random.uniform(0.1, 2.0), signal.SIGTERM)
    if said:
        if name == "lost-page" or not any(way in said for way in WAY_OUT):
            raise RuntimeError(
                f"{told}: a refusal for nothing, or with no way out: {said}"
            )
        outcome = "refused, with the way out"
        shutil.rmtree(run)
    elif wrong := verified(run):
        raise RuntimeError(f"{told}: a wrong start: {wrong}")
    else:
        aside = len(list((run / "checkpoints").glob("*.aside*")))
        outcome = f"records identical, {aside} checkpoints aside"
    sys.stdout.write(f"{number:3} {name}: {told}: {outcome}\n")
    sys.stdout.flush()


def main(arguments):
    random = Random(f"{arguments.name} {arguments.seed}")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        capture(place / "made_up.gz")
        simulator = command(
            "simulate", place / "made_up.gz", "--venue", "plain", "--port", 0,
            "--loop", stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            config, run = place / "live.toml", place / "run"
            url = simulator.stdout.readline().strip()
            if not url.startswith("ws://127.0.0.1"):
                raise RuntimeError(f"expected a simulator on this machine, was {url!r}")
            config.write_text(CONFIG.format(url=url))
            for number in range(1, arguments.times + 1):
                blow(config, run, arguments.name, random, number)
        finally:
            simulator.kill()
            simulator.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[*BLOWS, *SIEGES])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given, others = parser.parse_known_args()
    if given.name in SIEGES:
        siege = import_module(f"tests.fault_{given.name}")
        sys.stdout.write(json.dumps(siege.carry_out(others)) + "\n")
    else:
        main(given)
