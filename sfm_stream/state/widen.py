"""Converts a snapshot for a bank with more fields.

New fields bring new signals and inputs. The learned state of old inputs keeps its place
by name. The state of new inputs is as at birth, with zero weights, so that the wider
bank forecasts the same as the narrow one until it learns more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError
from sfm_stream.state.arena import view
from sfm_stream.state.bank import kept_windows
from sfm_stream.state.experts import COV, FIRST, SIZE, THETA
from sfm_stream.state.inputs import CHANGE, FIELD, LEVEL, LOG_RETURN, OPERANDS
from sfm_stream.state.layout import Layout, split
from sfm_stream.state.places import table_places

BINS, HELD = "bin_", "bin_held"
Array = NDArray[Any]
Places = NDArray[np.intp]


def widen(arrays: Mapping[str, Array], old: Layout, new: Layout) -> dict[str, Array]:
    """Move a snapshot into a wider layout.

    Args:
        arrays: by name, [rows, ...], of the old layout.
        old: the layout of the arrays.
        new: the layout of the same settings with more fields.

    Returns:
        The arrays in the new layout.

    Raises:
        ConfigError: if a field or input of the old layout is absent from the new one,
            or the targets differ.
    """
    _refuse_loss(old, new)
    _expect_targets(old.plan.targets, new.plan.targets)
    _expect_inputs(old, new)
    bins = {n: a for n, a in arrays.items() if n.startswith(BINS)}
    arrays = {n: a for n, a in arrays.items() if n not in bins}
    count = old.sizes.targets
    parts = [
        _widen_target({n: a[i::count] for n, a in arrays.items()}, old, new, i)
        for i in range(count)
    ]
    moved = {name: _by_stream([part[name] for part in parts]) for name in arrays}
    return moved | _widen_bins(bins, old, new)


def _by_stream(parts: list[Array]) -> Array:
    """Join the rows of the targets, in the order of streams, then of targets."""
    if len(parts) == 1:
        return parts[0]
    rows, shape = len(parts) * len(parts[0]), parts[0].shape[1:]
    return np.stack(parts, axis=1).reshape(rows, *shape)


def _expect_inputs(old: Layout, new: Layout) -> None:
    """Refuse fields that are too many for `*` to include all of them.

    Raises:
        ConfigError: naming the inputs that would be lost.
    """
    for before, after in zip(old.plan.names, new.plan.names, strict=True):
        if lost := sorted(set(before) - set(after)):
            problem = f"expected all inputs there were, {', '.join(lost)} absent"
            count = len(new.plan.fields)
            hint = f"begin with features.widest and features.most of {count} or more"
            raise ConfigError("features.widest", problem, hint)


def _expect_targets(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Refuse new fields that change the targets: the state was learned for the old.

    Raises:
        ConfigError: naming the old and the new targets.
    """
    if before != after:
        problem = f"expected the targets {list(before)}, was {list(after)}"
        hint = "name target.values, or put new fields after the first"
        raise ConfigError("stream.fields", problem, hint)


def _widen_bins(
    bins: Mapping[str, Array], old: Layout, new: Layout
) -> dict[str, Array]:
    """Move the open bins; the value of a new field is unknown."""
    fields = np.array([new.plan.fields.index(name) for name in old.plan.fields])
    width = len(new.plan.fields)
    return {
        name: _spread(array, -1, fields, width, np.nan if name == HELD else 0.0)
        if array.ndim > 1
        else array
        for name, array in bins.items()
    }


