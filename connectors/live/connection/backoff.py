"""Decide whether to connect again after an error, and how long to wait before that.

The delay is drawn uniformly between a floor and a ceiling that doubles with each
failure (full jitter), so that many clients do not come back at the same time. The range
stays wide when the ceiling no longer grows.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Literal

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.http11 import Response

FLOOR, FIRST, CEILING = 0.5, 2.0, 60.0
DOUBLINGS = 5
SLOW = {403: 60.0, 418: 120.0, 429: 60.0}
LONGEST = 3600.0
FATAL = {401, 404}


class Backoff:
    """Delays between attempts to connect, s.

    Args:
        random: the generator that draws the delays.
    """

    def __init__(self, random: Random) -> None:
        self._random, self._failures = random, 0

    def delay(self) -> float:
        """Draw the next delay."""
        ceiling = min(CEILING, FIRST * 2.0 ** min(self._failures, DOUBLINGS))
        self._failures += 1
        return self._random.uniform(FLOOR, ceiling)

    def reset(self) -> None:
        """Reset the ceiling, as data came."""
        self._failures = 0


class End(msgspec.Struct, frozen=True):
    """Why a connection ended, and whether to connect again.

    Attributes:
        reason: the cause, in a few words.
        kind: `retry`; `slow`, with a wait of its own; `fatal`, if no further attempt
            can succeed.
        wait: least seconds before the next attempt.
    """

    reason: str
    kind: Literal["retry", "slow", "fatal"] = "retry"
    wait: float = 0.0


def judge(error: BaseException, now: float) -> End:
    """Decide what follows from an error of the network.

    Args:
        error: the error that connecting, sending or receiving raised.
        now: seconds since the epoch, for a `Retry-After` that names a date.
    """
    if isinstance(error, InvalidStatus):
        return _of_status(error.response, now)
    if isinstance(error, ConnectionClosed):
        return End(_closing(error))
    hopeless = isinstance(error, InvalidURI | ssl.SSLCertVerificationError)
    reason = f"{type(error).__name__}: {error}"
    return End(reason, "fatal" if hopeless else "retry")


def _of_status(response: Response, now: float) -> End:
    status = response.status_code
    reason = f"answered HTTP {status} {response.reason_phrase}".rstrip()
    if status in FATAL:
        return End(reason, "fatal")
    wait = _retry_after(response.headers.get("Retry-After", ""), now)
    if status in SLOW or wait:
        return End(reason, "slow", max(wait, SLOW.get(status, 0.0)))
    return End(reason)


def _retry_after(text: str, now: float) -> float:
    """Read seconds or a date as seconds from now; 0 if it cannot be read."""
    if text.isdecimal():
        return min(float(text), LONGEST)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if date.tzinfo is None:  # HTTP's dates are in UTC
        date = date.replace(tzinfo=UTC)
    seconds = (date - datetime.fromtimestamp(now, UTC)).total_seconds()
    return min(max(0.0, seconds), LONGEST)


def _closing(error: ConnectionClosed) -> str:
    """Describe who closed a connection, with code and reason."""
    if error.rcvd is None and error.sent is None:
        return "broken off"
    by_them = error.rcvd if error.rcvd_then_sent or error.sent is None else None
    frame = by_them or error.sent or error.rcvd
    if frame is None:
        return "broken off"
    who = "closed by the venue" if by_them else "closed"
    code = frame.code
    name = CloseCode(code).name.lower().replace("_", " ") if code in CODES else ""
    words = ", ".join(word for word in (name, frame.reason) if word)
    return f"{who}: {code} {words}".rstrip()


CODES = {code.value for code in CloseCode}
