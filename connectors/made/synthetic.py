"""Generated signals: the same ticks for the same seed, from any tick on.

Signals are made in chunks. The random numbers of a chunk come from a generator seeded
by seed and chunk, so no tick depends on where reading began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from connectors import options
from sfm_stream.config import Config
from sfm_stream.events import Block, Floats, Ints
from sfm_stream.feeds import FIRST_TIME, chosen
from sfm_stream.settings.sections import Count, Positive, Section, doc

CHUNK = 1024
WHOLE_SIGNAL, NOISE, REGIME, JUMP = range(4)
FULL_TURN = 2 * np.pi
TONES = ((1.0, 8.0, 12.0), (0.7, 20.0, 32.0), (0.5, 60.0, 90.0))
"""Amplitude and range of the period, in ticks, of each tone."""
DRIFT_PERIOD = (2_000.0, 6_000.0)
DRIFT = 0.1
SWEEP = 4_096
SWEEP_TURNS = (64, 512)
REGIME_PERIOD = (6.0, 60.0)
REGIME_LEVEL = 2.0
WAVE_PERIOD = (15.0, 125.0)
WAVE_AMPLITUDE = (0.75, 2.0)
WAVE_DUTY = (0.25, 0.75)


class SyntheticOptions(Section, frozen=True):
    """The options of a generated signal."""

    signal: Annotated[
        Literal["tones", "chirp", "regimes", "square", "sawtooth"],
        doc("shape of the signal"),
    ] = "tones"
    ticks: Annotated[Positive, doc("length of the signal")] = 20_000
    noise: Annotated[float, Meta(ge=0), doc("standard deviation of its noise")] = 0.1
    seed: Annotated[Count, doc("seed of the signal")] = 0
    series: Annotated[
        Positive, doc("signals side by side, `value` and from the second `value2`")
    ] = 1


class Synthetic:
    """A generated signal with one field, `value`; or several, each with its own seed.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if a path or another key of rows is set.
        FeedError: if a wanted field does not exist.
    """

    options = SyntheticOptions

    def __init__(self, config: Config) -> None:
        options.expect_unset(config.feed, options.OF_ROWS)
        self._made = options.read(config.feed, SyntheticOptions)
        there = ("value", *(f"value{i}" for i in range(2, self._made.series + 1)))
        self._chosen = chosen(there, config.stream.fields, "synthetic")
        self.fields = tuple(there[i] for i in self._chosen)
        self._stream = config.stream.name
        self._period = config.feed.period

    def source(self) -> dict[str, Any]:
        """Give the connector, the seed and the parameters."""
        made = self._made
        return {
            "connector": "synthetic",
            "signal": made.signal,
            "ticks": made.ticks,
            "noise": made.noise,
            "seed": made.seed,
            "period": self._period.text,
            **({"series": made.series} if made.series > 1 else {}),
        }

    def total(self) -> int | None:
        """Give the number of ticks."""
        return self._made.ticks

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the signal as blocks of at most `size` ticks."""
        for start in range(after, self._made.ticks, size):
            stop = min(start + size, self._made.ticks)
            time = FIRST_TIME + np.arange(start, stop, dtype=np.int64) * self._period.ns
            values = [self._values(number, start, stop) for number in self._chosen]
            yield Block.ticks(time, np.stack(values, 1), streams=(self._stream,))

    def _values(self, number: int, start: int, stop: int) -> Floats:
        chunks = range(start // CHUNK, -(-stop // CHUNK))
        made = np.concatenate([self._chunk(number, i) for i in chunks])
        first = chunks.start * CHUNK
        return made[start - first : stop - first]

    def _chunk(self, number: int, index: int) -> Floats:
        seed = self._made.seed + number
        ticks = np.arange(index * CHUNK, (index + 1) * CHUNK, dtype=np.int64)
        clean = SIGNALS[self._made.signal](ticks, seed)
        noise = _random(seed, NOISE, index).standard_normal(CHUNK)
        return clean + self._made.noise * noise


def _random(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    return np.random.default_rng((seed, purpose, index))


def _tones(ticks: Ints, seed: int) -> Floats:
    """Three sines whose frequencies drift by a tenth, slowly, each with its period."""
    random = _random(seed, WHOLE_SIGNAL)
    value = np.zeros(len(ticks))
    for amplitude, shortest, longest in TONES:
        turn = FULL_TURN / random.uniform(shortest, longest)
        slow = FULL_TURN / random.uniform(*DRIFT_PERIOD)
        begin, lead = random.uniform(0, FULL_TURN, 2)
        # The derivative of the phase is turn * (1 + DRIFT cos(slow t + lead)).
        drift = DRIFT * turn / slow * np.sin(slow * ticks + lead)
        value += amplitude * np.sin(turn * ticks + drift + begin)
    return value


def _chirp(ticks: Ints, seed: int) -> Floats:
    """A sine whose frequency rises for SWEEP ticks, then falls for SWEEP ticks, etc."""
    begin = _random(seed, WHOLE_SIGNAL).uniform(0, FULL_TURN)
    slowest, fastest = SWEEP_TURNS
    at = (ticks % (2 * SWEEP)) / SWEEP
    rise = np.minimum(at, 1)
    fall = np.maximum(at - 1, 0)
    # Each sweep has a whole number of turns, so the phase can start at 0 each time.
    turns = slowest * rise + (fastest - slowest) * rise**2 / 2
    turns += fastest * fall - (fastest - slowest) * fall**2 / 2
    return np.sin(FULL_TURN * turns + begin)


def _regimes(ticks: Ints, seed: int) -> Floats:
    """Two sines and a level that all change at a random tick of each chunk."""
    index = int(ticks[0]) // CHUNK
    jump = _random(seed, JUMP, index).integers(CHUNK)
    before, since = (_regime(ticks, seed, i) for i in (index, index + 1))
    return np.where(np.arange(len(ticks)) < jump, before, since)


def _regime(ticks: Ints, seed: int, index: int) -> Floats:
    random = _random(seed, REGIME, index)
    level = random.uniform(-REGIME_LEVEL, REGIME_LEVEL)
    periods = random.uniform(*REGIME_PERIOD, 2)
    begins = random.uniform(0, FULL_TURN, 2)
    angle = FULL_TURN * ticks[:, None] / periods + begins
    wave: Floats = np.sin(angle) @ np.array([1.0, 0.5])
    return level + wave


def _square(ticks: Ints, seed: int) -> Floats:
    """A square wave of random amplitude, period, duty and phase."""
    amplitude, phase, duty = _wave(ticks, seed)
    return np.where(phase < duty, amplitude, -amplitude)


def _sawtooth(ticks: Ints, seed: int) -> Floats:
    """A sawtooth wave of random amplitude, period and phase."""
    amplitude, phase, _ = _wave(ticks, seed)
    return amplitude * (2 * phase - 1)


def _wave(ticks: Ints, seed: int) -> tuple[float, Floats, float]:
    """Draw amplitude and duty; give them and the phase in turns, from 0 to 1."""
    random = _random(seed, WHOLE_SIGNAL)
    amplitude = random.uniform(*WAVE_AMPLITUDE)
    turns = ticks / random.uniform(*WAVE_PERIOD) + random.uniform()
    return amplitude, turns % 1, random.uniform(*WAVE_DUTY)


SIGNALS: dict[str, Callable[[Ints, int], Floats]] = {
    "tones": _tones,
    "chirp": _chirp,
    "regimes": _regimes,
    "square": _square,
    "sawtooth": _sawtooth,
}
