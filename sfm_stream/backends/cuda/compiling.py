"""Compiles `cell.cu` for a GPU at run time with NVRTC, and keeps the code on disk.

This needs no toolkit, compiler or driver: the wheel `nvidia-cuda-nvrtc` is enough.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

from sfm_stream.backends.cuda.prelude import ROW, SOURCE, prelude

if TYPE_CHECKING:
    from cuda.core import ObjectCode, Program
    from cuda.core.utils import ProgramCacheResource

    from sfm_stream.state.layout import Layout

ENTRIES = ("forward", "learn", "join", "together")


class Usage(NamedTuple):
    """The resources that a kernel needs, as ptxas reports them.

    Attributes:
        name: of the kernel.
        registers: of a thread.
        stack: bytes of a thread's local memory.
        spilled: bytes written to local memory because registers were too few.
    """

    name: str
    registers: int
    stack: int
    spilled: int


def compile_cell(
    layout: Layout,
    architecture: str,
    cache: ProgramCacheResource | None,
    tape: int = ROW,
) -> ObjectCode:
    """Compile the kernels for one layout.

    Args:
        layout: of the bank.
        architecture: e.g. `sm_90`.
        tape: see `prelude.prelude`.
        cache: stores machine code by source, options and version of the compiler.

    Raises:
        ConfigError: if the cell is too large.
    """
    return _program(layout, architecture, tape).compile("cubin", cache=cache)


def usage(layout: Layout, architecture: str, tape: int = ROW) -> list[Usage]:
    """Compile as `compile_cell` does; give the resources of each kernel.

    Raises:
        ConfigError: if the cell is too large.
    """
    log = io.StringIO()
    _program(layout, architecture, tape).compile("cubin", logs=log)
    return parse_usage(log.getvalue())


def parse_usage(log: str) -> list[Usage]:
    """Read the resources of each kernel from the output of `ptxas -v`."""
    found = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, "
        r"(\d+) bytes spill stores.*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    return [
        Usage(name, int(registers), int(stack), int(spilled))
        for name, stack, spilled, registers in found
    ]


def _program(layout: Layout, architecture: str, tape: int) -> Program:
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(
        arch=architecture,
        std="c++17",
        prec_sqrt=False,
        prec_div=False,
        ptxas_options=["-v"],
    )
    return Program(prelude(layout, tape) + SOURCE.read_text("utf-8"), "c++", options)
