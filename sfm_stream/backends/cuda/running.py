"""Finds a GPU, and launches the kernels of `cell.cu` on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sfm_stream.backends.cuda import compiling, prelude
from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.backends.cuda.chain import Cell
    from sfm_stream.state.layout import Layout

# Bytes of shared memory that a block has without a request to the driver.
PLAIN_SHARED = 48 * 1024


class Gpu:
    """A GPU in use.

    Args:
        number: of the device.

    Attributes:
        architecture: e.g. `sm_90`.
    """

    def __init__(self, number: int) -> None:
        from cuda.core import Device
        from cuda.core.utils import FileStreamProgramCache

        self._device = Device(number)
        self._device.set_current()
        self.architecture = f"sm_{self._device.arch}"
        self._cache = FileStreamProgramCache()

    def load(self, layout: Layout, tape: int) -> Cell:
        """Compile the cell for a layout, or take it from the disk.

        Args:
            layout: of the bank.
            tape: see `prelude.prelude`.

        Raises:
            ConfigError: if the cell needs more shared memory than a block has.
        """
        block = prelude.shape(layout.sizes)
        most = self._device.properties.max_shared_memory_per_block_optin
        wanted = max(block.forward_bytes, block.backward_bytes)
        if wanted > most:
            problem = (
                f"a block of this GPU has {most} B of shared memory, the cell needs "
                f"{wanted}"
            )
            fix = 'make the cell smaller or set run.device = "cpu"'
            raise ConfigError("run.device", problem, fix)
        code = compiling.compile_cell(layout, self.architecture, self._cache, tape)
        return _Launcher(code, block)

    def is_ready(self) -> bool:
        """Say whether machine code of any cell is on disk."""
        return len(self._cache) > 0


class _Launcher:
    """The kernels of `cell.cu`, launched on the same stream as those of numba."""

    def __init__(self, code: Any, block: prelude.Shape) -> None:
        from cuda.core import LEGACY_DEFAULT_STREAM

        self._stream, self._block = LEGACY_DEFAULT_STREAM, block
        self._kernels = {
            name: (code.get_kernel(name), size)
            for name, size in block.shared_bytes.items()
        }
        for kernel, size in self._kernels.values():
            _ask_for_shared(kernel, size)

    def forward(self, blocks: int, *arrays: Any) -> None:
        """Step the memory of rows."""
        self._launch("forward", blocks, arrays)

    def learn(self, blocks: int, *arrays: Any) -> None:
        """Learn in the rows with labels."""
        self._launch("learn", blocks, arrays)

    def join(self, blocks: int, *arrays: Any) -> None:
        """Add up the gradients of shared cells."""
        self._launch("join", blocks, arrays)

    def together(self, blocks: int, *arrays: Any) -> None:
        """Take the optimiser's step of shared cells."""
        self._launch("together", blocks, arrays)

    def _launch(self, name: str, blocks: int, arrays: Any) -> None:
        from cuda.core import LaunchConfig, launch

        kernel, size = self._kernels[name]
        config = LaunchConfig(grid=blocks, block=self._block.threads, shmem_size=size)
        pointers = [array.device_ctypes_pointer.value for array in arrays]
        launch(self._stream, config, kernel, *pointers)


def _ask_for_shared(kernel: Any, size: int) -> None:
    """Request more shared memory for a block from the driver, if it needs more."""
    from cuda.bindings import driver

    if size <= PLAIN_SHARED:
        return
    what = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    (error, device) = driver.cuCtxGetDevice()
    if error == driver.CUresult.CUDA_SUCCESS:
        (error,) = driver.cuKernelSetAttribute(what, size, kernel.handle, device)
    if error != driver.CUresult.CUDA_SUCCESS:
        problem = f"the driver refused {size} B of shared memory: {error.name}"
        raise ConfigError("run.device", problem, 'set run.device = "cpu"')


def find(device: str) -> Gpu:
    """Give the GPU of a name.

    Args:
        device: `cuda` or `cuda:N`.

    Raises:
        ConfigError: if the GPU is absent.
    """
    named = re.fullmatch(r"cuda(?::(\d+))?", device)
    if named is None:
        problem = f"expected cuda or cuda:N, was {device!r}"
        raise ConfigError("run.device", problem, 'set run.device = "cuda"')
    try:
        return Gpu(int(named[1] or 0))
    except Exception as e:
        reason = str(e).partition("\n")[0].rstrip(".")
        problem = f"no GPU for {device!r}: {reason}"
        raise ConfigError("run.device", problem, 'set run.device = "cpu"') from e
