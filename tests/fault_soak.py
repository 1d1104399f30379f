"""Let a process live for long, and see that its memory does not grow.

    python -m tests.daemon_faults soak [--minutes 30] [--streams 50] [--rate 20]

Prints the mean resident memory of each minute. It is an error if the last one is more
than `MOST_MIB` above the one after the first `SETTLING` minutes.
"""

from __future__ import annotations

import argparse

from tests import daemon_load

SETTLING, MOST_MIB = 5, 5.0


def growth(minutes):
    """Give by how much the memory grew after it had settled."""
    return minutes[-1] - minutes[SETTLING]


def carry_out(arguments):
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20.0)
    given = parser.parse_args(arguments)
    if given.minutes <= SETTLING + 1:
        parser.error(f"expected more than {SETTLING + 1} minutes, was {given.minutes}")
    found = daemon_load.load(given.streams, given.rate, given.minutes * 60 + 5)
    found["growth_mib"] = growth(found["minutes_mib"])
    if found["growth_mib"] > MOST_MIB:
        raise RuntimeError(f"its memory grows: {found}")
    return found
