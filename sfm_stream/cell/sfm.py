"""SFM and A-SFM as modules of torch: a cell for one tick, a layer for a sequence."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sfm_stream.cell import frequencies as grids
from sfm_stream.cell.layer import Cell, Layer
from sfm_stream.cell.parameters import Sizes, Weights, birth
from sfm_stream.cell.seeding import Seed, generator
from sfm_stream.cell.sequence import torch as sequence
from sfm_stream.cell.step import SFMState, project, step_projected
from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

READOUTS = ("amplitude", "amplitude+phase")
UNTAPED = 256
"""Ticks per call where no gradient is needed."""


class SFMCell(Cell[SFMState]):
    """One tick of SFM or A-SFM, with the shape of `torch.nn.LSTMCell`.

    Args:
        input_size: N.
        output_size: M.
        states: D.
        frequencies: K.
        grid: `paper`, `half` or `log` (see `sfm_stream.cell.frequencies.frequencies`).
        longest_period: of the `log` grid, in ticks.
        longest_memory: the horizon of the slowest state at birth, in ticks.
        adaptive: A-SFM: the frequencies move with the input.
        reach: of A-SFM, the largest shift of a frequency, as a share of half the gap
            to its nearest neighbour on the grid.
        readout: `amplitude` (the paper's) or `amplitude+phase`.
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes, grid, reach or read-out.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017.
    """

    timed = True
    omega: Tensor
    delta: Tensor | None

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        states: int,
        frequencies: int,
        grid: str = "log",
        longest_period: float = 256.0,
        longest_memory: float = 256.0,
        adaptive: bool = False,
        reach: float = 1.0,
        readout: str = "amplitude+phase",
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        self.sizes = Sizes(
            input_size,
            states,
            frequencies,
            output_size,
            adaptive=adaptive,
            phase=_sees_phase(readout),
            longest_period=longest_period,
            longest_memory=longest_memory,
        )
        kind = dtype or torch.get_default_dtype()
        born = birth(self.sizes, generator(seed))
        put = partial(torch.tensor, dtype=kind, device=device)
        self.w_in = nn.Parameter(put(born.w_in))
        self.w_heads = nn.Parameter(put(born.w_heads))
        self.b_z = nn.Parameter(put(born.b_z))
        omega = grids.frequencies(grid, frequencies, longest_period)
        self.register_buffer("omega", put(omega))
        self.reach = reach
        delta = put(_expect_share(reach) * grids.spacing(omega)) if adaptive else None
        self.register_buffer("delta", delta)

    @property
    def weights(self) -> Weights[Tensor]:
        """The parameters by name, as `step` takes them."""
        return Weights(self.w_in, self.w_heads, self.b_z)

    def initial_state(self, batch: Sequence[int] = ()) -> SFMState:
        """Give the empty memory, all zero; `batch` holds the leading dimensions."""
        memory = (*batch, self.sizes.frequencies, self.sizes.states)
        return SFMState(
            self.b_z.new_zeros(memory),
            self.b_z.new_zeros(memory),
            self.b_z.new_zeros((*batch, self.sizes.outputs)),
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute the part of a tick or sequence that does not depend on the state."""
        return project(self.weights, x)

    def advance(
        self, projected: Tensor, state: SFMState, elapsed: Tensor | None
    ) -> tuple[Tensor, SFMState]:
        """Give z and the state after a tick, from the result of `project`."""
        z, state, _ = step_projected(
            self.weights, self.omega, self.delta, projected, state, elapsed=elapsed
        )
        return z, state

    def run(
        self, x: Tensor, state: SFMState, elapsed: Tensor | None = None
    ) -> tuple[Tensor, SFMState]:
        """Give z [T, B, M] of every tick of x [T, B, N], and the state after."""
        # torch.compile fuses the general loop itself; durations are rare in training.
        if elapsed is not None or not x.numel() or _is_transformed():
            return super().run(x, state, elapsed)
        given = (x, *self.weights, *state)
        learns = torch.is_grad_enabled() and any(part.requires_grad for part in given)
        # Without a gradient the tape is not needed: few ticks per call keep it short.
        length = len(x) if learns else UNTAPED
        parts: list[Tensor] = []
        for ticks in torch.split(x, length):
            every, re, im = sequence.run(
                self.weights, self.omega, self.delta, self.project(ticks), *state
            )
            parts.append(every)
            state = SFMState(re, im, every[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts), state

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return ", ".join(f"{k}={v}" for k, v in self.sizes._asdict().items())


class SFM(Layer[SFMState]):
    """SFM or A-SFM over a sequence, with the shape of `torch.nn.LSTM`.

    The input products of all ticks are computed at once; the rest is a loop over ticks.

    Args:
        input_size: N.
        output_size: M.
        states: D.
        frequencies: K.
        grid: `paper`, `half` or `log` (see `sfm_stream.cell.frequencies.frequencies`).
        longest_period: of the `log` grid, in ticks.
        longest_memory: the horizon of the slowest state at birth, in ticks.
        adaptive: A-SFM: the frequencies move with the input.
        reach: of A-SFM, the largest shift of a frequency, as a share of half the gap
            to its nearest neighbour on the grid.
        readout: `amplitude` (the paper's) or `amplitude+phase`.
        batch_first: sequences are [B, T, ...] instead of [T, B, ...].
        seed: of the initial weights; None draws one from torch's global generator.
        dtype: of the parameters; None is torch's default.
        device: of the parameters; None is torch's default.

    Raises:
        ConfigError: for invalid sizes, grid, reach or read-out.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017.

    Examples:
        >>> layer = SFM(3, 4, states=5, frequencies=6, seed=0)
        >>> z, state = layer(torch.ones(7, 2, 3))  # ticks, sequences, inputs
        >>> z.shape, state.re.shape
        (torch.Size([7, 2, 4]), torch.Size([2, 6, 5]))
        >>> round(z[-1, 0, 0].item(), 3)
        -0.024
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        states: int,
        frequencies: int,
        grid: str = "log",
        longest_period: float = 256.0,
        longest_memory: float = 256.0,
        adaptive: bool = False,
        reach: float = 1.0,
        readout: str = "amplitude+phase",
        batch_first: bool = False,
        seed: Seed = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        cell = SFMCell(
            input_size,
            output_size,
            states=states,
            frequencies=frequencies,
            grid=grid,
            longest_period=longest_period,
            longest_memory=longest_memory,
            adaptive=adaptive,
            reach=reach,
            readout=readout,
            seed=seed,
            dtype=dtype,
            device=device,
        )
        super().__init__(cell, batch_first=batch_first)


def _is_transformed() -> bool:
    """Say whether torch compiles, or a transform of torch.func is active.

    The hand-written gradient does not support these.
    """
    active: bool = torch._C._are_functorch_transforms_active()  # noqa: SLF001 no other
    return active or torch.compiler.is_compiling()


def _sees_phase(readout: str) -> bool:
    if readout not in READOUTS:
        problem = f"expected one of {', '.join(READOUTS)}, was {readout!r}"
        raise ConfigError("model.readout", problem, "the paper's is amplitude")
    return readout == "amplitude+phase"


def _expect_share(reach: float) -> float:
    if not 0.0 < reach <= 1.0:
        problem = f"expected more than 0 and at most 1, was {reach}"
        raise ConfigError("reach", problem, "1 lets two frequencies meet")
    return reach
