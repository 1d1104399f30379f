"""The plan that turns a tick's fields into the model's inputs.

A *signal* is a field or a value derived from fields (`mid`, `spread`, ...). An *input*
is a transform of a signal (`level`, `change`, `log-return`) or a function of the time.
The plan consists of small tables of numbers that the kernels interpret, so a new input
needs a code here and one branch in `look` in `kernels/inputs/scale.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config, expect_once
from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.settings import Features
from sfm_stream.settings.derived import MADE_OF

# Codes of signals: a field itself, or a derived value.
FIELD, MID, SPREAD, IMBALANCE, MICROPRICE = range(5)
CODES = {"mid": MID, "spread": SPREAD, "imbalance": IMBALANCE, "microprice": MICROPRICE}
DERIVED = {name: (CODES[name], fields) for name, fields in MADE_OF.items()}
OPERANDS = {FIELD: 1} | {code: len(fields) for code, fields in DERIVED.values()}
"""Number of fields in a signal, by its code."""

# Codes of inputs.
NOTHING, LEVEL, CHANGE, LOG_RETURN, ELAPSED, HELPER = range(6)
HOUR_SIN, HOUR_COS, HALF_DAY_SIN, HALF_DAY_COS, WEEKDAY_SIN, WEEKDAY_COS = range(6, 12)
HANDS = HOUR_SIN
"""Codes from this one on are sines and cosines of the time."""
TRANSFORMS = {"level": LEVEL, "change": CHANGE, "log-return": LOG_RETURN}
CLOCKS = {
    "elapsed": {"elapsed": ELAPSED},
    "hour": {
        "sin day": HOUR_SIN,
        "cos day": HOUR_COS,
        "sin half-day": HALF_DAY_SIN,
        "cos half-day": HALF_DAY_COS,
    },
    "weekday": {"sin week": WEEKDAY_SIN, "cos week": WEEKDAY_COS},
}
CALL = re.compile(r"\s*([a-z-]+)\s*\(\s*([^()]+?)\s*\)\s*")
EVERY_CHANGE = re.compile(r"\s*change\s*\(\s*\*\s*\)\s*")


@dataclass(frozen=True, slots=True)
class Plan:
    """The signals, targets and inputs that the kernels compute from a tick.

    Attributes:
        fields: names of the values of a tick [F].
        targets: names of the targets [Tg].
        signals: int64 [S, 5]: code and up to four fields of each signal.
        target: int64 [Tg]: the signal of each target.
        inputs: int64 [Tg, N, 2]: code and signal of each input; for a HELPER its
            number.
        names: of the inputs, per target [Tg][N].
        helpers: number of signals that a target chooses for itself.
    """

    fields: tuple[str, ...]
    targets: tuple[str, ...]
    signals: NDArray[np.int64]
    target: NDArray[np.int64]
    inputs: NDArray[np.int64]
    names: tuple[tuple[str, ...], ...]
    helpers: int = 0


class _Signals:
    """The table of signals while it is being filled."""

    def __init__(
        self, fields: Sequence[str], targets: Sequence[str], features: Features
    ) -> None:
        self.fields = tuple(fields)
        self._targets, self._features = frozenset(targets), features
        self.rows: list[tuple[int, ...]] = []
        self._places = {name: place for place, name in enumerate(self.fields)}
        self._numbers: dict[str, int] = {}
        for name in fields:
            self.number("stream.fields", name)

    def number(self, at: str, name: str) -> int:
        """Give the row of a signal; add the signal if it is new."""
        if name not in self._numbers:
            self._numbers[name] = len(self.rows)
            self.rows.append(self._row(at, name))
        return self._numbers[name]

    def left_out(self, target: str) -> frozenset[str]:
        """Give the fields that `*` leaves out if there are too many fields.

        Otherwise each of hundreds of targets would see all others. Above
        `features.widest` fields the other targets are left out; above `features.most`
        fields, all other fields.
        """
        count, others = len(self.fields), frozenset(self.fields) - {target}
        if count > (self._features.most or count):
            return others
        if count > (self._features.widest or count):
            return others & self._targets
        return frozenset()

    def _row(self, at: str, name: str) -> tuple[int, ...]:
        if name in self._places:
            return (FIELD, self._places[name], 0, 0, 0)
        if name not in DERIVED:
            hint = did_you_mean(name, [*self.fields, *DERIVED])
            raise ConfigError(
                at, f"expected a field or derived value, was {name!r}", hint
            )
        code, operands = DERIVED[name]
        absent = [o for o in operands if o not in self._places]
        if absent:
            raise ConfigError(
                at,
                f"{name!r} needs the fields {', '.join(operands)}; "
                f"{', '.join(absent)} absent",
                "name them with feed.columns",
            )
        places = [self._places[o] for o in operands]
        return (code, *places, *[0] * (4 - len(places)))


def plan(config: Config, fields: Sequence[str]) -> Plan:
    """Make the plan from the settings and the fields of the feed.

    Args:
        config: the settings.
        fields: names of the values of a tick.

    Raises:
        ConfigError: if a target or input names an unknown field, or if a field or
            target is named twice.
    """
    if isinstance(fields, str):
        problem = f"expected a list of names, was the text {fields!r}"
        raise ConfigError("stream.fields", problem, f"write [{fields!r}]")
    if not fields:
        raise ConfigError("stream.fields", "the feed has no numeric field", "name one")
    targets = tuple(config.target.values) or (fields[0],)
    signals = _Signals(fields, targets, config.features)
    expect_once("stream.fields", fields)
    expect_once("target.values", targets)
    target = [
        signals.number(f"target.values[{i}]", name) for i, name in enumerate(targets)
    ]
    found = [_inputs(config, signals, name) for name in targets]
    helpers = sum(code == HELPER for _, code, _ in found[0])
    width = max(len(rows) for rows in found)
    nothing = ("nothing", NOTHING, 0)
    padded = [rows + [nothing] * (width - len(rows)) for rows in found]
    return Plan(
        fields=tuple(fields),
        targets=targets,
        signals=np.array(signals.rows, np.int64),
        target=np.array(target, np.int64),
        inputs=np.array([[r[1:] for r in rows] for rows in padded], np.int64),
        names=tuple(tuple(r[0] for r in rows) for rows in padded),
        helpers=helpers,
    )


def _inputs(
    config: Config, signals: _Signals, target: str
) -> list[tuple[str, int, int]]:
    rows: dict[tuple[int, int], str] = {}
    for i, text in enumerate(config.features.inputs):
        at = f"features.inputs[{i}]"
        for name, code, signal in _read(at, text, signals, target):
            rows.setdefault((code, signal), name)
    if any(EVERY_CHANGE.fullmatch(text) for text in config.features.inputs):
        wanted = config.features.helpers or 0
        count = min(wanted, len(signals.left_out(target)))
        for number in range(count):
            rows[HELPER, number] = f"helper {number + 1}"
    if not rows:
        raise ConfigError("features.inputs", "expected at least one, was []")
    return [(name, code, signal) for (code, signal), name in rows.items()]


def _read(
    at: str, text: str, signals: _Signals, target: str
) -> list[tuple[str, int, int]]:
    if text in CLOCKS:
        return [(name, code, 0) for name, code in CLOCKS[text].items()]
    if text in TRANSFORMS:
        return [(text, TRANSFORMS[text], signals.number(at, target))]
    call = CALL.fullmatch(text)
    if call is None:
        return [(text, LEVEL, signals.number(at, text))]
    transform, operand = call.groups()
    if transform not in TRANSFORMS:
        hint = did_you_mean(transform, TRANSFORMS)
        raise ConfigError(at, f"expected a transform, was {transform!r}", hint)
    names: Sequence[str] = (operand,)
    if operand == "*":
        others = signals.left_out(target)
        names = [name for name in signals.fields if name not in others]
    return [
        (f"{transform}({n})", TRANSFORMS[transform], signals.number(at, n))
        for n in names
    ]
