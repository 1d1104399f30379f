"""Records of all kinds, made up, and what files hold of them."""

from __future__ import annotations

import errno

import msgspec
import numpy as np

from sfm_stream import records, sinks
from sfm_stream.events import CONTROLS
from sfm_stream.records import KINDS, Records

EXPERTS = ("last", "rls", "sfm")
TABLES = {
    "target": ("mid", "spread"),
    "horizon": ("1", "10", "1s"),
    "experts": EXPERTS,
    "skipped": records.SKIPPED_REASONS,
    "field": ("", "bid"),
    "voided.reason": records.VOIDED_REASONS,
    "rejected.reason": records.REJECTED_REASONS,
    "decisions.action": CONTROLS,
}


def some(start, ticks, streams=("a", "b"), seed=0):
    """Make records of all kinds; each tick says two forecasts and a score."""
    rng = np.random.default_rng([seed, start])
    seq = np.arange(start, start + ticks)

    def names(count, *wanted):
        tables = {"stream": streams, **TABLES}
        return {
            name: rng.integers(0, len(tables[name]), count).astype(np.int32)
            for name in wanted
        }

    twice = np.repeat(seq, 2)
    amplitude = rng.random((2 * ticks, 4)).astype(np.float32)
    amplitude[1::2] = np.nan
    lower = rng.normal(size=2 * ticks)
    lower[rng.random(2 * ticks) < 0.3] = np.nan
    covered = rng.integers(-1, 2, ticks).astype(np.int8)
    width = np.where(covered < 0, np.nan, rng.random(ticks))
    forecasts = {
        "seq": twice,
        **names(2 * ticks, "stream", "target", "horizon"),
        "origin": twice - start,
        "time": twice * 10**9,
        "due": twice + 1,
        "mean": rng.normal(size=2 * ticks),
        "lower": lower,
        "upper": lower + 1,
        "weights": rng.random((2 * ticks, 3)),
        "amplitude": amplitude,
        "quantiles": lower[:, None] + np.linspace(0, 1, 4),
    }
    scores = {
        "seq": seq,
        **names(ticks, "stream", "target", "horizon"),
        "origin": seq - 1,
        "time": seq * 10**9,
        "truth": rng.normal(size=ticks),
        "mean": rng.normal(size=ticks),
        "naive": rng.normal(size=ticks),
        "covered": covered,
        "winkler": 2 * width,
        "crps": width,
    }
    few = seq[::5]
    updates = {
        "seq": few,
        **names(len(few), "stream", "target"),
        "version": few,
        "labels": few,
        "loss": rng.random(len(few)),
        "norm": rng.random(len(few)),
        **names(len(few), "skipped"),
    }
    voided = {
        "seq": few,
        **names(len(few), "stream", "target", "horizon"),
        "origin": few,
        "reason": rng.integers(0, 2, len(few)).astype(np.int8),
    }
    rejected = {
        "seq": few,
        **names(len(few), "stream"),
        "time": few,
        **names(len(few), "field"),
        "reason": rng.integers(0, 6, len(few)).astype(np.int8),
    }
    decisions = {
        "seq": few[::2],
        "stream": rng.integers(0, len(streams) + 1, len(few[::2])),
        "time": few[::2],
        "action": rng.integers(0, len(CONTROLS), len(few[::2])),
    }
    choices = {
        "seq": few[:1],
        **names(len(few[:1]), "stream", "target"),
        "place": np.zeros(len(few[:1]), np.int64),
        "field": np.zeros(len(few[:1]), np.int64),
        "correlation": rng.random(len(few[:1])),
        "least": rng.random(len(few[:1])),
    }
    columns = {
        "forecasts": forecasts,
        "scores": scores,
        "updates": updates,
        "voided": voided,
        "rejected": rejected,
        "decisions": decisions,
        "choices": choices,
    }
    tables = {"stream": streams, "decisions.stream": ("", *streams), **TABLES}
    return Records(columns, tables)


def cut(block, *seqs):
    """Cut records into blocks, each up to the event of the next seq."""
    blocks = []
    for start, stop in zip((0, *seqs), (*seqs, 10**9), strict=True):
        columns = {
            kind: {
                name: column[slice(*named["seq"].searchsorted((start, stop)))]
                for name, column in named.items()
            }
            for kind, named in block.columns.items()
        }
        blocks.append(Records(columns, block.tables))
    return blocks


def plain_rows(kind, written):
    """Give the records of a kind, as `Records.rows` tells them, as Parquet rows."""
    for block in written:
        for record in block.rows():
            if type(record) is KINDS[kind]:
                row = msgspec.structs.asdict(record)
                if kind == "forecasts":
                    weights = zip(EXPERTS, row.pop("weights"), strict=True)
                    row |= {f"weight_{name}": value for name, value in weights}
                    for name in ("amplitude", "quantiles"):
                        row[name] = list(row[name]) or None
                yield row


def stored_rows(folder, kind):
    return [row for part in sinks.read(folder, kind) for row in part.to_dicts()]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
