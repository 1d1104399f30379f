"""The kernels of the GPU on the CPU: `cell.cu` over fibers, compiled by g++."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from sfm_stream.backends.cuda import prelude

COMPILER = shutil.which("g++")
FIBERS = Path(__file__).with_name("cuda_fibers.h")
NEEDS_COMPILER = pytest.mark.skipif(
    COMPILER is None, reason="cell.cu runs on the CPU through g++, which is absent"
)
APART = "the threads of a warp wait at two kinds of barriers"
ENTRIES = """
extern "C" void order(int backwards) { fibers::backwards = backwards; }
extern "C" bool run_forward(int blocks, const float* rows, float* tapes,
    const float* tables, const int* active, const int* steps) {
  return fibers::launch(blocks, THREADS,
                        [=] { forward(rows, tapes, tables, active, steps); });
}
extern "C" bool run_learn(int blocks, float* rows, long long* counters,
    const float* tapes, const float* tables, float* work, double* told,
    const long long* windows, const int* active, const int* counts,
    const long long* turns, int* joins, const double* knobs) {
  return fibers::launch(blocks, THREADS, [=] {
    learn(rows, counters, tapes, tables, work, told, windows, active, counts, turns,
          joins, knobs);
  });
}
extern "C" bool run_join(int blocks, float* rows, long long* counters,
    const float* work, const int* active, const int* joins) {
  return fibers::launch(blocks, THREADS,
                        [=] { join(rows, counters, work, active, joins); });
}
extern "C" bool run_together(int blocks, float* rows, long long* counters,
    long long* turns, const int* flags, const double* knobs) {
  return fibers::launch(blocks, THREADS,
                        [=] { together(rows, counters, turns, flags, knobs); });
}
"""


class Kernels(NamedTuple):
    """The kernels of a layout; arguments are numpy arrays."""

    library: ctypes.CDLL

    def order(self, *, backwards):
        self.library.order(int(backwards))

    def forward(self, blocks, *arrays):
        assert self.library.run_forward(blocks, *map(_pointer, arrays)), APART

    def learn(self, blocks, *arrays):
        assert self.library.run_learn(blocks, *map(_pointer, arrays)), APART

    def join(self, blocks, *arrays):
        assert self.library.run_join(blocks, *map(_pointer, arrays)), APART

    def together(self, blocks, *arrays):
        assert self.library.run_together(blocks, *map(_pointer, arrays)), APART


def _pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def kernels(layout, folder, source=None, tape=prelude.ROW):
    """Compile `cell.cu`, or a changed source of it, for a layout."""
    text = prelude.SOURCE.read_text() if source is None else source
    return _compiled(prelude.prelude(layout, tape) + text, str(folder))


@cache
def _compiled(text, folder):
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    source = Path(folder) / f"{name}.cpp"
    made = source.with_suffix(".so")
    source.write_text(f'#include "{FIBERS}"\n{text}{ENTRIES}')
    command = [COMPILER, "-std=c++20", "-O1", "-w", "-shared", "-fPIC"]
    # As the GPU does it, or a float64 reference of the same would be no nearer.
    command += ["-ffp-contract=fast", "-fno-math-errno", str(source), "-o", str(made)]
    subprocess.run(command, check=True)  # noqa: S603 what is compiled is our own
    return Kernels(ctypes.CDLL(str(made)))
