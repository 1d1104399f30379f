"""A bank driven by hand through the shipped entry, for the tests of the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sfm_stream import config
from sfm_stream.backends import contract
from sfm_stream.events import ALL_STREAMS, CONTROL, GAP, HEARTBEAT, TICK
from sfm_stream.kernels.rows import ALL_ROWS, Events, Out
from sfm_stream.kernels.tick import LEARN, OBSERVE, PEEK
from sfm_stream.state import arena, bank, inputs, layout, places

__all__ = ["LEARN", "OBSERVE", "PEEK", "Rig", "control", "gap", "heartbeat", "join",
           "ticks", "tones"]  # fmt: skip
START = 1_700_000_000 * 10**9
SECOND = 10**9
SMALL = {
    "model": {"states": 5, "frequencies": 4, "outputs": 6, "longest_period": 32.0,
              "longest_memory": 32.0},
    "features": {"lags": 3},
}  # fmt: skip


class Said(NamedTuple):
    """Records of a call, as the kernels write them; see `rows.Out`."""

    forecasts: np.ndarray
    forecast_numbers: np.ndarray
    scores: np.ndarray
    score_numbers: np.ndarray
    notices: np.ndarray
    notice_numbers: np.ndarray


class Rig:
    """A bank, the entry that advances it, and room for what it says."""

    def __init__(
        self, tree=None, fields=("value",), *, backend="numba", real=np.float32, rows=1
    ):
        merged = {k: dict(v) for k, v in SMALL.items()}
        for section, values in (tree or {}).items():
            merged.setdefault(section, {}).update(values)
        self.config = config.from_tree(merged)
        plan = inputs.plan(self.config, fields)
        self.bank = bank.Bank(self.config, plan, real)
        self.bank.grow(rows * len(plan.targets))
        self.sizes = self.bank.layout.sizes
        self.advance = contract.choose(backend, "cpu").advance

    def run(self, events, phase=OBSERVE + LEARN, start=0, stop=None):
        """Take the events through the phases; give what was said."""
        stop = len(events.kind) if stop is None else stop
        layout, s, count = self.bank.layout, self.sizes, stop - start
        most = (count + s.ring) * s.horizons * len(self.bank) + 8
        out = Out(
            np.zeros((most, 6), np.int64),
            np.zeros((most, s.bounds + s.experts + s.frequencies)),
            np.zeros((most, 6), np.int64),
            np.zeros((most, 5)),
            np.zeros((3 * most, 6), np.int64),
            np.zeros((3 * most, 2)),
            np.zeros(3, np.int64),
        )
        reached = self.advance(
            layout.settings, layout.tables, self.bank.rows, self.bank.work,
            events, start, stop, phase, out,
        )  # fmt: skip
        assert reached == stop
        a, b, c = out.counts
        return Said(
            out.forecast_int[:a], out.forecast_num[:a], out.score_int[:b],
            out.score_num[:b], out.notice_int[:c], out.notice_num[:c],
        )  # fmt: skip

    def view(self, name):
        """Give an array of the bank's first row."""
        return self.bank.view(name)[0]

    def gradient(self):
        """Give the named blocks of the last gradient."""
        if self.sizes.late:
            flat = self.view("stripe_gradient")
        else:
            there = places.work_places(self.sizes)
            flat = arena.view(self.bank.work, there, "gradient")[0]
        return layout.split(self.sizes, flat)

    def stir(self, size=0.3, seed=3):
        """Move all weights off their values at birth, where some are zero."""
        weights = self.bank.view("weights")
        rng = np.random.default_rng(seed)
        weights += size * rng.standard_normal(weights.shape) / np.sqrt(self.sizes.gates)
        return self


def ticks(values, time=None, stream=0):
    """Make ticks of values [T] or [T, F], a second apart unless times are given."""
    values = np.asarray(values, np.float64)
    values = np.ascontiguousarray(values.reshape(len(values), -1))
    count = len(values)
    if time is None:
        time = START + SECOND * np.arange(count)
    return Events(
        kind=np.full(count, TICK, np.int8),
        stream=np.full(count, stream, np.int64),
        row=np.full(count, stream, np.int64),
        time=np.asarray(time, np.int64),
        values=values,
        code=np.zeros(count, np.int64),
        seq=np.arange(count, dtype=np.int64),
    )


def gap(time, width=1):
    """Make one gap of all streams."""
    return _bare(GAP, time, width)


def heartbeat(time, width=1):
    """Make one heartbeat of all streams."""
    return _bare(HEARTBEAT, time, width)


def control(time, code, width=1):
    """Make one control of all streams."""
    events = _bare(CONTROL, time, width)
    events.code[:] = code
    return events


def _bare(kind, time, width):
    events = ticks(np.full((1, width), np.nan), [time])
    events.kind[:], events.row[:], events.stream[:] = kind, ALL_ROWS, ALL_STREAMS
    return events


def join(*parts):
    """Put events one after another and number them anew."""
    joined = Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return joined._replace(seq=np.arange(len(joined.kind), dtype=np.int64))


def tones(count, seed=0):
    """Give two tones with a little noise [T]."""
    t = np.arange(count)
    noise = np.random.default_rng(seed).standard_normal(count)
    return np.sin(2 * np.pi * t / 20) + 0.5 * np.sin(2 * np.pi * t / 7.3) + 0.1 * noise


def irregular(count, seed=0, most=3_000):
    """Give times [T] in ns, up to `most` ms apart, some of them equal."""
    steps = np.random.default_rng(seed).integers(0, most, count)
    return START + 10**6 * np.cumsum(steps)
