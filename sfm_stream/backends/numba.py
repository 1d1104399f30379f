"""The default backend: the tick as machine code of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numba import typeof

from sfm_stream.backends import spread
from sfm_stream.backends.contract import Advance, Calls
from sfm_stream.errors import ConfigError
from sfm_stream.jit import cache
from sfm_stream.kernels import tick

if TYPE_CHECKING:
    from sfm_stream.state.bank import Bank

KERNELS = tick.__name__.rpartition(".")[0]
# The source files of the compiled tick.
SOURCES = cache.Sources(
    (
        "jit/*.py",
        "kernels/**/*.py",
        "state/*.py",
        "cell/parameters.py",
        "events/kinds.py",
    ),
    ("__init__.py", "blas.py", "cache.py"),
)


class Numba:
    """Computes the tick with `kernels.tick`, compiled by numba and kept on disk.

    Machine code of other sources is deleted first, so that it cannot be loaded.

    Args:
        device: `cpu`.
        cores: number of cores that share the rows of many streams; None for all.

    Raises:
        ConfigError: for a device other than `cpu`.
    """

    name = "numba"
    packages = ("numba",)
    threads = 1  # a row is computed in one thread

    def __init__(self, device: str, cores: int | None = None) -> None:
        if device != "cpu":
            problem = f"the numba backend computes on cpu, was {device!r}"
            raise ConfigError("run.device", problem, 'set run.backend = "auto"')
        self.device = device
        self._cores = cores or spread.cores()
        self._bank: Bank | None = None
        self._tick: Any = tick.advance
        cache.discard(self._folders(), SOURCES)

    @property
    def advance(self) -> Advance:
        """The compiled tick."""
        entry: Advance = self._tick
        return entry

    def take_charge(self, bank: Bank) -> None:
        """Remember the bank; its rows stay in its memory."""
        self._bank = bank

    def resolve(self, arguments: Sequence[Any]) -> Calls:
        """Give the machine code for arguments of these types, for one row or many.

        Finding it at every call would take 11 us, more than a live tick takes.
        """
        entry: Advance = self._tick.overloads[tuple(map(typeof, arguments))].entry_point
        assert self._bank is not None  # noqa: S101 the engine hands over its bank first
        if self._bank.layout.sizes.shared:
            # the streams learn from each other, in the order of events
            return Calls(entry, entry)
        many = spread.Spread(entry, self._bank, self._cores).advance
        return Calls(entry, many)

    def is_ready(self) -> bool:
        """Say whether machine code of these sources is on disk."""
        entry = f"tick.{tick.advance.__name__}"
        return any(cache.holds(one, entry, SOURCES) for one in self._folders())

    # Beside the sources, or in the user's folder if the former cannot be written.
    def _folders(self) -> list[str]:
        return cache.folders(KERNELS)
