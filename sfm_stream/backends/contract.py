"""The interface of a backend, and the choice of a backend by its name.

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

# A function with the arguments of `sfm_stream.kernels.tick.advance`.
Advance: TypeAlias = Callable[..., int]

DEFAULT = "numba"
"""The backend that `auto` chooses on the cpu."""


class Backend(Protocol):
    """Computes the stages of ticks on a device.

    Attributes:
        name: its name in `run.backend`.
        device: its name in `run.device`.
        packages: the packages whose versions affect the last bit of a record.
    """

    name: str
    device: str
    packages: tuple[str, ...]

    @property
    def threads(self) -> int:
        """Number of threads that share a sum, which affects its last bit."""

    @property
    def advance(self) -> Advance:
        """The tick: processes events, writes records; see `kernels.tick.advance`."""

    def take_charge(self, bank: Bank) -> None:
        """Take the bank whose rows `advance` will be called with.

        Between calls a backend may keep the rows elsewhere; see `Bank.leave`.

        Raises:
            ConfigError: if a row is too large for the device.
        """

    def resolve(self, arguments: Sequence[Any]) -> Calls:
        """Give the functions that `advance` runs for arguments of these types.

        Args:
            arguments: those of one earlier call of `advance`; the given functions take
                only arguments of the same types.
        """

    def is_ready(self) -> bool:
        """Say whether the first tick needs no compilation."""


class Calls(NamedTuple):
    """The functions that run the tick.

    Attributes:
        few: for a tick and its label, with the least overhead.
        many: for any events.
    """

    few: Advance
    many: Advance


class Place(NamedTuple):
    """The module and class of a backend.

    Attributes:
        module: that defines the backend; imported when the backend is chosen.
        kind: name of the class, which is called with the device and the cores to use.
        packages: that must be installed.
        install: package to install for these; empty for dependencies of this package.
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
        name: `auto` or one of `BACKENDS`; `auto` chooses `cuda` for a device `cuda`.
        device: in the form of the backend, e.g. `cpu`.
        cores: number of CPU cores that may share the rows of many streams; None for
            all. The number of cores changes only the pace, never a record.

    Raises:
        ConfigError: if the backend or the device is absent; there is no fallback.
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
