"""The backend `cuda`: the whole tick on an NVIDIA GPU.

The rows of a bank stay on the GPU. They are copied to the host when the engine reads
them, and back to the GPU with the next events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.backends import rounds
from sfm_stream.backends.contract import Calls
from sfm_stream.backends.cuda import chain, prelude, running
from sfm_stream.backends.cuda.chain import Cells, Chain
from sfm_stream.kernels.rows import Events, Out

if TYPE_CHECKING:
    from sfm_stream.backends.contract import Advance
    from sfm_stream.state.arena import Arena
    from sfm_stream.state.bank import Bank
    from sfm_stream.state.layout import Layout


class Cuda:
    """Computes all stages on a GPU.

    Args:
        device: `cuda`, or `cuda:1` for the second one.
        cores: not used: the rows are on the GPU.

    Raises:
        ConfigError: if the GPU or the driver is absent.
    """

    name = "cuda"
    packages = ("numba", "numba_cuda", "cuda.core", "nvidia-cuda-nvrtc")
    threads = 1  # the sizes fix the order in which sums are added up

    def __init__(self, device: str, cores: int | None = None) -> None:
        del cores
        self.device = device
        self._gpu = running.find(device)
        self._bank: Bank | None = None
        self._chain: Chain | None = None
        self._rest: Out | None = None

    def take_charge(self, bank: Bank) -> None:
        """Keep the rows of a bank on the GPU between calls.

        Raises:
            ConfigError: if the cell is too large for a block of the GPU.
        """
        bank.have_whole_ring()  # `cell.cu` is compiled for a fixed ring
        cells = self._cells(bank.layout) if bank.layout.sizes.cell else None
        self._chain = Chain(bank.layout, chain.compile_stages(), cells)
        self._bank = bank

    def _cells(self, layout: Layout) -> Cells:
        now = self._gpu.load(layout, prelude.ROW)
        kept = layout.sizes.kept > 0
        return Cells(now, self._gpu.load(layout, prelude.AGAIN) if kept else None)

    @property
    def advance(self) -> Advance:
        """The tick on the GPU: `kernels.tick.advance` with other rounding.

        If `out` is full it returns `start`, although the events are processed: the next
        call gives the rest of their records.
        """
        return self._advance

    def resolve(self, arguments: Sequence[Any]) -> Calls:
        """Give `advance` itself: it finds its machine code."""
        del arguments
        return Calls(self._advance, self._advance)

    def is_ready(self) -> bool:
        """Say whether the cell's machine code is on disk."""
        return self._gpu.is_ready()

    def _advance(
        self, settings: Any, tables: Any, rows: Arena, work: Any, events: Events,
        start: int, stop: int, phase: int, out: Out,
    ) -> int:  # fmt: skip
        del tables, work
        assert self._chain is not None  # noqa: S101 the engine hands over its bank first
        assert self._bank is not None  # noqa: S101
        if self._rest is None:
            if self._bank.is_home:
                self._chain.send(rows)
                self._bank.leave(self._chain.fetch)
            part = Events(*(column[start:stop] for column in events))
            self._rest = self._run(self._chain, part, phase, settings)
        self._rest = rounds.deliver(self._rest, out)
        if self._rest.counts.any():
            return start
        self._rest = None
        return stop

    def _run(self, there: Chain, events: Events, phase: int, settings: Any) -> Out:
        parts = there.run(events, phase, settings)
        refused = rounds.strangers(events) if phase & chain.OBSERVES else rounds.NONE
        return rounds.join(parts, refused, np.asarray(events.seq))
