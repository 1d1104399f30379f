"""The sizes, offsets and constants for compiling `cell.cu`, and its block sizes.

They follow from the layout of a bank and from the constants of the CPU's stages, so
that both compute the same.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfm_stream.cell.parameters import EPSILON, FORGET_CAP
from sfm_stream.errors import ConfigError
from sfm_stream.jit import scalars
from sfm_stream.kernels.learning import adam
from sfm_stream.kernels.memory import cell
from sfm_stream.state.arena import Place, widths
from sfm_stream.state.layout import Layout
from sfm_stream.state.places import (
    ADAM_STEP,
    CHUNK,
    NEW,
    VERSION,
    Sizes,
    work_places,
)

SOURCE = Path(__file__).with_name("cell.cu")
WARP = 32
# Registers of a multiprocessor, and the largest number that a thread can use.
REGISTERS, MOST_NAMED = 65_536, 255
# Registers that a thread needs beside those for weights: in forward, and in learn.
OWN_FORWARD, OWN_BACK = 56, 64
# Threads in a block of a large cell: each has 128 registers.
LARGE_BLOCK = 512
# The largest number of pairs (frequency, state) per thread of a large cell.
MOST_ITEMS = 8
# Arrays of the tape, which lie in the row or in `work`; and arrays of the row alone.
TAPED = (
    "tape_u", "tape_gates", "tape_turned", "tape_read", "tape_out", "tape_turn",
    "tape_tau", "tape_z", "labels",
)  # fmt: skip
PLACES = (
    "weights", "moment", "moment2", "pool", "turn", "reach", "gradient", "delta",
    "deltas", "product", "spans", "counters", "sharing",
)  # fmt: skip
# The tape that the kernels use: that of the row, or for a window of the past the one in
# `work`; see `layout.Layout.settings`.
ROW, AGAIN = range(2)
# The columns of `turns`, a row for each shared cell:
#   STATE        NONE, COMPLETE or BEFORE
#   LIMIT        the last event that rows may take before the cell's next step
#   NO_LIMIT     the same without a coming step: later than any event
#   SECOND       the first coming update of a row that has joined the step
#   FIRST, LAST  the first and the last coming update of rows that have not joined
#   COMING       the number of these rows
#   AFTER_FIRST  the first event after their coming updates that may bring an update
#   JOINED_AT    the last update that joined
STATE, LIMIT, NO_LIMIT, SECOND, FIRST, LAST, COMING, AFTER_FIRST, JOINED_AT = range(9)
TURNS = 9
# The states: no step is due; a step is due when all rows have reached the last update
# that joined; a step is due before the gradient of a row that joined already.
NONE, COMPLETE, BEFORE = range(3)
# Flags that the rows set: a row has events left, a row has no room for records.
LEFT, CROWDED = range(2)
# Blocks that add up the gradients of a shared cell.
PARTS = 32
# Numbers in the note of a label, see `stages.instead.note`.
NOTE = 7
# Coefficients of tanh as a ratio of polynomials.
RATIO = ("A1", "A3", "A5", "A7", "A9", "A11", "A13", "B0", "B2", "B4", "B6", "LIMIT")


class Shape(NamedTuple):
    """The sizes of a block of `cell.cu`.

    Attributes:
        places: threads of one frequency, J.
        threads: of a block.
        items: pairs of frequency and place per thread.
        holds: whether forward keeps the weights in registers.
        holds_back: whether learn keeps the weights in registers.
        forward_bytes: shared memory of forward.
        backward_bytes: shared memory of learn.
    """

    places: int
    threads: int
    items: int
    holds: bool
    holds_back: bool
    forward_bytes: int
    backward_bytes: int

    @property
    def shared_bytes(self) -> dict[str, int]:
        """Shared memory by kernel."""
        forward, back = self.forward_bytes, self.backward_bytes
        return {"forward": forward, "learn": back, "join": 0, "together": back}


def shape(s: Sizes) -> Shape:
    """Compute the block sizes for a cell.

    Raises:
        ConfigError: if the cell is too large for a block.
    """
    widest = max(s.states, s.outputs)
    places = 1 << (widest - 1).bit_length()
    if places > WARP:
        places = _up(widest, WARP)
    pairs = s.frequencies * places
    most = LARGE_BLOCK // places * places
    threads = min(_up(pairs, WARP), most)
    items = -(-pairs // threads) if threads else MOST_ITEMS + 1
    if items > MOST_ITEMS:
        problem = (
            f"a block of the GPU works at {LARGE_BLOCK * MOST_ITEMS} pairs of "
            f"frequency and state or output, was {s.frequencies} x {widest}"
        )
        fix = 'make the cell smaller or set run.device = "cpu"'
        raise ConfigError("run.device", problem, fix)
    registers = min(MOST_NAMED, REGISTERS // threads)
    seen, rows = _up(s.head_rows, 4), -(-s.head_rows // places)
    single = items == 1
    return Shape(
        places=places,
        threads=threads,
        items=items,
        holds=single and s.outputs + 2 * seen + OWN_FORWARD <= registers,
        holds_back=single and rows * 2 * s.outputs + OWN_BACK <= registers,
        forward_bytes=_forward_bytes(s, threads),
        backward_bytes=_backward_bytes(s, threads),
    )


def room_places(s: Sizes) -> tuple[Place, ...]:
    """List the work arrays of a row: those of the CPU, and last the notes of labels.

    An event settles at most the pending forecasts of each horizon.
    """
    notes = Place("notes", "f64", (s.ring, s.horizons, NOTE), "what labels teach")
    return (*work_places(s), notes, Place("noted", "i64", (1,), "how many notes"))


def prelude(layout: Layout, tape: int = ROW) -> str:
    """Write the C++ constants of one layout, which precede `cell.cu`.

    Args:
        layout: of the bank.
        tape: ROW, or AGAIN for windows of the past.
    """
    s, block = layout.sizes, shape(layout.sizes)
    whole = _counts(s, block) | _places(layout, tape)
    flags = {
        "PHASE": s.head_rows > s.states, "ADAPTIVE": s.adaptive, "CLOCKED": s.clocked,
        "HOLDS": block.holds, "HOLDS_BACK": block.holds_back, "SHARED": s.shared,
    }  # fmt: skip
    lines = [f"constexpr int {name} = {value};" for name, value in whole.items()]
    lines += [f"constexpr bool {name} = {int(on)};" for name, on in flags.items()]
    lines += [f"#define {name} {value!r}f" for name, value in _numbers().items()]
    return "\n".join(lines) + "\n"


def _counts(s: Sizes, block: Shape) -> dict[str, int]:
    return {
        "N": s.inputs, "D": s.states, "K": s.frequencies, "M": s.outputs,
        "Q": s.horizons, "TARGETS": s.targets, "GATES": s.gates, "WEIGHTS": s.weights,
        "CHUNK": CHUNK, "J": block.places, "THREADS": block.threads,
        "FORWARD_BYTES": block.forward_bytes, "BACKWARD_BYTES": block.backward_bytes,
        "CORRECTED_AFTER": adam.CORRECTED_AFTER, "ADAM_STEP": ADAM_STEP,
        "VERSION": VERSION, "NEW": NEW, "PARTS": PARTS, "TURNS": TURNS,
        "STATE": STATE, "NONE": NONE, "CROWDED": CROWDED,
    }  # fmt: skip


def _places(layout: Layout, tape: int) -> dict[str, int]:
    """Give the offset of each array in a row, and the widths of the arenas' rows."""
    row, work = widths(layout.places), widths(room_places(layout.sizes))
    own, taped = layout.settings[ROW], layout.settings[tape]
    begins = {f"AT_{name.upper()}": int(own[f"at_{name}"]) for name in PLACES}
    begins |= {f"AT_{name.upper()}": int(taped[f"at_{name}"]) for name in TAPED}
    return begins | {
        "KIND": tape,
        "RING": int(taped["ring"]),
        "WIDTH": row["f32"],
        "WIDTH_I64": row["i64"],
        "TAPE_WIDTH": (row if tape == ROW else work)["f32"],
        "WORK_WIDTH": work["f32"],
        "WORK_WIDTH_F64": work["f64"],
        "WORK_WIDTH_I64": work["i64"],
    }


