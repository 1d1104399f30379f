"""Faults of a venue, simulated on demand.

A fault is written `name[:argument][@number | %chance]`. It strikes at the message or
connection with that number, or at each with that chance (seeded), or else always.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import msgspec

from sfm_stream.errors import ConfigError, did_you_mean

MIB = 2**20
LATEST = 1000


class Sort(NamedTuple):
    """A sort of fault: the default of its argument, and its meaning."""

    argument: float
    meaning: str


MESSAGES = {
    "drop": Sort(0, "abort all connections"),
    "close": Sort(1001, "close all connections with the code"),
    "mute": Sort(0, "send nothing more on the open connections"),
    "missing": Sort(1, "leave out this number of messages"),
    "duplicate": Sort(1, "send the message this number of times more"),
    "reorder": Sort(1, "send the message after this number of later ones"),
    "snapshot": Sort(20, "send this number of the latest messages again"),
    "oversize": Sort(5, "send this number of MiB of blanks before the message"),
    "garbage": Sort(64, "send this number of random bytes before the message"),
    "slow": Sort(0.05, "wait this number of seconds before the message"),
}
CONNECTIONS = {
    "http": Sort(429, "answer the handshake with the status"),
    "accept-close": Sort(1008, "close right after the handshake with the code"),
    "mute-after-ack": Sort(0, "confirm subscriptions and send nothing more"),
}
SORTS = MESSAGES | CONNECTIONS


class Fault(msgspec.Struct, frozen=True):
    """A fault, and when it strikes.

    Attributes:
        name: one of `SORTS`.
        argument: its argument, as in `SORTS`.
        number: the message or connection at which it strikes, from 1; or None.
        chance: probability to strike at each message or connection; or None.
    """

    name: str
    argument: float
    number: int | None = None
    chance: float | None = None

    def strikes(self, number: int, random: Random) -> bool:
        """Say whether the fault strikes at the message or connection of a number."""
        if self.chance is not None:
            return random.random() < self.chance
        return self.number is None or self.number == number


def parse(text: str) -> Fault:
    """Parse a fault.

    Raises:
        ConfigError: if there is no such fault, or a number is invalid.
    """
    body, at, number = text.partition("@")
    body, percent, chance = body.partition("%")
    name, colon, argument = body.partition(":")
    if name not in SORTS:
        problem = f"expected a fault, was {name!r}"
        raise ConfigError("--fault", problem, did_you_mean(name, SORTS))
    try:
        return Fault(
            name,
            float(argument) if colon else SORTS[name].argument,
            int(number) if at else None,
            float(chance) if percent else None,
        )
    except ValueError as e:
        problem = f"expected name[:number][@number | %chance], was {text!r}"
        raise ConfigError("--fault", problem, "e.g. drop@100 or garbage%0.01") from e


class Faults:
    """Applies the faults of a venue.

    Args:
        faults: the faults that may strike.
        seed: seed for faults that strike by chance.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = faults
        self._random = Random(seed)  # noqa: S311 repeatable on purpose
        self._skip = 0
        self._later: list[tuple[int, bytes]] = []
        self._latest: deque[bytes] = deque(maxlen=LATEST)

    def struck(self, number: int, sorts: dict[str, Sort]) -> dict[str, float]:
        """Give the names and arguments of the faults that strike at a number."""
        return {
            fault.name: fault.argument
            for fault in self._faults
            if fault.name in sorts and fault.strikes(number, self._random)
        }

    def frames(self, frame: bytes, struck: dict[str, float]) -> list[bytes]:
        """Give the frames to send in place of a message.

        Args:
            frame: the message.
            struck: names and arguments of the faults that strike at it.
        """
        if "missing" in struck:
            self._skip = int(struck["missing"])
        if self._skip:
            self._skip -= 1
            return []
        sent: list[bytes] = []
        if "oversize" in struck:
            sent.append(b" " * int(struck["oversize"] * MIB))
        if "garbage" in struck:
            sent.append(self._random.randbytes(int(struck["garbage"])))
        if "snapshot" in struck:
            sent += list(self._latest)[-int(struck["snapshot"]) :]
        if "reorder" in struck:
            self._later.append((int(struck["reorder"]), frame))
        else:
            sent += [frame] * (1 + int(struck.get("duplicate", 0)))
            sent += self._due()
        self._latest.append(frame)
        return sent

    def _due(self) -> list[bytes]:
        """Give the delayed messages that are due now."""
        self._later = [(left - 1, frame) for left, frame in self._later]
        due = [frame for left, frame in self._later if left <= 0]
        self._later = [(left, frame) for left, frame in self._later if left > 0]
        return due
