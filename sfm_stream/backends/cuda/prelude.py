"""The sizes, places and constants that `cell.cu` is compiled with, and what it needs.

All of it follows from the layout of a bank and from the constants of the CPU's stages,
so that both compute the same.
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
# Registers of a multiprocessor, and the most that a thread can name.
REGISTERS, MOST_NAMED = 65_536, 255
# Registers a thread has for all but the weights it holds: forward, and back.
OWN_FORWARD, OWN_BACK = 56, 64
# Threads that a block of a large cell has: each has 128 registers.
LARGE_BLOCK = 512
# Pairs (frequency, state) that a thread of a large cell works at, at most.
MOST_ITEMS = 8
# Arrays that lie where the tape does, and those that do not.
TAPED = (
    "tape_u", "tape_gates", "tape_turned", "tape_read", "tape_out", "tape_turn",
    "tape_tau", "tape_z", "labels",
)  # fmt: skip
PLACES = (
    "weights", "moment", "moment2", "pool", "turn", "reach", "gradient", "delta",
    "deltas", "product", "spans", "counters", "sharing",
)  # fmt: skip
# The tape that the kernels work on: that of the row, or the one that an old window is
# laid on, in `work`; see `layout.Layout.settings`.
ROW, AGAIN = range(2)
# The columns of `turns`, a row for each shared cell:
#   STATE        one of those below
#   LIMIT        the last event that rows may take before its next step
#   NO_LIMIT     the same, where no step comes
#   SECOND       the first coming update of a row that has joined
#   FIRST, LAST  the first and the last coming update of rows that have not
#   COMING       how many these rows are
#   AFTER_FIRST  the first event after these that may bring an update
#   JOINED_AT    the update that joined last
STATE, LIMIT, NO_LIMIT, SECOND, FIRST, LAST, COMING, AFTER_FIRST, JOINED_AT = range(9)
TURNS = 9
# The states: no step is due; one is due when all have come as far as the last that
# joined, or before the gradient of a row that comes a second time.
NONE, COMPLETE, BEFORE = range(3)
# Flags that the rows leave: some have events left, some no room.
LEFT, CROWDED = range(2)
# Blocks that add up the gradients of a shared cell.
PARTS = 32
# What is noted of a label, see `stages.instead.note`.
NOTE = 7
# Coefficients of tanh as a ratio of polynomials.
RATIO = ("A1", "A3", "A5", "A7", "A9", "A11", "A13", "B0", "B2", "B4", "B6", "LIMIT")


class Shape(NamedTuple):
    """How a block of `cell.cu` is laid out.

    Attributes:
        places: threads of one frequency, J.
        threads: of a block.
        items: pairs of frequency and place that a thread works at.
        holds: whether forward keeps the weights in registers.
        holds_back: whether learn does.
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
    """Lay out the blocks for a cell.

    Raises:
        ConfigError: if the cell is larger than a block can work at.
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
    """List the room that a row calculates in: the CPU's, and its notes at the end.

    An event settles, for each horizon, at most what waits.
    """
    notes = Place("notes", "f64", (s.ring, s.horizons, NOTE), "what labels teach")
    return (*work_places(s), notes, Place("noted", "i64", (1,), "how many notes"))


def prelude(layout: Layout, tape: int = ROW) -> str:
    """Write what stands before `cell.cu`: C++ constants for one layout.

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
    """Say where arrays begin in a row, and how wide the rows of the arenas are."""
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
        # Of the decimals that these were rounded from.
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
