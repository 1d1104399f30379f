"""Parameters of the cell: their layout, and their initial values.

Both the torch cell and the fused kernels use this module, so there is one layout and
one initialisation. It needs only numpy.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError

Array = NDArray[np.float64]
Kind = TypeVar("Kind")

# Added under the root of the amplitude, so that its gradient at an empty memory is
# finite.
EPSILON = 1e-8
# Both gates can round to 1; without this factor such a memory would grow without bound.
FORGET_CAP = 1.0 - 2.0**-12
# Starts f_fre at .999, so that b_ste alone sets each state's horizon.
FREQUENCY_BIAS = 7.0
# The shortest horizon of a state at birth, in ticks.
SHORTEST_MEMORY = 2.0
# The feedback z -> gates starts small beside the input: z sums K terms and can reach K.
RECURRENT_GAIN = 0.1


class Sizes(NamedTuple):
    """The numbers that determine the shapes and initial values of a cell's parameters.

    Attributes:
        inputs: N.
        states: D.
        frequencies: K.
        outputs: M.
        adaptive: A-SFM, whose frequencies move with the input.
        phase: the read-out sees [A, Re R, Im R] instead of A alone.
        longest_period: of the `log` grid, in ticks (stored with the sizes, but not used
            by `birth`: the grid is not a weight).
        longest_memory: the horizon 1/(1-f) of the slowest state, in ticks.
    """

    inputs: int
    states: int
    frequencies: int
    outputs: int
    adaptive: bool = False
    phase: bool = True
    longest_period: float = 256.0
    longest_memory: float = 256.0

    @property
    def gate_columns(self) -> int:
        """G, the columns of `w_in`."""
        omega = self.frequencies if self.adaptive else 0
        return 3 * self.states + self.frequencies * (1 + self.outputs) + omega

    @property
    def head_rows(self) -> int:
        """Din, the number of values per frequency that the read-out sees: D or 3D."""
        return 3 * self.states if self.phase else self.states


class Weights(NamedTuple, Generic[Kind]):
    """The parameters of one cell, as numpy arrays or as tensors.

    Attributes:
        w_in: [N+M+1, G]; rows [x (N) | z_{t-1} (M) | bias (1)]; columns
            [f_ste D | f_fre K | g D | i D | omega K, if adaptive | o K*M, k-major],
            named by `columns`.
        w_heads: [K, Din, 2M]; rows [A (D)] or [A (D) | Re R (D) | Im R (D)]; columns
            [U_o (M) | W_z (M)].
        b_z: [K, M].
    """

    w_in: Kind
    w_heads: Kind
    b_z: Kind


def columns(sizes: Sizes) -> dict[str, slice]:
    """Name the columns of `w_in`, in order.

    Returns:
        A slice of the G axis for f_ste, f_fre, g, i, omega (only if adaptive) and o;
        together they cover the axis exactly.
    """
    states, frequencies = sizes.states, sizes.frequencies
    widths = {"f_ste": states, "f_fre": frequencies, "g": states, "i": states}
    if sizes.adaptive:
        widths["omega"] = frequencies
    widths["o"] = frequencies * sizes.outputs
    named, start = {}, 0
    for name, width in widths.items():
        named[name] = slice(start, start + width)
        start += width
    return named


def horizons(sizes: Sizes) -> Array:
    """Give the memory of each state at birth: h [D] ticks, h = 1/(1-f).

    The horizons are log-spaced from 2 to `longest_memory`; a single state has the
    longest.

    Raises:
        ConfigError: if `longest_memory` is below 2, or above the limit set by f_fre.
    """
    longest, ceiling = sizes.longest_memory, 1.0 / (1.0 - _frequency_forget())
    if not SHORTEST_MEMORY <= longest < ceiling:
        problem = f"expected 2 to {int(ceiling)} ticks, was {longest}"
        raise ConfigError("model.longest_memory", problem, "256 suits most streams")
    return np.geomspace(longest, SHORTEST_MEMORY, sizes.states)[::-1].copy()


def birth(sizes: Sizes, rng: np.random.Generator) -> Weights[Array]:
    """Draw the parameters of a new cell.

    The forget gate is a product, f = (1 - 2^-12) f_ste f_fre. Ordinary biases start it
    near 0.5: a memory of two ticks, which training does not lengthen. Here b_fre = 7,
    and b_ste gives the product log-spaced horizons. A steady input drives |R| to about
    1/(1-f), so the read-out of state d is scaled by 1-f_d; else it would start
    saturated. Other weights are Glorot-uniform per gate (smaller for recurrent
    weights), other biases are zero; the frequency weights of A-SFM are zero, so it
    starts as SFM.

    Args:
        sizes: of the cell.
        rng: gives three draws, in the order x rows, z rows, heads.

    Returns:
        float64 arrays, C-contiguous; callers convert the type.

    Raises:
        ConfigError: for a size below 1 or a memory out of range.
    """
    _check(sizes)
    memory = horizons(sizes)
    shape = (sizes.frequencies, sizes.outputs)
    return Weights(
        _input_weights(sizes, memory, rng),
        _head_weights(sizes, memory, rng),
        np.zeros(shape),
    )


def _check(sizes: Sizes) -> None:
    for name in ("inputs", "states", "frequencies", "outputs"):
        value = getattr(sizes, name)
        if value < 1:
            raise ConfigError(f"model.{name}", f"expected at least 1, was {value}")


def _frequency_forget() -> float:
    return float(FORGET_CAP / (1.0 + np.exp(-FREQUENCY_BIAS)))


def _input_weights(sizes: Sizes, memory: Array, rng: np.random.Generator) -> Array:
    at, total = columns(sizes), sizes.gate_columns
    x_rows = rng.uniform(-1.0, 1.0, (sizes.inputs, total))
    x_rows *= _limits(sizes, sizes.inputs)
    z_rows = rng.uniform(-1.0, 1.0, (sizes.outputs, total))
    z_rows *= RECURRENT_GAIN * _limits(sizes, sizes.outputs)
    bias = np.zeros((1, total))
    forget = (1.0 - 1.0 / memory) / _frequency_forget()
    bias[0, at["f_ste"]] = np.log(forget / (1.0 - forget))
    bias[0, at["f_fre"]] = FREQUENCY_BIAS
    return np.concatenate([x_rows, z_rows, bias])


# Glorot's bound for every column, from the size of the gate that the column belongs to.
def _limits(sizes: Sizes, fan_in: int) -> Array:
    limits = np.zeros(sizes.gate_columns)
    for name, where in columns(sizes).items():
        # The K output gates are K separate matrices, side by side.
        fan_out = sizes.outputs if name == "o" else where.stop - where.start
        limits[where] = np.sqrt(6.0 / (fan_in + fan_out))
    if sizes.adaptive:
        limits[columns(sizes)["omega"]] = 0.0
    return limits


def _head_weights(sizes: Sizes, memory: Array, rng: np.random.Generator) -> Array:
    rows, outputs = sizes.head_rows, sizes.outputs
    limit = np.sqrt(6.0 / (rows + outputs))
    drawn = rng.uniform(-limit, limit, (sizes.frequencies, rows, 2 * outputs))
    # 1/memory is 1-f_d; the states repeat for A, Re R and Im R.
    drawn /= np.tile(memory, rows // sizes.states)[:, None]
    return drawn
