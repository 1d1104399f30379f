"""Converts the output buffers of the kernels into columns or single records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.events import ALL_STREAMS, CONTROL, CONTROLS, Block
from sfm_stream.kernels.records import CHOSEN, REJECTED, UPDATED, VOIDED
from sfm_stream.kernels.rows import Out
from sfm_stream.records import (
    REJECTED_REASONS,
    SKIPPED_REASONS,
    VOIDED_REASONS,
    Choice,
    Forecast,
    Record,
    Rejected,
    Score,
    Update,
    Voided,
)

Column = NDArray[Any]
Columns: TypeAlias = Mapping[str, Mapping[str, Column]]


@dataclass(slots=True)
class Owners:
    """The stream of each row of a bank, and the names behind the numbers in records.

    Attributes:
        streams: names of the streams, in order of appearance.
        of_row: int64, number of the stream of each row.
        targets: names.
        horizons: names.
        fields: names.
        experts: names.
        bounds: the count of numbers for a forecast's mean and interval ends, 1 + 2L.
        tables: the texts that the codes in columns stand for.
    """

    streams: list[str]
    of_row: NDArray[np.int64]
    targets: tuple[str, ...]
    horizons: tuple[str, ...]
    fields: tuple[str, ...]
    experts: tuple[str, ...]
    bounds: int
    tables: Mapping[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.tables = {
            "stream": tuple(self.streams),
            "target": self.targets,
            "horizon": self.horizons,
            "experts": self.experts,
            "updates.skipped": SKIPPED_REASONS,
            "voided.reason": VOIDED_REASONS,
            "rejected.reason": REJECTED_REASONS,
            "rejected.field": (*self.fields, ""),
            "choices.field": self.fields,
            "decisions.stream": ("", *self.streams),
            "decisions.action": CONTROLS,
        }


def columns(out: Out, owners: Owners, nothing: Columns) -> Columns:
    """Copy the written records, as columns of each kind of record.

    Args:
        out: the buffers that the kernels wrote.
        owners: the names of streams, targets and fields.
        nothing: empty columns for the kinds without records; most live ticks need
            some, and building them anew would double the cost of a tick.
    """
    forecasts, scores, notices = out.counts.tolist()
    found = dict(nothing)
    if forecasts:
        where = out.forecast_int[:forecasts].T.copy()
        what = out.forecast_num[:forecasts].copy()
        found["forecasts"] = _forecasts(where, what, owners)
    if scores:
        where, what = out.score_int[:scores].T.copy(), out.score_num[:scores].T.copy()
        found["scores"] = _scores(where, what, owners)
    if notices:
        notes, reals = out.notice_int[:notices], out.notice_num[:notices]
        found |= _notices(notes, reals, owners, set(notes[:, 0].tolist()))
    return found


def nothing(out: Out, owners: Owners) -> Columns:
    """Give the columns of no records."""
    notes, reals = out.notice_int[:0], out.notice_num[:0]
    return {
        "forecasts": _forecasts(out.forecast_int[:0].T, out.forecast_num[:0], owners),
        "scores": _scores(out.score_int[:0].T, out.score_num[:0].T, owners),
        **_notices(notes, reals, owners, {UPDATED, VOIDED, REJECTED}),
    }


def _notices(
    notes: Column, reals: Column, owners: Owners, kinds: Iterable[int]
) -> dict[str, dict[str, Column]]:
    """Give the notices of some kinds; most live ticks have at most one kind."""
    found = {}
    for kind in kinds:
        name, make = NOTICES[kind]
        mine = notes[:, 0] == kind
        found[name] = make(notes[mine].T.copy(), reals[mine].T.copy(), owners)
    return found


def decisions(block: Block, seq: int, numbers: Column) -> Columns:
    """Give the controls of a block, at least one, as columns.

    Args:
        block: a block whose first event has the number `seq`.
        seq: number of events before the block.
        numbers: of the events' streams, or ALL_STREAMS.
    """
    at = np.flatnonzero(block.kind == CONTROL)
    columns = {
        "seq": seq + at,
        "stream": np.maximum(numbers[at], ALL_STREAMS) + 1,
        "time": block.time[at],
        "action": block.code[at],
    }
    return {"decisions": columns}


def join(parts: Sequence[Columns]) -> Columns:
    """Concatenate the columns of consecutive events."""
    if len(parts) == 1:
        return parts[0]
    there: dict[str, list[Mapping[str, Column]]] = {}
    for part in parts:
        for kind, found in part.items():
            there.setdefault(kind, []).append(found)
    return {
        kind: {
            name: np.concatenate([found[name] for found in every]) for name in every[0]
        }
        for kind, every in there.items()
    }


def records(out: Out, owners: Owners) -> list[Record]:
    """Make the records of one event, in the order of `Records.rows`.

    This makes a few Python objects per event: making columns would take ten times as
    long for a live tick.
    """
    forecasts, scores, notices = out.counts.tolist()
    notes = out.notice_int[:notices].tolist() if notices else []
    found: list[Record] = [_rejection(n, owners) for n in notes if n[0] == REJECTED]
    found += [_voiding(n, owners) for n in notes if n[0] == VOIDED]
    if scores:
        wheres, whats = out.score_int[:scores].tolist(), out.score_num[:scores].tolist()
        found += [_score(a, b, owners) for a, b in zip(wheres, whats, strict=True)]
    if forecasts:
        wheres = out.forecast_int[:forecasts].tolist()
        whats = out.forecast_num[:forecasts].tolist()
        found += [_forecast(a, b, owners) for a, b in zip(wheres, whats, strict=True)]
    for i, n in enumerate(notes):
        if n[0] == CHOSEN:
            found.append(_choice(n, out.notice_num[i].tolist(), owners))
    for i, n in enumerate(notes):
        if n[0] == UPDATED:
            found.append(_update(n, out.notice_num[i].tolist(), owners))
    return found


def _owner(row: int, owners: Owners) -> tuple[str, str]:
    target = owners.targets[row % len(owners.targets)]
    return owners.streams[owners.of_row[row]], target


def _known(value: float) -> float | None:
    return None if value != value else value


def _forecast(where: list[int], what: list[float], owners: Owners) -> Forecast:
    seq, row, horizon, origin, time, due = where
    stream, target = _owner(row, owners)
    bounds, split = owners.bounds, owners.bounds + len(owners.experts)
    weights, amplitude = tuple(what[bounds:split]), tuple(what[split:])
    if amplitude and amplitude[0] != amplitude[0]:
        amplitude = ()
    quantiles = () if what[1] != what[1] else tuple(what[1:bounds])
    return Forecast(
        seq, stream, target, owners.horizons[horizon], origin, time, due, what[0],
        _known(what[1]), _known(what[bounds - 1]), weights, amplitude, quantiles,
    )  # fmt: skip


def _score(where: list[int], what: list[float], owners: Owners) -> Score:
    seq, row, horizon, origin, time, covered = where
    stream, target = _owner(row, owners)
    truth, mean, naive, winkler, crps = what
    return Score(
        seq, stream, target, owners.horizons[horizon], origin, time, truth, mean,
        naive, None if covered < 0 else bool(covered), _known(winkler), _known(crps),
    )  # fmt: skip


def _update(note: list[int], what: list[float], owners: Owners) -> Update:
    _, seq, row, version, labels, skipped = note
    stream, target = _owner(row, owners)
    loss, norm = what
    reason = SKIPPED_REASONS[skipped]
    return Update(seq, stream, target, version, labels, loss, norm, reason)


def _choice(note: list[int], what: list[float], owners: Owners) -> Choice:
    _, seq, row, place, field, _ = note
    stream, target = _owner(row, owners)
    return Choice(seq, stream, target, place, owners.fields[field], *what)


def _voiding(note: list[int], owners: Owners) -> Voided:
    _, seq, row, horizon, origin, reason = note
    stream, target = _owner(row, owners)
    name = owners.horizons[horizon]
    return Voided(seq, stream, target, name, origin, VOIDED_REASONS[reason])


def _rejection(note: list[int], owners: Owners) -> Rejected:
    _, seq, stream, time, field, reason = note
    name = owners.fields[field] if field >= 0 else ""
    return Rejected(seq, owners.streams[stream], time, name, REJECTED_REASONS[reason])


def _owned(rows: Column, owners: Owners) -> dict[str, Column]:
    return {"stream": owners.of_row[rows], "target": rows % len(owners.targets)}


def _forecasts(where: Column, what: Column, owners: Owners) -> dict[str, Column]:
    bounds, split = owners.bounds, owners.bounds + len(owners.experts)
    return {
        "seq": where[0],
        **_owned(where[1], owners),
        "horizon": where[2],
        "origin": where[3],
        "time": where[4],
        "due": where[5],
        "mean": what[:, 0],
        "lower": what[:, 1],
        "upper": what[:, bounds - 1],
        "weights": what[:, bounds:split],
        "amplitude": what[:, split:].astype(np.float32),
        "quantiles": what[:, 1:bounds],
    }


def _scores(where: Column, what: Column, owners: Owners) -> dict[str, Column]:
    return {
        "seq": where[0],
        **_owned(where[1], owners),
        "horizon": where[2],
        "origin": where[3],
        "time": where[4],
        "truth": what[0],
        "mean": what[1],
        "naive": what[2],
        "covered": where[5].astype(np.int8),
        "winkler": what[3],
        "crps": what[4],
    }


def _updates(where: Column, what: Column, owners: Owners) -> dict[str, Column]:
    return {
        "seq": where[1],
        **_owned(where[2], owners),
        "version": where[3],
        "labels": where[4],
        "loss": what[0],
        "norm": what[1],
        "skipped": where[5],
    }


def _choices(where: Column, what: Column, owners: Owners) -> dict[str, Column]:
    return {
        "seq": where[1],
        **_owned(where[2], owners),
        "place": where[3],
        "field": where[4],
        "correlation": what[0],
        "least": what[1],
    }


def _voided(where: Column, _: Column, owners: Owners) -> dict[str, Column]:
    return {
        "seq": where[1],
        **_owned(where[2], owners),
        "horizon": where[3],
        "origin": where[4],
        "reason": where[5],
    }


def _rejected(where: Column, _: Column, __: Owners) -> dict[str, Column]:
    return {
        "seq": where[1],
        "stream": where[2],
        "time": where[3],
        "field": where[4],
        "reason": where[5],
    }


NOTICES: Mapping[int, tuple[str, Callable[[Column, Column, Owners], dict[str, Column]]]]
NOTICES = {
    UPDATED: ("updates", _updates),
    VOIDED: ("voided", _voided),
    REJECTED: ("rejected", _rejected),
    CHOSEN: ("choices", _choices),
}
"""The name of each kind of notice, and the function that makes its columns."""