def _widen_target(
    arrays: Mapping[str, Array], old: Layout, new: Layout, target: int
) -> dict[str, Array]:
    """Move the rows of one target."""
    moved, s = dict(arrays), old.sizes
    seen = _places_of_inputs(old, new, target)
    if s.cell:
        striped = ["stripe_gradient"] if s.late else []
        for name in ("weights", "moment", "moment2", *striped):
            moved[name] = _weights(arrays[name], old, new, seen)
        if s.shared:
            halves = np.split(arrays["pool"], 2, axis=-1)
            wide = [_weights(half, old, new, seen) for half in halves]
            moved["pool"] = np.concatenate(wide, axis=-1)
    for name in ("input_base", "input_mean", "input_var", "input_count"):
        moved[name] = _spread(arrays[name], -1, seen, new.sizes.inputs)
    signals = _places_of_signals(old, new)
    moved["before"] = _spread(
        arrays["before"], -1, signals, new.sizes.signals, fill=np.nan
    )
    _widen_screen(moved, arrays, signals, new)
    gates = np.concatenate([seen, new.sizes.inputs + np.arange(s.outputs + 1)])
    width = new.sizes.inputs + s.outputs + 1
    again = ["stripe_again_tape_u"] if s.late and s.kept else []
    for name in ("tape_u", *again):
        moved[name] = _spread(arrays[name], -1, gates, width)
    moved["kept_u"] = _kept(arrays, seen, new)
    _widen_regressors(moved, old, new, seen)
    return moved


def _kept(arrays: Mapping[str, Array], seen: Places, new: Layout) -> Array:
    """Add the new inputs to the windows of the past; copy only the used places."""
    s, windows = new.sizes, kept_windows(arrays)
    wide = np.zeros(
        (len(arrays["kept_u"]), s.kept, s.window, s.inputs), arrays["kept_u"].dtype
    )
    used = arrays["kept_u"][:, :windows]
    wide[:, :windows] = _spread(used, -1, seen, s.inputs)
    return wide


def _widen_screen(
    moved: dict[str, Array], arrays: Mapping[str, Array], signals: Places, new: Layout
) -> None:
    """Move the statistics for the choice of helpers, and the chosen helpers."""
    s = new.sizes
    if s.helpers == 0 or not arrays["helpers"].size:
        return
    moved["screen"] = _spread(arrays["screen"], -2, signals, s.signals)
    old = arrays["helpers"].astype(np.intp)
    chosen = np.where(old < 0, -1.0, signals[old])
    moved["helpers"] = _spread(chosen, -1, np.arange(chosen.shape[-1]), s.helpers, -1.0)


def _refuse_loss(old: Layout, new: Layout) -> None:
    lost = [name for name in old.plan.fields if name not in new.plan.fields]
    if lost:
        problem = f"expected all of {list(old.plan.fields)}, {lost} absent"
        raise ConfigError("stream.fields", problem, "append new fields to the old ones")


def _places_of_inputs(old: Layout, new: Layout, target: int) -> Places:
    """Give the place of each old input of a target among the new ones."""
    theirs = new.plan.names[target]
    found = [theirs.index(name) for name in old.plan.names[target]]
    # if a target has fewer inputs than another, its last places are unused
    empty = range(len(theirs), len(theirs) + old.sizes.inputs - len(found))
    return np.array([*found, *empty], np.intp)


def _places_of_signals(old: Layout, new: Layout) -> Places:
    """Give the place of each old signal among the new ones."""
    operands = np.array([new.plan.fields.index(name) for name in old.plan.fields])
    moved = old.plan.signals.copy()
    theirs = new.plan.signals.tolist()
    for row in moved:
        used = slice(1, 1 + OPERANDS[int(row[0])])
        row[used] = operands[row[used]]
    return np.array([theirs.index(row) for row in moved.tolist()], np.intp)


def _spread(
    array: Array, axis: int, places: Places, width: int, fill: float = 0.0
) -> Array:
    """Move the elements along an axis to their new places among `width` places."""
    shape = list(array.shape)
    shape[axis] = width
    # zeros that are never written take no memory
    wide = np.full(shape, fill, array.dtype) if fill else np.zeros(shape, array.dtype)
    wide[(slice(None),) * (axis % array.ndim) + (places,)] = array
    return wide


