from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sfm_stream import config, sinks
from sfm_stream.engine import Engine
from sfm_stream.errors import (
    CheckpointError,
    FeedError,
    ReplayMismatch,
    SinkError,
    SourceChanged,
)
from sfm_stream.events import Block, Gap, Tick
from sfm_stream.running import loops
from sfm_stream.running.replay import replay, resume
from sfm_stream.running.verify import comparing, verify
from sfm_stream.storage import checkpoint, journal, run_folder

SECOND = 10**9
START = 1_600_000_000 * SECOND
TICKS = 500
SETTINGS = config.from_tree(
    {
        "target": {"horizons": [1, 5]},
        "model": {"states": 4, "frequencies": 3, "outputs": 4},
        "run": {"block": 70, "checkpoint_every": 150},
    }
)


class Waves:
    fields = ("value",)

    def __init__(self, seed=0, cut_at=TICKS):
        self.seed, self.cut_at = seed, cut_at
        noise = np.random.default_rng(seed).standard_normal(TICKS)
        self.values = np.sin(np.arange(TICKS) / 5) + 0.1 * noise
        self.time = START + np.arange(TICKS) * SECOND

    def source(self):
        return {"connector": "waves", "seed": self.seed}

    def total(self):
        return TICKS

    def blocks(self, size, after=0):
        for start in range(after, self.cut_at, size):
            part = slice(start, min(start + size, self.cut_at))
            values = self.values[part, None]
            yield Block.ticks(self.time[part], values, streams=("main",))
        if self.cut_at < TICKS:
            raise FeedError("waves", "cut off")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    replay(SETTINGS, Waves(), folder)
    return folder


@pytest.fixture
def copied(made, tmp_path):
    return run_folder.load(shutil.copytree(made, tmp_path / "run"))


def change(run, kind, row, column, value):
    """Change one value in a run's first part of that kind."""
    path = run.records / f"{kind}-000000.parquet"
    frame = pl.read_parquet(path)
    here = pl.int_range(pl.len()) == row
    changed = pl.when(here).then(value).otherwise(column).cast(frame.schema[column])
    frame.with_columns(changed.alias(column)).write_parquet(path)


def on_another_machine(run):
    found = {**run.info["fingerprint"], "cpu": "abacus"}
    info = {**run.info, "fingerprint": found}
    return run_folder.Run(run.folder, run.config, info)


def test_a_run_is_identical_to_its_replay(made):
    found = verify(run_folder.load(made), lambda _: Waves())
    assert found.events == TICKS
    assert found.differences == {}
    assert found.records["forecasts"] == 2 * TICKS
    assert found.records["scores"] == 2 * TICKS - 1 - 5
    assert found.records["updates"] > 0


