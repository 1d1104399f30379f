"""The cell's stages in torch: a step, the backward sweep, and the optimiser's step.

Each stage computes the same as the compiled stage of its name. The arenas stay in
numpy: the arrays of a stage are copied to the device and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sfm_stream.backends.interpreted import source
from sfm_stream.cell import step as cell_step
from sfm_stream.cell.parameters import FORGET_CAP, Sizes, Weights, columns
from sfm_stream.kernels import rows
from sfm_stream.state import layout
from sfm_stream.state.arena import Arena

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.floating[Any]]"
# Copies an array to the device; on the cpu the tensor shares the array's memory.
Send: TypeAlias = Callable[[Floats], Tensor]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

matrix, cube = source(rows.matrix), source(rows.cube)


class Tape(NamedTuple):
    """The stored activations of a row, by slot; see `places.places`.

    As arrays of the bank they hold all slots [R, ...]; as tensors, the slots of T
    ticks.
    """

    u: Any
    gates: Any
    turned: Any
    read: Any
    out: Any
    turn: Any
    tau: Any
    z: Any


def _tape(s: Any, row: Arena) -> Tape:
    x, r, k, d, m = row.f32, s.ring, s.frequencies, s.states, s.outputs
    return Tape(
        u=matrix(x, s.at_tape_u, r, s.inputs + m + 1),
        gates=matrix(x, s.at_tape_gates, r, s.gates),
        turned=cube(x, s.at_tape_turned, r, k, 2 * d),
        read=cube(x, s.at_tape_read, r, k, 3 * d),
        out=cube(x, s.at_tape_out, r, k, m),
        turn=cube(x, s.at_tape_turn, r, 3, k),
        tau=x[s.at_tape_tau : s.at_tape_tau + r],
        z=matrix(x, s.at_tape_z, r, m),
    )


def _blocks(send: Send, s: Any, row: Arena) -> dict[str, Tensor]:
    flat = row.f32[s.at_weights : s.at_weights + s.weights]
    return {name: send(block) for name, block in layout.split(s, flat).items()}


def _at(s: Any) -> dict[str, slice]:
    adaptive = bool(s.adaptive)
    return columns(
        Sizes(s.inputs, s.states, s.frequencies, s.outputs, adaptive=adaptive)
    )


def _omega(send: Send, s: Any, tables: Arena) -> Tensor:
    turn = matrix(tables.f32, s.at_turn, 3, s.frequencies)
    return send(turn[2])


def _reach(send: Send, s: Any, tables: Arena) -> Tensor:
    return send(tables.f32[s.at_reach : s.at_reach + s.frequencies])


def step(
    send: Send, s: Any, tables: Arena, row: Arena, work: Arena, before: int, slot: int
) -> None:
    """Advance the memory as `kernels.memory.cell.step` does, with `cell.step.step`."""
    del work
    tape, d, blocks = _tape(s, row), s.states, _blocks(send, s, row)
    x, past = send(tape.u[slot, : s.inputs]), tape.read[before]
    state = cell_step.SFMState(
        re=send(past[:, d : 2 * d]), im=send(past[:, 2 * d :]), z=send(tape.z[before])
    )
    weights = Weights(blocks["w_in"], blocks["w_heads"], blocks["b_z"])
    omega = _omega(send, s, tables).to(x)
    delta = _reach(send, s, tables).to(x) if s.adaptive else None
    tau = send(tape.tau[slot : slot + 1])[0]
    z, after, inside = cell_step.step(
        weights, omega, delta, x, state, elapsed=tau if s.clocked else None
    )
    u = torch.cat([x, state.z, torch.ones_like(x[:1])])
    shift = torch.zeros_like(omega)
    if s.adaptive:
        shift = torch.tanh(u @ weights.w_in[:, _at(s)["omega"]])
    kept = {"u": u, "gates": _gates(s, inside, shift), "out": inside.q, "z": z}
    kept |= _memory(state, after, inside, tau if s.clocked else 1.0, shift)
    for name, value in kept.items():
        getattr(tape, name)[slot] = value.cpu().numpy()


def _memory(
    before: cell_step.SFMState,
    after: cell_step.SFMState,
    inside: cell_step.Activations,
    tau: Tensor | float,
    shift: Tensor,
) -> dict[str, Tensor]:
    angle = inside.omega * tau
    turned = torch.complex(before.re, before.im) * _unit(-angle)[:, None]
    return {
        "turned": torch.cat([turned.real, turned.imag], -1),
        "read": torch.cat([inside.amplitude, after.re, after.im], -1),
        "turn": torch.stack([torch.cos(angle), torch.sin(angle), shift]),
    }


def _unit(angle: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(angle), angle)


def _gates(s: Any, inside: cell_step.Activations, shift: Tensor) -> Tensor:
    named = {
        "f_ste": inside.f_ste,
        "f_fre": inside.f_fre,
        "g": inside.g,
        "i": inside.i,
        "omega": shift,
        "o": inside.o.flatten(),
    }
    return torch.cat([named[name] for name in _at(s)])


def sweep(
    send: Send,
    s: Any,
    tables: Arena,
    row: Arena,
    work: Arena,
    spans: NDArray[np.int64],
    labels: int,
) -> float:
    """Add the gradient to that in `work`, and give the sum of squared errors.

    The result is that of `kernels.memory.backprop.sweep`. With T swept ticks, newest
    first, all but the flow through memory and z is one product over T.
    """
    ticks = _swept(spans)
    slots = ticks % (s.ring - 1)
    tape = Tape(*(send(part[slots]) for part in _tape(s, row)))
    blocks = _blocks(send, s, row)
    wanted = send(_news(s, row, spans, ticks))
    error = tape.z @ blocks["v"].mT + blocks["c"] - wanted
    error = torch.where(torch.isnan(wanted), 0.0, error)
    pull = 2.0 * error / int(labels)
    reach = _reach(send, s, tables).to(pull)
    flow = _Flow(s, tape, blocks, reach)
    gates, heads = flow.back(ticks, pull @ blocks["v"])
    seen = tape.read[..., : s.head_rows]
    found = {
        "w_in": tape.u.mT @ gates,
        "w_heads": torch.einsum("tka,tkm->kam", seen, heads),
        "b_z": heads[..., s.outputs :].sum(0),
        "v": pull.mT @ tape.z,
        "c": pull.sum(0),
    }
    flat = work.f32[s.at_gradient : s.at_gradient + s.weights]
    for name, block in layout.split(s, flat).items():
        block += found[name].cpu().numpy()
    return float(error.square().sum())


def _swept(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the ticks of all windows with new labels, newest first, each once."""
    full = spans[spans[:, 2] >= spans[:, 1]]
    windows = [np.arange(first, last + 1) for first, _, last in full]
    return np.unique(np.concatenate(windows))[::-1]