def _weights(flat: Array, old: Layout, new: Layout, seen: Places) -> Array:
    wide = np.zeros((len(flat), new.sizes.weights), flat.dtype)
    for before, after in zip(flat, wide, strict=True):
        ours, theirs = split(old.sizes, before), split(new.sizes, after)
        for name, block in ours.items():
            if name != "w_in":
                theirs[name][...] = block
        n = old.sizes.inputs
        theirs["w_in"][seen] = ours["w_in"][:n]
        theirs["w_in"][new.sizes.inputs :] = ours["w_in"][n:]
    return wide


def _widen_regressors(
    moved: dict[str, Array], old: Layout, new: Layout, seen: Places
) -> None:
    """Add the new inputs to the regressors of least squares; see `experts`."""
    count, added = old.sizes.inputs, new.sizes.inputs - old.sizes.inputs
    first = old.sizes.z_seen
    places = np.arange(old.sizes.regressors)
    places[first + count :] += added
    places[first : first + count] = first + seen
    moved["origin_regressors"] = _spread(
        moved["origin_regressors"], -1, places, new.sizes.regressors
    )
    ridges = view(new.tables, table_places(new.sizes), "ridges")[0]
    thetas, covs = [], []
    for ours, theirs in zip(_squares(old), _squares(new), strict=True):
        size, width = ours[SIZE], theirs[SIZE]
        own = places[ours[FIRST] : ours[FIRST] + size] - theirs[FIRST]
        theta = moved["theta"][..., ours[THETA] : ours[THETA] + size]
        thetas.append(_spread(theta, -1, own, width))
        flat = moved["cov"][..., ours[COV] : ours[COV] + size * size]
        lower = np.tril(flat.reshape(*flat.shape[:-1], size, size))
        square = lower + np.swapaxes(np.tril(lower, -1), -1, -2)
        cov = _spread(_spread(square, -1, own, width), -2, own, width)
        fresh = np.setdiff1d(np.arange(width), own)
        cov[..., fresh, fresh] = 1.0 / ridges[theirs[THETA] + fresh]
        covs.append(cov.reshape(*flat.shape[:-1], width * width))
    if thetas:
        moved["theta"] = np.concatenate(thetas, axis=-1)
        moved["cov"] = np.concatenate(covs, axis=-1)


def trust_anew(cov: Array, layout: Layout, fields: Collection[str]) -> None:
    """Reset the variances of least squares to birth for inputs without any value.

    Forgetting lets these variances grow, so a column that waited for its first value
    would begin with larger variances than a new column.

    Args:
        cov: of all rows, changed in place.
        layout: of the rows.
        fields: names of fields that were missing in every tick.
    """
    s = layout.sizes
    ridges = view(layout.tables, table_places(s), "ridges")[0]
    for target in range(s.targets):
        seen = s.z_seen + _inputs_of(layout, target, fields)
        for _, first, size, theta, begin in _squares(layout):
            at = seen - first
            at = at[(at >= 0) & (at < size)]
            diagonal = begin + at * (size + 1)
            cov[target :: s.targets, :, diagonal] = 1.0 / ridges[theta + at]


def _inputs_of(layout: Layout, target: int, fields: Collection[str]) -> Places:
    """Give the inputs of a target that are made from one of the fields alone."""
    plan = layout.plan
    wanted = [i for i, name in enumerate(plan.fields) if name in fields]
    codes, signals = plan.inputs[target].T
    looks = np.isin(codes, [LEVEL, CHANGE, LOG_RETURN])
    code, field = plan.signals[np.where(looks, signals, 0), :2].T
    return np.flatnonzero(looks & (code == FIELD) & np.isin(field, wanted))


def _squares(layout: Layout) -> list[list[int]]:
    table = view(layout.tables, table_places(layout.sizes), "squares")[0]
    rows: list[list[int]] = table.tolist()
    return rows
