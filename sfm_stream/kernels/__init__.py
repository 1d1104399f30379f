"""The numeric tick, and the choice of who computes it.

Importing this package loads neither numba nor torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from sfm_stream.errors import ConfigError

# Called as `sfm_stream.kernels.tick.advance` is.
Advance: TypeAlias = Callable[..., int]

BACKENDS = ("numba", "torch")
ENTRY = "advance"
# What the compiled tick is made of, from the root of the package.
SOURCES = (
    "kernels/*.py",
    "cell/birth.py",
    "arena.py",
    "layout.py",
    "experts.py",
    "events.py",
    "features.py",
    "targets.py",
)
NOT_COMPILED = ("__init__.py", "torch.py")
STAMP = "sfm-stream.sources"


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
    _discard_stale()
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
    """Say whether a compiled tick of these sources lies on disk.

    An approximation: one made for another processor is found too.
    """
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    made = any(_cache().glob(f"tick.{ENTRY}-*.{python}.nbi"))
    return made and _stamped() == _sources()


def _advance(name: str, device: str) -> Advance:
    if name == "torch":
        from sfm_stream.kernels import torch

        return torch.backend(device)
    from sfm_stream.kernels import tick

    entry: Advance = tick.advance
    return entry


# numba renews a cached function when the file that holds it changes, and does not look
# at the files whose functions were compiled into it.
def _discard_stale() -> None:
    now, cache = _sources(), _cache()
    if _stamped() == now:
        return
    for index in cache.glob("*.nbi"):
        index.unlink(missing_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    (cache / STAMP).write_text(now, encoding="utf-8")


def _stamped() -> str:
    stamp = _cache() / STAMP
    return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


# Where numba keeps what it compiled: beside the sources, or in the user's own folder
# where these cannot be written.
def _cache() -> Path:
    from sfm_stream.kernels import tick

    dispatcher: Any = tick.advance
    return Path(dispatcher.stats.cache_path)


# Times and sizes rather than "newer than": an older version put back is a change too.
def _sources() -> str:
    root = Path(__file__).parents[1]
    files = sorted(path for pattern in SOURCES for path in root.glob(pattern))
    stats = [(p.name, p.stat()) for p in files if p.name not in NOT_COMPILED]
    return "\n".join(f"{name} {s.st_mtime_ns} {s.st_size}" for name, s in stats)