class Panel(Waves):
    """The same signal as three streams that begin one after another."""

    def blocks(self, size, after=0):
        late = np.minimum(np.arange(TICKS) // 40, 2)
        stream = (np.arange(TICKS) % (1 + late)).astype(np.int32)
        for start in range(after, self.cut_at, size):
            part = slice(start, min(start + size, self.cut_at))
            values, names = self.values[part, None], ("a", "b", "c")
            yield Block.ticks(
                self.time[part], values, streams=names, stream=stream[part]
            )
        if self.cut_at < TICKS:
            raise FeedError("waves", "cut off")


def test_a_run_with_one_cell_for_all_is_identical_to_its_replay(tmp_path):
    tree = config.to_tree(SETTINGS)
    tree["model"]["shared"] = True
    settings = config.from_tree(tree)
    with pytest.raises(FeedError, match="cut off"):
        replay(settings, Panel(cut_at=330), tmp_path)
    resume(run_folder.load(tmp_path), Panel())
    run = run_folder.load(tmp_path)
    found = verify(run, lambda _: Panel())
    assert found.events == TICKS
    assert found.differences == {}
    assert found.records["updates"] > 0
    change(run, "updates", 2, "norm", pl.col("norm") + 1e-9)
    with pytest.raises(ReplayMismatch, match="updates"):
        verify(run, lambda _: Panel())


def test_the_first_difference_is_named(copied):
    change(copied, "scores", 40, "mean", pl.col("mean") + 1e-12)
    change(copied, "scores", 60, "mean", pl.col("mean") + 1)
    with pytest.raises(ReplayMismatch) as caught:
        verify(copied, lambda _: Waves())
    mismatch = caught.value
    assert (mismatch.kind, mismatch.row, mismatch.column) == ("scores", 40, "mean")
    assert mismatch.was - mismatch.expected == pytest.approx(1e-12, rel=0.1)


def test_a_difference_within_an_array_is_named_by_its_place(copied):
    path = copied.records / "forecasts-000000.parquet"
    frame = pl.read_parquet(path)
    amplitude = frame["amplitude"].to_list()
    amplitude[10][2] += 1.0
    series = pl.Series("amplitude", amplitude, frame.schema["amplitude"])
    frame.with_columns(series).write_parquet(path)
    with pytest.raises(ReplayMismatch, match=r"row 10 column 'amplitude\[2\]'"):
        verify(copied, lambda _: Waves())


def test_a_text_that_differs_is_named(copied):
    change(copied, "forecasts", 3, "stream", pl.lit("other"))
    with pytest.raises(ReplayMismatch, match="expected 'main', was 'other'; "):
        verify(copied, lambda _: Waves())


def test_a_missing_part_is_no_run(copied):
    (copied.records / "scores-000000.parquet").rename(
        copied.records / "scores-000001.parquet"
    )
    with pytest.raises(SinkError, match="expected a part, was none"):
        verify(copied, lambda _: Waves())


def test_a_record_lost_at_the_end_is_found(copied):
    *_, last = sorted(copied.records.glob("scores-*.parquet"))
    frame = pl.read_parquet(last)
    frame[:-1].write_parquet(last)
    with pytest.raises(ReplayMismatch, match="expected 'a record', was 'none'"):
        verify(copied, lambda _: Waves())


def test_records_behind_the_last_checkpoint_do_not_count(copied):
    shutil.rmtree(checkpoint.latest(copied.checkpoints))
    found = verify(copied, lambda _: Waves())
    assert found.events == 450


def test_another_machine_is_named_and_held_to_tolerances(copied):
    change(copied, "forecasts", 40, "mean", pl.col("mean") + 1e-7)
    found = verify(on_another_machine(copied), lambda _: Waves())
    assert found.differences["cpu"][0] == "abacus"


def test_a_difference_beyond_tolerances_is_found_on_another_machine(copied):
    change(copied, "forecasts", 40, "mean", pl.col("mean") + 0.1)
    with pytest.raises(ReplayMismatch, match="forecasts row 40 column 'mean'"):
        verify(on_another_machine(copied), lambda _: Waves())


def test_a_missing_number_is_a_difference_within_tolerances_too(copied):
    change(copied, "forecasts", 40, "mean", pl.lit(None))
    with pytest.raises(ReplayMismatch, match=r"column 'mean': expected \S+, was None"):
        verify(on_another_machine(copied), lambda _: Waves())


def test_a_changed_source_is_refused(made):
    with pytest.raises(SourceChanged, match="expected seed 0, was seed 1"):
        verify(run_folder.load(made), lambda _: Waves(seed=1))


def test_a_run_without_checkpoint_cannot_be_verified(copied):
    shutil.rmtree(copied.checkpoints)
    with pytest.raises(CheckpointError, match="let the run go on, or resume it"):
        verify(copied, lambda _: Waves())


def test_a_run_that_met_an_error_is_verified_up_to_it(tmp_path):
    with pytest.raises(FeedError):
        replay(SETTINGS, Waves(cut_at=333), tmp_path / "run")
    found = verify(run_folder.load(tmp_path / "run"), lambda _: Waves(cut_at=333))
    assert found.events == 333


def test_a_warm_run_is_verified_from_where_it_began(made, tmp_path):
    replay(SETTINGS, Waves(), tmp_path / "warm", start=run_folder.load(made))
    found = verify(run_folder.load(tmp_path / "warm"), lambda _: Waves())
    assert found.events == TICKS


def test_a_live_run_is_verified_from_its_journal(tmp_path):
    feed = Waves()
    events = [
        Tick("main", int(t), (float(v),))
        for t, v in zip(feed.time, feed.values, strict=True)
    ]
    events.insert(100, Gap("main", int(feed.time[99]), "reconnected", 3))
    run = live_run(tmp_path / "run", feed, events)

    def no_feed(_):
        raise AssertionError("a live run has no feed to open")

    found = verify(run, no_feed)
    assert found.events == TICKS + 1
    assert found.records["voided"] == 1 + 5
    assert found.unchecked == 0
    with journal.Journal(run.journal) as log:
        log.append(events[:3])
    assert verify(run, no_feed).unchecked == 3


def live_run(folder, feed, events):
    """Do what a live process does: journal, observe, record, checkpoint."""
    engine = Engine(SETTINGS, feed.fields)
    run = run_folder.create(folder, SETTINGS, feed, engine)
    with journal.Journal(run.journal) as log:
        log.append(events)
    sink = sinks.ParquetSink(run.records, {"experts": engine.experts})
    for event in events:
        sink.write(engine.run(Block.of([event], 1)))
    sink.flush()
    arrays, meta = engine.snapshot()
    manifest = {"engine": meta, "sink": sink.position(), "seconds": 0.0}
    checkpoint.save(run.checkpoints, engine.seq, arrays, manifest)
    return run


def test_single_events_and_blocks_say_the_same(made):
    engine, said = Engine(SETTINGS, ("value",)), []
    feed = Waves()
    events = [event for block in feed.blocks(70) for event in block.events()]
    loops.run(events, engine, said.extend)
    means = [r.mean for r in said if type(r).__name__ == "Forecast"]
    expected = pl.concat(sinks.read(made / "records", "forecasts", ["mean"]))
    assert means == expected["mean"].to_list()


def test_a_column_s_tolerance_is_of_its_deviation_over_the_whole_run(monkeypatch):
    rng = np.random.default_rng(0)
    quiet, loud = np.full(50, 3.0), 3 + rng.standard_normal(200)
    parts = [pl.DataFrame({"mean": part}) for part in (quiet, loud[:70], loud[70:])]
    monkeypatch.setattr(comparing.sinks, "read", lambda *_: iter(parts))
    compare = comparing.Tolerances(Path("records"))
    near = parts[0].with_columns(pl.col("mean") + 5e-4)
    compare("forecasts", 0, parts[0], near)
    with pytest.raises(ReplayMismatch, match="row 0 column 'mean'"):
        compare("forecasts", 0, parts[0], parts[0].with_columns(pl.col("mean") + 5e-3))
    (spread,) = comparing._spreads(parts).values()
    assert spread == pytest.approx(np.std([*quiet, *loud]))
