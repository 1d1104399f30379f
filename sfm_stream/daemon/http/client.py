"""An HTTP client that asks a daemon for its status."""

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
"""Most bytes of an answer; a thousand streams need a fraction of it."""
HINT = "start one, or name the address that its daemon.listen names"


class Answer(NamedTuple):
    """The answer of a live process.

    Attributes:
        vitals: its status.
        reasons: why it is not ready; empty if it is ready.
    """

    vitals: Vitals
    reasons: list[str]


class _Readiness(msgspec.Struct):
    """The answer of `/readyz`."""

    reasons: list[str]


def ask(url: str) -> Answer:
    """Ask a live process for its status, and whether it is ready.

    Args:
        url: address of the process; `http://` may be omitted.

    Raises:
        AddressError: if no process answers there.
    """
    place = address_of(url)
    vitals = _read(f"{place}/status", Vitals)
    return Answer(vitals, _read(f"{place}/readyz", _Readiness).reasons)


def address_of(url: str) -> str:
    """Complete an address with `http://`, and remove slashes from its end.

    Raises:
        AddressError: if it is no HTTP address.
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
        AddressError: if no process answers there, or it has no such page.
    """
    # a proxy from the environment could not reach addresses of this machine
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
