"""The memory of a sequence, and its expansion into a windowed Fourier transform.

Unrolled from an empty memory, the update of the slides is

    S_t = Σ_{s<=t} W_{s,t} ∘ (g_s ∘ i_s) e^{jφ_s}        W_{s,t} = Π_{r=s+1..t} f_r

a Fourier transform of each state's input, through a window that the gates set, one
window per state and frequency.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfm_stream.cell.sfm import SFMCell
from sfm_stream.cell.step import step

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class Trace(NamedTuple):
    """The values inside the memory over one sequence.

    Attributes:
        forget: f, of every tick [T, K, D].
        drive: g ∘ i, the input of each state [T, D].
        omega: ω, radians per tick [T, K].
        rest: ω of the grid, from which A-SFM moves the frequencies [K].
        memory: S in absolute time, R e^{jφ} [T, K, D].
    """

    forget: Floats
    drive: Floats
    omega: Floats
    rest: Floats
    memory: Complexes

    @property
    def phase(self) -> Floats:
        """φ, the sum of all ω so far [T, K]."""
        return np.asarray(self.omega.cumsum(0))


def trace(cell: SFMCell, x: Tensor) -> Trace:
    """Run a cell over a sequence in float64, and keep the values inside the memory.

    Args:
        cell: not modified.
        x: [T, N].

    Raises:
        ShapeError: if x does not fit the cell.
    """
    exact = copy.deepcopy(cell).double().cpu()
    state, kept = exact.initial_state(), []
    with torch.no_grad():
        for now in x.double().cpu():
            _, state, inside = step(exact.weights, exact.omega, exact.delta, now, state)
            memory = torch.complex(state.re, state.im)
            kept.append((inside.forget, inside.g * inside.i, inside.omega, memory))
    forget, drive, omega, turning = (
        torch.stack(part).numpy() for part in zip(*kept, strict=True)
    )
    turned = np.exp(1j * omega.cumsum(0))[:, :, None]
    return Trace(forget, drive, omega, exact.omega.numpy(), turning * turned)


def window(seen: Trace, t: int) -> Floats:
    """Compute the share of each tick's input that is left at tick t: W [t + 1, K, D].

    Args:
        seen: the values inside the memory.
        t: the tick, counted from 0.
    """
    # the product of the gates after s, for s = t, t - 1, ..., 0
    later = np.ones_like(seen.forget[: t + 1])
    later[1:] = seen.forget[t:0:-1]
    return np.asarray(later.cumprod(0)[::-1])


def expand(seen: Trace, t: int) -> Complexes:
    """Compute the windowed Fourier transform of the drive up to tick t [K, D]."""
    given = window(seen, t) * seen.drive[: t + 1, None, :]
    return np.asarray(np.einsum("skd,sk->kd", given, np.exp(1j * seen.phase[: t + 1])))


def error(seen: Trace) -> float:
    """Give the largest difference between memory and expansion over all ticks.

    The difference is relative to the largest amplitude.
    """
    ticks = range(len(seen.forget))
    gap = max(float(np.abs(expand(seen, t) - seen.memory[t]).max()) for t in ticks)
    return gap / float(np.abs(seen.memory).max())


def lengths(seen: Trace, t: int) -> Floats:
    """Give the effective window of each frequency and state, in ticks [K, D].

    It is the sum of the window's weights: the length of the rectangular window that
    keeps the same amount of a steady input.
    """
    return np.asarray(window(seen, t).sum(0))


def transform(seen: Trace, t: int, k: int, d: int, omega: Floats) -> Floats:
    """Compute the amplitude of the windowed Fourier transform at any frequencies.

    At ω = ω_k of a cell with fixed frequencies it equals the amplitude of the memory.

    Args:
        seen: the values inside the memory.
        t: the last tick of the transform, counted from 0.
        k: the frequency whose window is used.
        d: the state.
        omega: the frequencies, radians per tick [n].

    Returns:
        [n].
    """
    given = window(seen, t)[:, k, d] * seen.drive[: t + 1, d]
    ticks = np.arange(1, t + 2)
    return np.asarray(np.abs(np.exp(1j * np.outer(omega, ticks)) @ given))