def _news(
    s: Any, row: Arena, spans: NDArray[np.int64], ticks: NDArray[np.int64]
) -> Floats:
    """Give the labels [T, Q] to learn from; NaN for an absent label."""
    labels = matrix(row.f32, s.at_labels, s.ring, s.horizons)[ticks % (s.ring - 1)]
    fresh = (spans[:, 1] <= ticks[:, None]) & (ticks[:, None] <= spans[:, 2])
    return np.where(fresh, labels, np.array(np.nan, labels.dtype))


class _Flow:
    """Gradients through the memory R and the output z of T ticks, newest first.

    With S the rotated memory, f the forget gate and θ the angle of a tick,
    R = f S + g i and S = R_before e^{-jθ}. A complex gradient is the gradient of Re
    plus j times the gradient of Im.
    """

    def __init__(
        self, s: Any, tape: Tape, blocks: dict[str, Tensor], reach: Tensor
    ) -> None:
        at, d, m = _at(s), s.states, s.outputs
        self._at, self._states = at, d
        self._heads = blocks["w_heads"]
        self._z_rows = blocks["w_in"][s.inputs : s.inputs + m]
        self._sees_phase = s.head_rows > d
        self._gates = {name: tape.gates[:, where] for name, where in at.items()}
        o = self._gates["o"].unflatten(-1, (s.frequencies, m))
        self._gate_slope = tape.out * o * (1 - o)
        self._value_slope = o * (1 - tape.out**2)
        amplitude, re, im = tape.read.chunk(3, -1)
        self._direction = torch.complex(re / amplitude, im / amplitude)
        self._turned = torch.complex(*tape.turned.chunk(2, -1))
        # The gradient through a rotation by e^{-jθ} rotates by e^{jθ}.
        self._unturn = torch.complex(tape.turn[:, 0], tape.turn[:, 1])
        kept = FORGET_CAP * self._gates["f_fre"][:, :, None]
        base = kept * self._gates["f_ste"][:, None, :]
        self._forget, self._forget_slope = base, torch.ones_like(base)
        if s.clocked:
            base = base.clamp_min(torch.finfo(base.dtype).tiny)
            tau = tape.tau[:, None, None]
            self._forget = base**tau
            self._forget_slope = tau * self._forget / base
        self._angle_slope = tape.tau[:, None] * reach * (1 - tape.turn[:, 2] ** 2)

    def back(self, ticks: NDArray[np.int64], dz: Tensor) -> tuple[Tensor, Tensor]:
        """Carry the gradient back over the ticks.

        Args:
            ticks: their numbers, newest first; no gradient flows across a missing tick.
            dz: gradient of z from the labels [T, M].

        Returns:
            Gradients of the pre-activations: of the gates [T, G], heads [T, K, 2M].
        """
        every = list(self._each(ticks, dz))
        return torch.stack([g for g, _ in every]), torch.stack([h for _, h in every])

    def _each(
        self, ticks: NDArray[np.int64], dz: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        carry, carry_z = torch.zeros_like(self._turned[0]), torch.zeros_like(dz[0])
        for t in range(len(ticks)):
            if t > 0 and ticks[t] != ticks[t - 1] - 1:
                carry, carry_z = torch.zeros_like(carry), torch.zeros_like(carry_z)
            heads, d_r = self._through_heads(t, dz[t] + carry_z, carry)
            gates, carry = self._through_memory(t, heads, d_r)
            carry_z = self._z_rows @ gates
            yield gates, heads

    def _through_heads(
        self, t: int, dz: Tensor, carry: Tensor
    ) -> tuple[Tensor, Tensor]:
        heads = torch.cat([dz * self._gate_slope[t], dz * self._value_slope[t]], -1)
        seen = torch.einsum("km,kam->ka", heads, self._heads)
        d = self._states
        d_r = carry + seen[:, :d] * self._direction[t]
        if self._sees_phase:
            d_r = d_r + torch.complex(seen[:, d : 2 * d], seen[:, 2 * d :])
        return heads, d_r

    def _through_memory(
        self, t: int, heads: Tensor, d_r: Tensor
    ) -> tuple[Tensor, Tensor]:
        ste, fre, g, i = (self._gates[name][t] for name in ("f_ste", "f_fre", "g", "i"))
        d_f = (d_r.conj() * self._turned[t]).real * self._forget_slope[t]
        d_drive = d_r.real.sum(0)
        d_turned = self._forget[t] * d_r
        d_angle = (d_turned.conj() * self._turned[t]).imag.sum(-1)
        named = {
            "f_ste": FORGET_CAP * (fre @ d_f) * ste * (1 - ste),
            "f_fre": FORGET_CAP * (d_f @ ste) * fre * (1 - fre),
            "g": d_drive * i * g * (1 - g),
            "i": d_drive * g * (1 - i * i),
            "omega": d_angle * self._angle_slope[t],
            "o": heads[:, : heads.shape[-1] // 2].flatten(),
        }
        gates = torch.cat([named[name] for name in self._at])
        return gates, d_turned * self._unturn[t][:, None]


def norm(send: Send, gradient: Floats) -> float:
    """Give the Euclidean norm, as `kernels.learning.adam.norm` does."""
    return float(torch.linalg.vector_norm(send(gradient)))


def descend(
    send: Send,
    weights: Floats,
    moment: Floats,
    moment2: Floats,
    gradient: Floats,
    size: float,
    clip: float,
    lr: float,
    count: int,
) -> None:
    """Take the optimiser's step, as `kernels.learning.adam.step` does."""
    g = send(gradient) * (clip / size if size > clip else 1.0)
    first = BETA1 * send(moment) + (1 - BETA1) * g
    second = BETA2 * send(moment2) + (1 - BETA2) * g * g
    pace, spread = lr / (1 - BETA1**count), torch.sqrt(second / (1 - BETA2**count))
    after = send(weights) - pace * first / (spread + EPSILON)
    for into, value in ((moment, first), (moment2, second), (weights, after)):
        into[...] = value.cpu().numpy()
