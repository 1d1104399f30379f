"""Decides which requests a live process serves, by their host and origin.

A site can let its name point to this machine, so that a reader's browser sends requests
here (DNS rebinding). The browser then names that site as the host. So only this
machine's names, the host of `daemon.listen`, the names of `daemon.hosts` and numeric
addresses are served.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from websockets.datastructures import Headers

    from sfm_stream.settings import Daemon

HERE = ("localhost", "127.0.0.1", "::1")
LISTEN = "daemon.listen"


def address(listen: str) -> tuple[str, int]:
    """Read `host:port`.

    Raises:
        ConfigError: if it is invalid.
    """
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.netloc != listen or parts.username:
        problem = f"expected host:port, was {listen!r}"
        raise ConfigError(LISTEN, problem, "e.g. 127.0.0.1:8765")
    return host, port


def names(settings: Daemon) -> frozenset[str]:
    """Give the host names that requests may use."""
    hosts = (name.lower() for name in settings.hosts)
    return frozenset((*HERE, address(settings.listen)[0], *hosts))


def expect_one(headers: Headers, name: str) -> str:
    """Give the value of a header that must occur once (RFC 9112, section 3.2).

    Raises:
        ValueError: if it is absent or occurs more than once.
    """
    values = headers.get_all(name)
    if len(values) != 1:
        raise ValueError(f"expected one {name} header, was {len(values)}")
    return values[0]


def host_of(text: str) -> str:
    """Give the host that a Host header names, without its port.

    Raises:
        ValueError: if it names no host.
    """
    parts = urlsplit(f"//{text}")
    _ = parts.port  # raises for a port that is no number
    if not parts.hostname or parts.netloc != text or "@" in text:
        raise ValueError(f"expected a host, was {text!r}")
    return parts.hostname


def is_ours(host: str, known: Collection[str]) -> bool:
    """Say whether a host is served: a known name, or a numeric address.

    A numeric address cannot be the name of another site.
    """
    return host in known or _is_number(host)


def is_friend(origin: str, host: str, known: Collection[str]) -> bool:
    """Say whether a page of this origin may use the websocket.

    Pages of known names may, and pages from the requested address itself, if it is
    numeric.

    Args:
        origin: the Origin header.
        host: the Host header.
        known: host names that requests may use.
    """
    try:
        asking = urlsplit(origin)
        name = asking.hostname or ""
    except ValueError:
        return False
    return name in known or (_is_number(name) and asking.netloc == host)


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
