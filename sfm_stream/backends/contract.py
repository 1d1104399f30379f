"""The choice of who computes the numeric tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, TypeAlias

from sfm_stream.errors import ConfigError
from sfm_stream.jit import cache

# Called as `sfm_stream.kernels.tick.advance` is.
Advance: TypeAlias = Callable[..., int]

BACKENDS = ("numba", "torch")
ENTRY = "advance"
# What the compiled tick is made of.
SOURCES = cache.Sources(
    ("jit/*.py", "kernels/*.py", "state/*.py", "cell/parameters.py", "events.py"),
    ("__init__.py", "cache.py"),
)


def choose(backend: str, device: str) -> tuple[str, Advance]:
    """Resolve who computes: the name of the backend, and its `advance`.

    Args:
        backend: `auto`, `numba` or `torch`; `auto` is numba.
        device: of the torch backend, in torch's words; numba has the cpu alone.

    Raises:
        ConfigError: if the backend or the device is not there; no other is taken.
    """
    name = "numba" if backend == "auto" else backend
    if name not in BACKENDS:
        problem = f"expected one of auto, {', '.join(BACKENDS)}, was {backend!r}"
        raise ConfigError("run.backend", problem)
    for package in dict.fromkeys(("numba", name)):
        if find_spec(package) is None:
            problem = f"{name!r} needs the package {package}, which is absent"
            raise ConfigError("run.backend", problem, f"install {package}")
    if name == "numba" and device != "cpu":
        problem = f"the numba backend computes on cpu, was {device!r}"
        raise ConfigError("run.device", problem, 'set run.backend = "torch"')
    cache.discard(_cache(), SOURCES)
    return name, _advance(name, device)


def resolve(advance: Advance, arguments: Sequence[Any]) -> Advance:
    """Give the machine code that `advance` runs for arguments of these types.

    Finding it anew costs 11 us a call, more than the call of a live tick. The arguments
    must have been passed to `advance` once, and only such as have the same types may be
    passed to what is given.

    Args:
        advance: of a backend; one that is not compiled is given back.
        arguments: as passed to it.
    """
    overloads: Any = getattr(advance, "overloads", None)
    if overloads is None:
        return advance
    from numba import typeof

    entry: Advance = overloads[tuple(map(typeof, arguments))].entry_point
    return entry


def is_compiled() -> bool:
    """Say whether a compiled tick of these sources lies on disk."""
    return cache.holds(_cache(), f"tick.{ENTRY}", SOURCES)


def _advance(name: str, device: str) -> Advance:
    if name == "torch":
        from sfm_stream.backends import torch

        return torch.backend(device)
    from sfm_stream.kernels import tick

    entry: Advance = tick.advance
    return entry


# Beside the sources, or in the user's own folder where these cannot be written.
def _cache() -> str:
    from sfm_stream.kernels import tick

    dispatcher: Any = tick.advance
    path: str = dispatcher.stats.cache_path
    return path
