"""The reference backend: torch computes the cell's stages of a tick, on any device.

The order of the stages comes from the source of `kernels.tick`, interpreted instead of
compiled, with other functions for the cell's step, the backward sweep and the
optimiser; every other stage is the compiled one. The arenas stay in numpy: the arrays
of a stage are copied to the device and back. If a bank's first arena is float64, these
stages compute in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sfm_stream.backends.contract import Calls
from sfm_stream.backends.interpreted import interpret, opened
from sfm_stream.backends.torch_stages import Floats, descend, norm, step, sweep
from sfm_stream.errors import ConfigError
from sfm_stream.kernels import tick
from sfm_stream.kernels.experts import mature
from sfm_stream.kernels.inputs import scale
from sfm_stream.kernels.learning import adam, learn, shared
from sfm_stream.kernels.memory import backprop, cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm_stream.backends.contract import Advance
    from sfm_stream.state.bank import Bank


class Torch:
    """Computes the cell's stages with torch on a device, the others with numba.

    Args:
        device: name of the device in torch, e.g. `cpu` or `cuda:0`.
        cores: not used: a reference may be slow.

    Raises:
        ConfigError: if torch cannot use the device.
    """

    name = "torch"
    packages = ("numba", "torch")

    def __init__(self, device: str, cores: int | None = None) -> None:
        del cores
        self.device = device
        send = partial(_send, _present(device))
        stages = {
            "cell": opened(cell, step=partial(step, send)),
            "backprop": opened(backprop, sweep=partial(sweep, send)),
            "adam": opened(adam, norm=partial(norm, send), step=partial(descend, send)),
            "mature": opened(mature),
            "scale": opened(scale),
        }
        stages["shared"] = interpret(shared, stages)
        stages["learn"] = interpret(learn, stages)
        self._entry: Advance = interpret(tick, stages).advance

    @property
    def threads(self) -> int:
        """Number of threads of torch's products."""
        return torch.get_num_threads()

    @property
    def advance(self) -> Advance:
        """The tick: `kernels.tick.advance` with other rounding."""
        return self._advance

    def take_charge(self, bank: Bank) -> None:
        """Do nothing: the rows stay in the bank."""

    def resolve(self, arguments: Sequence[Any]) -> Calls:
        """Give `advance` itself: it is not compiled."""
        del arguments
        return Calls(self._advance, self._advance)

    def is_ready(self) -> bool:
        """Give True: the few compiled stages compile one by one when needed."""
        return True

    def _advance(self, settings: NDArray[np.void], *others: Any) -> int:
        # Compiled code overflows and divides by zero in silence.
        with np.errstate(all="ignore"), torch.no_grad():
            named = settings.view(np.dtype((Settings, settings.dtype)))
            return int(self._entry(named, *others))


# numpy's types say final, numpy does not.
class Settings(np.record):  # type: ignore[misc]
    """A record with fields as attributes, even if numpy has such a method (`clip`)."""

    def __getattribute__(self, name: str) -> Any:
        """Give a field, or else an attribute of numpy's record."""
        if name in np.void.__getattribute__(self, "dtype").fields:
            return np.void.__getitem__(self, name)
        return super().__getattribute__(name)


def _present(device: str) -> torch.device:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as e:
        reason = str(e).partition("\n")[0].rstrip(".")
        problem = f"torch cannot use {device!r}: {reason}"
        raise ConfigError("run.device", problem, "use cpu") from e
    return torch.device(device)


def _send(device: torch.device, array: Floats) -> Tensor:
    return torch.from_numpy(array).to(device)
