"""Imports Ray when it is needed, and joins a Ray cluster."""

from __future__ import annotations

import socket
from types import ModuleType

from sfm_stream.errors import ConfigError

PATIENCE_S = 10.0


def found() -> ModuleType:
    """Import Ray.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import ray
    except ImportError as e:
        hint = "install sfm-stream[cluster], or do without on this machine"
        raise ConfigError("cluster", "expected Ray, was not installed", hint) from e
    module: ModuleType = ray
    return module


def joined(address: str) -> ModuleType:
    """Join a cluster, unless this process is in one, and give the module `ray`.

    Args:
        address: address of the cluster; empty: start one on this machine.

    Raises:
        ConfigError: if Ray is not installed, or no cluster is at the address.
    """
    ray = found()
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(address=address or None, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as e:
            problem = f"expected a cluster of Ray, was {address!r}: {e}"
            raise ConfigError("--address", problem, "e.g. ray://host:10001") from e
    return ray


def _knock(address: str) -> None:
    """Connect to an address once: Ray would retry for minutes without a message.

    Raises:
        OSError: if nothing listens there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), PATIENCE_S).close()
