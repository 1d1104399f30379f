"""The layout of a bank: the sizes, settings and arrays of its rows.

The arrays lie side by side in an `Arena`; compiled code finds them by the offsets
`at_<name>` in `Layout.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from sfm_stream.cell import frequencies as grids
from sfm_stream.cell import parameters
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError
from sfm_stream.state import ring, targets
from sfm_stream.state.arena import Arena, Place, arena, offsets, row_size, view
from sfm_stream.state.experts import (
    SEASON,
    SIZE,
    clips,
    regressors,
    ridges,
    squares,
    trust,
    uses_cell,
)
from sfm_stream.state.inputs import Plan
from sfm_stream.state.places import (
    GAPS,
    MISSING,
    TRACKERS,
    Sizes,
    again_places,
    again_sizes,
    held_places,
    places,
    table_places,
    weight_count,
    work_places,
)

# The largest size of a row, bytes.
LARGEST_ROW = 4 << 30
GROWS = (
    ("model", "states"), ("model", "frequencies"), ("model", "outputs"),
    ("learn", "window"), ("learn", "replay"), ("learn", "max_pending"),
    ("features", "lags"), ("features", "errors"), ("target", "horizons"),
)  # fmt: skip
"""Sections and keys that determine the size of a row."""


class Knobs(NamedTuple):
    """The real numbers of the compiled tick."""

    lr: float
    clip: float  # norm of the gradient
    scale: float  # memory of running statistics, ticks
    ridge: float
    input_clip: float  # deviations
    farthest_seen: float  # the widest clip of any expert, deviations


@dataclass(frozen=True, slots=True)
class Layout:
    """The fixed properties of a bank; only the ring may grow.

    Attributes:
        sizes: see `Sizes`.
        knobs: see `Knobs`.
        settings: sizes, knobs and the offset `at_<name>` of every place as structured
            records [2]: for a row, and for a row whose tape and weights are in `work`,
            where a window of the past runs again.
        places: every array of a row.
        plan: turns fields into inputs.
        tables: arena [1, ...] of `table_places`.
        omega: float64 [K], radians per tick.
    """

    sizes: Sizes
    knobs: Knobs
    settings: NDArray[np.void]
    places: tuple[Place, ...]
    plan: Plan
    tables: Arena
    omega: NDArray[np.float64]


def lay_out(config: Config, plan: Plan, slots: int | None = None) -> Layout:
    """Lay out the rows of a bank.

    Args:
        config: the settings.
        plan: turns fields into inputs.
        slots: of the ring of stored ticks; None for the full ring.

    Raises:
        ConfigError: if the frequencies are invalid, or a row is too large.
    """
    s = _sizes(config, plan)
    _expect_to_fit(s, config, plan)
    s = s._replace(ring=slots or s.ring)
    omega = grids.frequencies(
        config.model.grid, config.model.frequencies, config.model.longest_period
    )
    knobs = Knobs(
        lr=config.learn.lr,
        clip=config.learn.clip,
        scale=float(config.features.scale),
        ridge=config.forecast.ridge,
        input_clip=config.forecast.input_clip,
        farthest_seen=max([config.forecast.input_clip, *clips(config)]),
    )
    return Layout(
        sizes=s,
        knobs=knobs,
        settings=_settings(s, knobs),
        places=places(s),
        plan=plan,
        tables=_tables(config, s, plan, omega),
        omega=omega,
    )


def with_ring(layout: Layout, slots: int) -> Layout:
    """Give the layout of the same rows with a ring of another size."""
    s = layout.sizes._replace(ring=slots)
    settings = _settings(s, layout.knobs)
    settings["lr"] = layout.settings["lr"]  # it may have been tuned
    return replace(layout, sizes=s, settings=settings, places=places(s))


def size(layout: Layout, rows: int) -> int:
    """Give the bytes of a bank with `rows` rows.

    Args:
        layout: of the rows.
        rows: streams times targets.
    """
    return rows * row_size(layout.places) + row_size(work_places(layout.sizes))


def _expect_to_fit(s: Sizes, config: Config, plan: Plan) -> None:
    """Refuse a row above `LARGEST_ROW`, before memory is allocated.

    Raises:
        ConfigError: naming the key whose default would reduce the size the most.
    """
    total = _total(s)
    if total > LARGEST_ROW:
        # the first key whose default is enough, or else the one that reduces most
        section, key = min(
            GROWS,
            key=lambda one: max(LARGEST_ROW, _total_at_default(config, plan, *one)),
        )
        raise ConfigError(
            f"{section}.{key}",
            f"expected a model of at most {LARGEST_ROW >> 30} GiB per stream and "
            f"target, was {total / (1 << 30):,.1f} GiB",
            "lower it",
        )


def _total(s: Sizes) -> int:
    return row_size(places(s)) + row_size(work_places(s))


def _total_at_default(config: Config, plan: Plan, section: str, key: str) -> int:
    """Compute the bytes of a row with the default for one key."""
    usual = getattr(getattr(Config(), section), key)
    table = structs.replace(getattr(config, section), **{key: usual})
    return _total(_sizes(structs.replace(config, **{section: table}), plan))


def _settings(s: Sizes, knobs: Knobs) -> NDArray[np.void]:
    at: dict[str, int] = {}
    for table in (places(s), table_places(s), work_places(s)):
        at |= {f"at_{name}": begin for name, begin in offsets(table).items()}
    if s.late:  # the arrays of a striped update are in the row
        at |= {
            f"at_{place.name}": at.get(f"at_stripe_{place.name}", at["at_weights"])
            for place in held_places(s)
        }
    values = s._asdict() | knobs._asdict() | at
    again = values | again_sizes(s)._asdict()
    for place in again_places(s):
        again[place.name.replace("again_", "at_")] = at[f"at_{place.name}"]
    kinds = [(k, "f8" if k in Knobs._fields else "i8") for k in values]
    rows = [tuple(values.values()), tuple(again.values())]
    # A GPU reads numbers that are not aligned byte by byte.
    return np.array(rows, np.dtype(kinds, align=True))


def _tables(config: Config, s: Sizes, plan: Plan, omega: NDArray[np.float64]) -> Arena:
    table = table_places(s)
    made = arena(1, table)
    linear, forgetting = squares(config, s.inputs)
    levels = config.forecast.levels
    for name, value in {
        "forgetting": forgetting,
        "clips": clips(config),
        "squares": linear,
        "turn": np.stack([np.cos(omega), np.sin(omega), omega]),
        "reach": grids.spacing(omega),
        "prior": trust(config),
        "ridges": ridges(config, s.inputs),
        "levels": levels,
        "usual": [NormalDist().inv_cdf(0.5 + 0.5 * level) for level in levels],
        "even": np.full(TRACKERS, 1.0 / TRACKERS),
        "signals": plan.signals,
        "target": plan.target,
        "inputs": plan.inputs,
        "horizons": targets.horizon_table(config),
    }.items():
        view(made, table, name)[0] = value
    return made


def _sizes(config: Config, plan: Plan) -> Sizes:
    model, learn = config.model, config.learn
    experts = list(config.forecast.experts)
    n, m = int(plan.inputs.shape[1]), model.outputs
    cell = cell_sizes(config, n)
    lags = config.features.lags
    linear, _ = squares(config, n)
    s = Sizes(
        fields=len(plan.fields),
        signals=len(plan.signals),
        inputs=n,
        states=model.states,
        frequencies=model.frequencies,
        outputs=m,
        horizons=len(targets.horizon_table(config)),
        experts=len(experts),
        lags=lags,
        targets=len(plan.targets),
        levels=len(config.forecast.levels),
        bounds=1 + 2 * len(config.forecast.levels),
        ring=ring.whole(config),
        kept=learn.replay // learn.window if "sfm" in experts else 0,
        window=learn.window,
        every=learn.every,
        late=ring.late(config),
        max_pending=learn.max_pending,
        gates=cell.gate_columns,
        head_rows=cell.head_rows,
        adaptive=int(cell.adaptive),
        errors=config.features.errors,
        regressors=int(regressors(config, n)[-1]),
        z_seen=int(regressors(config, n)[1]),
        seasons=SEASON * config.features.seasons,
        squares=len(linear),
        theta=int(linear[:, SIZE].sum()),
        cov=int((linear[:, SIZE] ** 2).sum()),
        cell=int(uses_cell(config)),
        learns=int("sfm" in experts),
        predict=targets.PREDICT[config.target.predict],
        missing=MISSING[config.stream.missing],
        gap=GAPS[learn.gap],
        max_gap=config.stream.max_gap.ns,
        clocked=int(config.stream.clock == "time"),
        sfm_at=_index(experts, "sfm"),
        last_at=_index(experts, "last"),
        shared=int(model.shared and uses_cell(config)),
        helpers=plan.helpers,
        screened=config.features.screened,
        weights=0,
    )
    return s._replace(weights=weight_count(s))


def _index(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1


def cell_sizes(config: Config, inputs: int) -> parameters.Sizes:
    """Give the sizes of the cell for a number of inputs."""
    model = config.model
    return parameters.Sizes(
        inputs=inputs,
        states=model.states,
        frequencies=model.frequencies,
        outputs=model.outputs,
        adaptive=model.cell == "a-sfm",
        phase=model.readout == "amplitude+phase",
        longest_period=model.longest_period,
        longest_memory=model.longest_memory,
    )


def split(s: Sizes, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Give the blocks of a flat vector of weights or gradients, sharing memory.

    Args:
        s: the sizes.
        flat: [weight_count].

    Returns:
        w_in [N+M+1, G], w_heads [K, Din, 2M], b_z [K, M], v [Q, M] and c [Q]: the
        linear heads on z.
    """
    n, k, m, q = s.inputs, s.frequencies, s.outputs, s.horizons
    shapes = {
        "w_in": (n + m + 1, s.gates),
        "w_heads": (k, s.head_rows, 2 * m),
        "b_z": (k, m),
        "v": (q, m),
        "c": (q,),
    }
    blocks, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        blocks[name] = flat[start : start + size].reshape(shape)
        start += size
    return blocks