def _numbers() -> dict[str, float]:
    """Give the constants of the CPU's stages, rounded to float32 as they are there."""
    named = {name: getattr(scalars, name) for name in RATIO} | {
        "CAP": FORGET_CAP, "EPSILON": EPSILON, "TINY": cell.TINY, "PI": math.pi,
        "STEADY_STEPS": adam.STEADY_STEPS, "LEAST_SHARE": adam.LEAST_SHARE,
        "BETA1": adam.BETA1, "BETA2": adam.BETA2, "ADAM_EPSILON": adam.EPSILON,
        # The logarithms of the decimal numbers, before rounding to float32.
        "LOG_BETA1": math.log(float(str(adam.BETA1))),
        "LOG_BETA2": math.log(float(str(adam.BETA2))),
    }  # fmt: skip
    return {name: float(np.float32(value)) for name, value in named.items()}


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


# In the order of the structures of `cell.cu`, which refuses to compile otherwise.
def _forward_bytes(s: Sizes, threads: int) -> int:
    small = s.gates - s.frequencies * s.outputs
    floats = s.frequencies * _up(s.head_rows, 4) + small + s.frequencies * s.outputs
    return 4 * (floats + threads // WARP * s.outputs)


def _backward_bytes(s: Sizes, threads: int) -> int:
    k, d, m, q = s.frequencies, s.states, s.outputs, s.horizons
    floats = k * 2 * m + k * s.head_rows + 3 * k * d + (k * d if s.adaptive else 4)
    floats += s.gates + m + CHUNK * (q + m)
    return _up(4 * (floats + 3 * q + 2 * CHUNK + 2), 8) + 16 * (threads // WARP)
