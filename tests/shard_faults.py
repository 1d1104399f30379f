"""Kill, stop and wake shards at random, and see whether anything was lost or doubled.

    python -m tests.shard_faults [--times 100] [--shards 2] [--seed 0]

A made-up venue is played on a socket, and each shard lives on it in a process of its
own. A blow is one of four: the process is killed and another started in its place; it
is stopped until another one has taken its run, and then woken; it naps for less than
its lease; or all stop, a stream moves to another shard's run, by a command that is
killed half of the times and then given again, and all go on. Two processes for one run stand for two machines that share its folder. After
each round of blows all are told to stop, and the records of each run must be those of a
replay of its journal. A woken process must have ended by itself, fenced. One line per
blow, and an error where something is wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from subprocess import DEVNULL

from sfm_stream import sinks
from sfm_stream.cluster.shards import Shard, mine
from tests.shard_rig import Daemon, command, said, venue

SYMBOLS = [f"s{i}" for i in range(8)]
ROUND = 10
NAP = 0.4
HALF, MANY = 0.5, 2
FENCED = "is over: another process took the run"


class Place:
    """A shard's run, the process that has it, and those that sleep."""

    def __init__(self, config, runs, number, total):
        self.number, self._config = number, config
        self.streams = mine(SYMBOLS, Shard(number, total), "")
        self.run = runs / f"shard-{number}"
        self.sleepers, self.fenced, self.living = [], 0, None

    def start(self):
        names = f"stream.symbols={json.dumps(self.streams)}"
        self.living = Daemon(self._config, self.run, "--set", names)
        before = self.living.number
        self.living.until(lambda: self.living.number > before)
        self.living.until_events()

    def kill(self, *_):
        self.living.signal(signal.SIGKILL)
        self.living.end()
        self.start()

    def sleep(self, random, _):
        self.living.signal(signal.SIGSTOP)
        self.sleepers.append(self.living)
        self.start()
        time.sleep(random.uniform(0.0, 1.0))
        self.wake()

    def nap(self, *_):
        self.living.signal(signal.SIGSTOP)
        time.sleep(NAP)
        self.living.signal(signal.SIGCONT)
        self.living.until_events()

    def wake(self):
        """Wake who sleeps; each of them must end without another word."""
        while self.sleepers:
            sleeper = self.sleepers.pop()
            sleeper.signal(signal.SIGCONT)
            told = sleeper.end()
            if sleeper.process.returncode != 1 or FENCED not in told:
                raise RuntimeError(f"shard {self.number} woke and went on: {told}")
            self.fenced += 1

    def rest(self):
        """Stop in order."""
        self.living.signal(signal.SIGTERM)
        told = self.living.end()
        if self.living.process.returncode != 0:
            raise RuntimeError(f"shard {self.number} did not stop in order: {told}")

    def move(self, random, places):
        """Let a stream go on in another run, while all rest."""
        others = [one for one in places if one is not self]
        if not others or len(self.streams) < MANY:
            return
        home, name = random.choice(others), random.choice(self.streams)
        for one in places:
            one.rest()
        words = "move", name, "--from", self.run, "--to", home.run
        if random.random() < HALF:
            killed = command(*words, stdout=DEVNULL, stderr=DEVNULL)
            time.sleep(random.uniform(0.5, 4.0))
            killed.kill()
            killed.wait()
        told, code = said(*words)
        if code and "expected a stream of" not in told:  # it has moved before
            raise RuntimeError(f"{name} did not move: {told}")
        self.streams.remove(name)
        home.streams.append(name)
        for one in places:
            one.start()

    def judged(self):
        """Give what `verify` says of the run and those that its streams came from."""
        told, code = said("verify", self.run)
        if code or "are identical" not in told:
            raise RuntimeError(f"shard {self.number}: {told}")
        return told.strip().splitlines()[-1]

    def rows(self):
        """Count forecasts; one that is there twice is an error."""
        seen = Counter()
        for frame in sinks.read(self.run / "records", "forecasts"):
            seen.update(frame.select("seq", "horizon").rows())
        if seen and max(seen.values()) > 1:
            raise RuntimeError(f"shard {self.number}: doubled {seen.most_common(3)}")
        return len(seen)

    def end(self):
        for one in [*self.sleepers, self.living]:
            if one is not None:
                one.process.kill()
                one.process.wait()


BLOWS = {"kill": Place.kill, "stop": Place.sleep, "nap": Place.nap,
         "move": Place.move}  # fmt: skip


def tell(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def carry_out(places, random, times):
    done, begun = Counter(), time.monotonic()
    for place in places:
        place.start()
    for number in range(1, times + 1):
        place, name = random.choice(places), random.choice(list(BLOWS))
        time.sleep(random.uniform(0.1, 1.5))
        BLOWS[name](place, random, places)
        done[name] += 1
        tell(f"{number:3} {name} shard {place.number}, epoch {place.living.number}")
        if number % ROUND == 0 or number == times:
            for one in places:
                one.rest()
            for one in places:
                tell(f"    shard {one.number}: {one.judged()}, {one.rows()} forecasts")
            for one in places if number < times else ():
                one.start()
    fenced, took = sum(one.fenced for one in places), time.monotonic() - begun
    tell(f"{times} blows in {took:.0f} s: {dict(done)}, {fenced} woke fenced")


def main(arguments):
    random, total = Random(arguments.seed), arguments.shards
    with tempfile.TemporaryDirectory() as name:
        runs = Path(name) / "runs"
        with venue(Path(name), SYMBOLS, seconds=600) as config:
            places = [Place(config, runs, i, total) for i in range(1, total + 1)]
            try:
                carry_out(places, random, arguments.times)
            finally:
                for place in places:
                    place.end()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
