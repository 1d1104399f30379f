"""The tick with the cell's stages computed by torch: the reference, on any device.

The orchestration is the source of `kernels.tick` itself, interpreted instead of compiled,
over other functions for the cell's step, the backward sweep and the optimiser; every
other stage is the compiled one. The arenas stay in numpy: what a stage needs goes to the
device and back. Where a bank's first arena is float64, these stages compute in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sfm_stream import bank
from sfm_stream.bank import Arena
from sfm_stream.cell import sfm
from sfm_stream.cell.birth import FORGET_CAP, Sizes, Weights, columns
from sfm_stream.errors import ConfigError
from sfm_stream.kernels import adam, backprop, cell, mature, rows, scale, tick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from sfm_stream.kernels import Advance

Floats: TypeAlias = "NDArray[np.floating[Any]]"
# Takes an array to the device; on the cpu the tensor shares its memory.
Send: TypeAlias = Callable[[Floats], Tensor]
# Functions of `tick` that call the cell's stages. What else is compiled there stays so.
INTERPRETED = ("advance", "update")
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def backend(device: str) -> Advance:
    """Make an `advance` whose cell is computed on a device.

    Args:
        device: in torch's words, e.g. `cpu` or `cuda:0`.

    Returns:
        A function that is called as `kernels.tick.advance` is and does the same, but
        for rounding.

    Raises:
        ConfigError: if torch has no such device here.
    """
    send = partial(_send, _present(device))
    entry = _interpret(
        cell=_opened(cell, step=partial(step, send)),
        backprop=_opened(backprop, sweep=partial(sweep, send)),
        adam=_opened(adam, norm=partial(norm, send), step=partial(descend, send)),
        mature=_opened(mature),
        scale=_opened(scale),
    )

    def advance(settings: NDArray[np.void], *others: Any) -> int:
        # Compiled code overflows and divides by zero in silence.
        with np.errstate(all="ignore"), torch.no_grad():
            taken: int = entry(settings.view(np.recarray), *others)
            return taken

    return advance


def _present(device: str) -> torch.device:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as e:
        problem = f"torch cannot use {device!r}: {str(e).partition(chr(10))[0]}"
        raise ConfigError("run.device", problem, "use cpu") from e
    return torch.device(device)


def _send(device: torch.device, array: Floats) -> Tensor:
    return torch.from_numpy(array).to(device)


def _interpret(**stages: SimpleNamespace) -> Advance:
    """Rebuild the tick from its source over other stages."""
    space = vars(_opened(tick)) | stages
    for name, value in vars(tick).items():
        mine = getattr(value, "__module__", "") == tick.__name__
        if mine and (name in INTERPRETED or _is_inlined(value)):
            space[name] = FunctionType(value.py_func.__code__, space)
    entry: Advance = space["advance"]
    return entry


def _opened(module: ModuleType, **instead: Callable[..., Any]) -> SimpleNamespace:
    """Give the names of a module, what is inlined as its source, some replaced."""
    names = {
        name: value.py_func if _is_inlined(value) else value
        for name, value in vars(module).items()
    }
    return SimpleNamespace(**(names | instead))


# Called from Python, compiled code can give back numbers, not views.
def _is_inlined(value: Any) -> bool:
    return getattr(value, "targetoptions", {}).get("inline") == "always"


class Tape(NamedTuple):
    """The stored activations of a row, sharing its memory; see `bank.places`."""

    u: Floats
    gates: Floats
    turned: Floats
    read: Floats
    out: Floats
    turn: Floats
    tau: Floats
    z: Floats

    @classmethod
    def of(cls, s: Any, row: Arena) -> Tape:
        """Find the tape in a row's arena."""
        shapes = {p.name: p.shape for p in bank.places(_sizes(s))}
        return cls(*(
            _named(s, row.f32, f"tape_{name}", shapes[f"tape_{name}"])
            for name in cls._fields
        ))  # fmt: skip
