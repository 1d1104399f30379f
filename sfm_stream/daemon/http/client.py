"""Ask a daemon for its status, from another process."""

from __future__ import annotations

from http.client import HTTPException
from typing import NamedTuple, TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import msgspec

from sfm_stream.daemon.status.model import Vitals
from sfm_stream.errors import AddressError

T = TypeVar("T")
PATIENCE_S = 5.0
SCHEMES = ("http://", "https://")
UNREADY = 503
LONGEST = 2**26
"""Bytes of an answer; a thousand streams need a fraction."""
HINT = "start one, or name the address that its daemon.listen names"


class Answer(NamedTuple):
    """What a live process answered.

    Attributes:
        vitals: how it is.
        reasons: why it is not ready; empty if it is.
    """

    vitals: Vitals
    reasons: list[str]


class _Readiness(msgspec.Struct):
    """What `/readyz` answers."""

    reasons: list[str]


def ask(url: str) -> Answer:
    """Ask a live process how it is, and whether it is ready.

    Args:
        url: its address, `http://` may be left out.

    Raises:
        AddressError: if none answers there.
    """
    place = address_of(url)
    vitals = _read(f"{place}/status", Vitals)
    return Answer(vitals, _read(f"{place}/readyz", _Readiness).reasons)


def address_of(url: str) -> str:
    """Give the address of a live process as its pages' begin.

    Raises:
        AddressError: if it is none of http.
    """
    whole = url if "://" in url else f"http://{url}"
    if not whole.startswith(SCHEMES):
        raise AddressError(url, "expected an http address", HINT)
    return whole.rstrip("/")


def _read(url: str, kind: type[T]) -> T:
    content = fetch(url)
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as e:
        problem = f"expected an sfm-stream daemon of this version, was another: {e}"
        raise AddressError(url, problem, HINT) from e


def fetch(url: str) -> bytes:
    """Read a page of a live process.

    Raises:
        AddressError: if none answers there, or it has no such page.
    """
    # a proxy of the environment could not reach this machine's own addresses
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE_S) as answer:
            return bytes(answer.read(LONGEST))
    except HTTPError as e:
        with e:
            if e.code == UNREADY:
                return bytes(e.read(LONGEST))
            problem = f"expected an sfm-stream daemon, answered {e.code} {e.reason}"
            raise AddressError(url, problem, HINT) from e
    except (OSError, HTTPException, ValueError) as e:
        reason = getattr(e, "reason", e)
        told = getattr(reason, "strerror", None) or str(reason) or type(e).__name__
        raise AddressError(url, f"no daemon answers: {told}", HINT) from e
