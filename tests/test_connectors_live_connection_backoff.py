from __future__ import annotations

import ssl
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import Close
from websockets.http11 import Response

from connectors.live.connection.backoff import CEILING, FLOOR, Backoff, judge

NOW = 1_700_000_000.0


def status(code, **headers):
    fields = Headers({k.replace("_", "-"): v for k, v in headers.items()})
    return InvalidStatus(Response(code, "", fields))


@given(seed=st.integers(0, 10**6), failures=st.integers(0, 2000))
@settings(max_examples=50)
def test_no_delay_is_below_the_floor_or_above_the_ceiling(seed, failures):
    backoff = Backoff(Random(seed))
    delays = [backoff.delay() for _ in range(failures + 1)]
    assert min(delays) >= FLOOR
    assert max(delays) <= CEILING


def test_delays_grow_and_stay_spread_out_at_the_ceiling():
    backoff = Backoff(Random(0))
    first = [backoff.delay() for _ in range(3)]
    late = [backoff.delay() for _ in range(500)][10:]
    assert max(first) < 8
    assert min(late) < 5
    assert max(late) > 55
    assert len(set(late)) == len(late)


def test_data_starts_the_delays_anew():
    backoff = Backoff(Random(0))
    for _ in range(50):
        backoff.delay()
    backoff.reset()
    assert backoff.delay() <= 2


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        (ConnectionRefusedError(111, "refused"), "retry", 0),
        (OSError("name not known"), "retry", 0),
        (TimeoutError("handshake"), "retry", 0),
        (ssl.SSLEOFError("eof"), "retry", 0),
        (InvalidMessage("no HTTP"), "retry", 0),
        (EOFError("end"), "retry", 0),
        (ConnectionClosedError(None, None), "retry", 0),
        (ConnectionClosedOK(Close(1000, ""), None, None), "retry", 0),
        (status(500), "retry", 0), (status(502), "retry", 0), (status(520), "retry", 0),
        (status(522), "retry", 0), (status(530), "retry", 0), (status(400), "retry", 0),
        (status(503), "retry", 0),
        (status(503, Retry_After="7"), "slow", 7),
        (status(429), "slow", 60), (status(418), "slow", 120), (status(403), "slow", 60),
        (status(429, Retry_After="300"), "slow", 300),
        (status(429, Retry_After="5"), "slow", 60),
        (status(429, Retry_After="Tue, 14 Nov 2023 22:15:00 GMT"), "slow", 100),
        (status(429, Retry_After="Tue, 14 Nov 2023 22:15:00 -0000"), "slow", 100),
        (status(429, Retry_After="Tue, 14 Nov 2023 22:15:00"), "slow", 100),
        (status(429, Retry_After="Tue, 14 Nov 2023 22:15:00 +9999"), "slow", 60),
        (status(429, Retry_After="Tue, 41 Nov 2023 22:15:00 GMT"), "slow", 60),
        (status(429, Retry_After="soon"), "slow", 60),
        (status(429, Retry_After="99999999"), "slow", 3600),
        (status(401), "fatal", 0), (status(404), "fatal", 0),
        (InvalidURI("wss:/x", "bad"), "fatal", 0),
        (ssl.SSLCertVerificationError("self-signed"), "fatal", 0),
    ],
)  # fmt: skip
def test_errors_are_sorted_by_whether_another_try_can_help(error, kind, wait):
    end = judge(error, NOW)
    assert (end.kind, end.wait) == (kind, wait)
    assert end.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ConnectionClosedOK(Close(1001, "bye"), Close(1001, ""), True),
            "closed by the venue: 1001 going away, bye",
        ),
        (
            ConnectionClosedError(None, Close(1011, "ping timeout"), None),
            "closed: 1011 internal error, ping timeout",
        ),
        (
            ConnectionClosedError(Close(4000, "slow"), None, None),
            "closed by the venue: 4000 slow",
        ),
        (ConnectionClosedError(None, None), "broken off"),
        (status(503), "answered HTTP 503"),
    ],
)
def test_reasons_say_who_ended_it_and_why(error, reason):
    assert judge(error, NOW).reason == reason
