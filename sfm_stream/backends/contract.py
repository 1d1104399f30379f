"""What a backend owes to the engine, and the choice of one by its name.

Importing this module loads neither numba nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.state.bank import Bank

# Called as `sfm_stream.kernels.tick.advance` is.
Advance: TypeAlias = Callable[..., int]

DEFAULT = "numba"
"""What `auto` stands for on the cpu."""


class Backend(Protocol):
    """Computes the stages of ticks on a device.

    Attributes:
        name: as `run.backend` calls it.
        device: as `run.device` calls it.
        packages: those whose versions decide the last bit of every record.
    """

    name: str
    device: str
    packages: tuple[str, ...]

    @property
    def threads(self) -> int:
        """How many threads share a sum, which decides its last bit."""

    @property
    def advance(self) -> Advance:
        """The tick: takes events, writes records; see `kernels.tick.advance`."""

    def take_charge(self, bank: Bank) -> None:
        """Take the bank whose rows `advance` will be called with.

        Between calls a backend may keep them elsewhere; see `Bank.leave`.

        Raises:
            ConfigError: if its rows are more than the device can work at.
        """

    def resolve(self, arguments: Sequence[Any]) -> Calls:
        """Give what `advance` runs for arguments of these types, without the look-up.

        Args:
            arguments: passed to `advance` once before; what is given takes only such
                as have the same types.
        """

    def is_ready(self) -> bool:
        """Say whether the first tick needs no compilation."""


class Calls(NamedTuple):
    """What runs the tick.

    Attributes:
        few: for a tick and its label, with as little around it as there can be.
        many: for any events.
    """

    few: Advance
    many: Advance


class Place(NamedTuple):
    """Where a backend is defined.

    Attributes:
        module: that defines it; imported when the backend is chosen.
        kind: its class, which is called with the device and the cores it may use.
        packages: that must be installed.
        install: what brings them; empty: they come with us.
    """

    module: str
    kind: str
    packages: tuple[str, ...]
    install: str = ""


BACKENDS: Mapping[str, Place] = {
    "numba": Place("sfm_stream.backends.numba", "Numba", ("numba",)),
    "cuda": Place(
        "sfm_stream.backends.cuda.backend",
        "Cuda",
        ("numba", "numba_cuda", "cuda", "cuda.core"),
        "sfm-stream[cuda]",
    ),
    "torch": Place("sfm_stream.backends.torch", "Torch", ("numba", "torch")),
}


def choose(name: str, device: str, cores: int | None = None) -> Backend:
    """Give the backend of a name, on a device.

    Args:
        name: `auto` or one of `BACKENDS`; `auto` is `cuda` on such a device.
        device: as the backend calls it, e.g. `cpu`.
        cores: of the CPU that may share the rows of many streams; None for all. The
            number of cores changes the pace alone, never a record.

    Raises:
        ConfigError: if the backend or the device is not there; no other is taken.
    """
    if name == "auto":
        name = "cuda" if device.partition(":")[0] == "cuda" else DEFAULT
    place = BACKENDS.get(name)
    if place is None:
        problem = f"expected one of auto, {', '.join(BACKENDS)}, was {name!r}"
        raise ConfigError("run.backend", problem)
    for package in place.packages:
        if find_spec(package) is None:
            problem = f"{name!r} needs the package {package}, which is absent"
            fix = f"install {place.install or package}"
            raise ConfigError("run.backend", problem, fix)
    backend: Backend = getattr(import_module(place.module), place.kind)(device, cores)
    return backend
