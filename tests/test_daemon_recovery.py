from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sfm_stream import sinks
from sfm_stream.config import of_model
from sfm_stream.daemon import recovery
from sfm_stream.daemon.recovery import recover
from sfm_stream.engine import Engine
from sfm_stream.errors import (
    CheckpointMismatch,
    ConfigError,
    Fenced,
    JournalError,
    RecordsLost,
    SinkError,
)
from sfm_stream.events import Block, Gap
from sfm_stream.notices import Level
from sfm_stream.records import Forecast
from sfm_stream.running.precompile import NOTICE
from sfm_stream.storage import checkpoint, history, run_folder
from tests.daemon_rig import SMALL, START, settings_of, tick, ticks

JSONL = [{"kind": "jsonl"}]
OLD_RUN = Path(__file__).parent / "old_run"
"""A live run as it was written before checkpoints were marked, killed at event 80."""


class Source:
    """A feed that is only asked what it is."""

    def __init__(self, *fields):
        self.fields = fields or ("x",)

    def source(self):
        return {"connector": "made up"}


def expect_silence(line):
    """Fail at a line for people, but for the notice where kernels are compiled."""
    if line != NOTICE:
        pytest.fail(line)


def recovered(folder, *, said=None, config=None, source=None, **given):
    config = config or settings_of(sink=JSONL)
    say = expect_silence if said is None else said.append
    return recover(config, source or Source(), folder, say=say, **given)


def let_go(found):
    for sink in found.sinks.values():
        sink.close()
    found.journal.close()


def live(found, events, *, save=False):
    """Do what a worker does with events: journal, observe, deliver, save."""
    found.journal.append(events)
    found.write(found.engine.run(Block.of(events, 1)))
    if save:
        saved(found)


def saved(found):
    for sink in found.sinks.values():
        sink.flush()
    arrays, meta = found.engine.snapshot()
    at = {name: sink.position() for name, sink in found.sinks.items()}
    mark = {history.MARK: found.journal.mark}
    manifest = {"engine": meta, "sink": at.pop("records"), "sinks": at, **mark}
    checkpoint.save(found.run.checkpoints, found.engine.seq, arrays, manifest)


def killed(found):
    """Leave everything as a killed process would."""
    found.journal._worker.shutdown()
    found.journal.close()


def lines(folder):
    return (folder / "records.jsonl").read_text().splitlines()


def test_a_first_start_makes_the_run(tmp_path):
    found = recovered(tmp_path / "run")
    assert found.events == found.engine.seq == found.saved == 0
    assert run_folder.load(tmp_path / "run").info["fields"] == ["x"]
    assert set(found.sinks) == {"records", "jsonl jsonl"}
    let_go(found)


@pytest.mark.parametrize("at", [None, 0, 30])
def test_a_killed_run_comes_back_to_the_end_of_its_journal(tmp_path, at):
    found = recovered(tmp_path)
    if at == 0:
        saved(found)
    live(found, ticks(0, 30), save=at == 30)
    live(found, ticks(30, 50))
    killed(found)
    again = recovered(tmp_path)
    assert again.events == 50 - (at or 0)
    assert again.saved == (at or 0)
    live(again, [Gap("", START, "restarted"), *ticks(50, 60)])
    let_go(again)
    events = [*ticks(0, 50), Gap("", START, "restarted"), *ticks(50, 60)]
    engine = Engine(of_model(settings_of()), ("x",))
    whole = list(engine.run(Block.of(events, 1)).rows())
    assert len(lines(tmp_path)) == len(whole)
    said = [json.loads(line) for line in lines(tmp_path)]
    assert [(r["seq"], r["type"]) for r in said] == [
        (r.seq, type(r).__name__.lower()) for r in whole
    ]
    kept = sum(len(p) for p in sinks.read(tmp_path / "records", "forecasts"))
    assert kept == sum(r["type"] == "forecast" for r in said)


def test_a_killed_run_with_one_cell_for_all_says_what_an_unbroken_one_says(tmp_path):
    shared = settings_of(sink=JSONL, model={**SMALL["model"], "shared": True})
    events = [tick(i, stream="abc"[i % 3]) for i in range(90)]
    found = recovered(tmp_path, config=shared)
    live(found, events[:40], save=True)
    live(found, events[40:65])
    killed(found)
    again = recovered(tmp_path, config=shared)
    assert (again.saved, again.events) == (40, 25)
    live(again, events[65:])
    let_go(again)
    engine = Engine(of_model(shared), ("x",))
    whole = list(engine.run(Block.of(events, 1)).rows())
    said = [json.loads(line) for line in lines(tmp_path)]
    assert any(r["type"] == "update" for r in said)
    means = [r["mean"] for r in said if r["type"] == "forecast"]
    assert means == [r.mean for r in whole if isinstance(r, Forecast)]
    np.testing.assert_array_equal(again.engine.view("weights"), engine.view("weights"))
    np.testing.assert_array_equal(again.engine.view("pool"), engine.view("pool"))


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path):
    found = recovered(tmp_path)
    live(found, ticks(0, 20), save=True)
    live(found, ticks(20, 40), save=True)
    killed(found)
    state = tmp_path / "checkpoints/000000000040/state.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    said = []
    again = recovered(tmp_path, said=said)
    assert "trying the checkpoint before" in said[0]
    assert said[0].level is Level.ERROR
    assert (again.saved, again.events) == (20, 20)
    let_go(again)


def test_what_a_power_cut_took_before_the_last_sync_is_an_alarm_and_no_refusal(
    tmp_path,
):
    found = recovered(tmp_path)
    live(found, ticks(0, 20), save=True)
    found.journal.sync()
    path = next((tmp_path / "journal").glob("*.log"))
    size = path.stat().st_size
    for start in range(20, 23):
        found.journal.append(ticks(start, start + 1))
    data = bytearray(path.read_bytes())
    let_go(found)
    data[size + 8 : size + 12] = bytes(4)  # of a page that was not written
    path.write_bytes(data)
    again = recovered(tmp_path)
    assert (again.saved, again.engine.seq) == (20, 20)
    (line,) = again.lost
    assert "a power cut damaged what was not yet on disk" in line
    live(again, ticks(20, 30))
    let_go(again)
    assert recovered(tmp_path).engine.seq == 30


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_checkpoint_of_a_lost_history_never_comes_back(tmp_path, damage):
    found = recovered(tmp_path)
    live(found, ticks(0, 20), save=True)
    live(found, ticks(20, 40), save=True)
    killed(found)
    path = next((tmp_path / "journal").glob("*.log"))
    whole = path.read_bytes()
    torn = (
        whole[:-3]
        if damage == "cut"
        else whole[:-3] + bytes([whole[-3] ^ 4, *whole[-2:]])
    )
    path.write_bytes(torn)
    said = []
    again = recovered(tmp_path, said=said)
    assert said[0].startswith("the journal ended in a torn entry")
    assert "000000000040.aside-1: taken after event 40" in said[1]
    assert [notice.level for notice in said] == [Level.WARNING, Level.ERROR]
    assert again.aside == (said[1],)
    assert (again.saved, again.events, again.engine.seq) == (20, 19, 39)
    other = [tick(i, value=100.0 + i) for i in range(39, 60)]
    live(again, other)  # beyond the number of the lost one
    killed(again)
    third = recovered(tmp_path)
    assert (third.saved, third.engine.seq) == (20, 60)
    engine = Engine(of_model(settings_of()), ("x",))
    whole = list(engine.run(Block.of([*ticks(0, 39), *other], 1)).rows())
    let_go(third)
    assert len(lines(tmp_path)) == len(whole)
    assert [json.loads(line)["seq"] for line in lines(tmp_path)] == [
        r.seq for r in whole
    ]
    assert third.engine.view("weights").tobytes() == engine.view("weights").tobytes()


@pytest.mark.filterwarnings("ignore:feed.* belongs to the connector:FutureWarning")
@pytest.mark.filterwarnings("ignore:forecast.level:FutureWarning")
def test_a_run_of_an_older_version_is_gone_on_with(tmp_path):
    shutil.copytree(OLD_RUN, tmp_path / "run")
    kept = sum(len(part) for part in sinks.read(tmp_path / "run/records", "scores"))
    found = recovered(tmp_path / "run", said=[], config=run_folder.load(OLD_RUN).config)
    assert (found.saved, found.events, found.engine.seq) == (60, 20, 80)
    live(found, ticks(80, 90), save=True)
    let_go(found)
    assert (
        "journal" in checkpoint.newest_good(found.run.checkpoints, pytest.fail).manifest
    )
    again = recovered(tmp_path / "run", said=[], config=run_folder.load(OLD_RUN).config)
    assert (again.saved, again.engine.seq) == (90, 90)
    let_go(again)
    rows = sum(len(part) for part in sinks.read(tmp_path / "run/records", "scores"))
    assert rows > kept


def test_a_journal_that_does_not_reach_back_is_refused_before_a_sink_is_cut(tmp_path):
    found = recovered(tmp_path)
    live(found, ticks(0, 40))
    let_go(found)
    before = lines(tmp_path)
    log = tmp_path / "journal/000000000000.log"
    log.rename(log.with_name("000000000010.log"))
    with pytest.raises(JournalError, match="earlier ones were deleted"):
        recovered(tmp_path)
    assert lines(tmp_path) == before


def test_two_processes_never_work_on_one_run(tmp_path):
    found = recovered(tmp_path)
    with pytest.raises(JournalError, match="another process writes here"):
        recovered(tmp_path)
    let_go(found)
    let_go(recovered(tmp_path))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"target": {"horizons": [2]}},
            CheckpointMismatch,
            r"expected target.horizons .*, was \(2,\)",
        ),
        ({"fields": ("y",)}, ConfigError, "a run keeps the fields it has"),
    ],
)
def test_another_model_is_refused_and_lets_the_run_go(tmp_path, change, error, message):
    let_go(recovered(tmp_path))
    fields = change.pop("fields", ("x",))
    with pytest.raises(error, match=message):
        recovered(tmp_path, config=settings_of(**change), source=Source(*fields))
    let_go(recovered(tmp_path))


def test_other_streams_and_a_freeze_are_the_same_model(tmp_path):
    let_go(recovered(tmp_path))
    learn = {"window": 8, "every": 8, "enabled": False}
    config = settings_of(stream={"symbols": ["b"]}, learn=learn)
    let_go(recovered(tmp_path, config=config))


@pytest.mark.parametrize("keeps_folder", [False, True])
def test_a_journal_that_is_gone_is_told_from_a_backtest(tmp_path, keeps_folder):
    found = recovered(tmp_path)
    live(found, ticks(0, 20), save=True)
    let_go(found)
    shutil.rmtree(tmp_path / "journal")
    if keeps_folder:
        (tmp_path / "journal").mkdir()
    with pytest.raises(JournalError, match="journal of this live run, was none"):
        recovered(tmp_path)
    start = run_folder.load(tmp_path)
    warm = recovered(tmp_path / "new", start=start)  # as the message says
    let_go(warm)


def test_a_backtest_is_no_run_to_live_in(tmp_path):
    let_go(recovered(tmp_path))
    shutil.rmtree(tmp_path / "journal")
    with pytest.raises(ConfigError, match="start warm from it with --from"):
        recovered(tmp_path)
    assert not (tmp_path / "journal").exists()


def test_a_new_run_starts_warm_and_remembers_it(tmp_path):
    teacher = recovered(tmp_path / "one")
    live(teacher, ticks(0, 40), save=True)
    let_go(teacher)
    start = run_folder.load(tmp_path / "one")
    found = recovered(tmp_path / "two", start=start)
    weights = found.engine.view("weights").tolist()
    assert weights == teacher.engine.view("weights").tolist()
    live(found, ticks(0, 10))
    killed(found)
    again = recovered(tmp_path / "two")
    live(again, ticks(10, 12))
    assert again.engine.ticks == {"a": 12}
    let_go(again)


def test_a_sink_that_holds_anothers_records_is_left_alone(tmp_path):
    (tmp_path / "records.jsonl").write_text("precious\n")
    for _ in range(2):
        with pytest.raises(SinkError, match="holds records already"):
            recovered(tmp_path)
    assert lines(tmp_path) == ["precious"]


EXPORTS = {"jsonl": "records.jsonl", "parquet": "parquet", "sqlite": "records.sqlite"}


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_sink_that_the_checkpoint_does_not_know_begins_anew(tmp_path, kind):
    one = settings_of(sink=[{"kind": kind}])
    found = recovered(tmp_path, config=one)
    live(found, ticks(0, 20), save=True)
    let_go(found)
    without = recovered(tmp_path, config=settings_of())
    live(without, ticks(20, 30), save=True)
    let_go(without)
    said = []
    again = recovered(tmp_path, config=one, said=said)
    live(again, ticks(30, 40))
    let_go(again)
    assert "holds records already, which are set aside" in said[0]
    assert again.lost == said
    assert (tmp_path / f"{EXPORTS[kind]}.aside-1").exists()


def test_a_file_that_the_first_checkpoint_does_not_know_is_kept(tmp_path):
    found = recovered(tmp_path, config=settings_of())
    saved(found)
    live(found, ticks(0, 20))
    let_go(found)
    (tmp_path / "records.jsonl").write_text("precious\n")
    said = []
    let_go(recovered(tmp_path, said=said))
    assert "holds records already, which are set aside" in said[0]
    assert (tmp_path / "records.jsonl.aside-1").read_text() == "precious\n"
    assert [json.loads(line)["seq"] for line in lines(tmp_path)][-1] == 19


def test_a_sink_that_is_new_begins_where_the_run_is(tmp_path):
    found = recovered(tmp_path, config=settings_of())
    live(found, ticks(0, 20), save=True)
    let_go(found)
    again = recovered(tmp_path)
    live(again, ticks(20, 22))
    let_go(again)
    assert {json.loads(line)["seq"] for line in lines(tmp_path)} == {20, 21}


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_run_goes_on_without_what_a_sink_had_written(tmp_path, kind, damage):
    config, path = settings_of(sink=[{"kind": kind}]), tmp_path / EXPORTS[kind]
    found = recovered(tmp_path, config=config)
    live(found, ticks(0, 20), save=True)
    live(found, ticks(20, 30))
    let_go(found)
    if damage == "cut":
        path = path / "scores-000000.parquet" if kind == "parquet" else path
        path.write_bytes(path.read_bytes()[:5])
    elif kind == "parquet":
        shutil.rmtree(path)
    else:
        path.unlink()
    said = []
    again = recovered(tmp_path, config=config, said=said)
    assert again.engine.seq == 30
    assert again.lost == said
    assert str(path) in said[0]
    assert said[0].endswith("it goes on anew from event 20")
    saved(again)
    let_go(again)
    let_go(recovered(tmp_path, config=config))


def test_records_of_the_run_that_are_gone_are_for_a_repair_to_bring_back(
    tmp_path, monkeypatch
):
    found = recovered(tmp_path)
    live(found, ticks(0, 20), save=True)
    let_go(found)
    shutil.rmtree(tmp_path / "records")
    with pytest.raises(RecordsLost, match="sfm-stream repair RUN"):
        recovered(tmp_path)
    monkeypatch.setattr(recovery, "unbroken", lambda _: 10)  # then no repair can
    said = []
    again = recovered(tmp_path, said=said)
    assert again.engine.seq == 20
    assert [line for line in said if "sink records" in line] == again.lost
    let_go(again)


@pytest.mark.parametrize("looks", [0, 1])
def test_a_starter_that_was_taken_for_dead_leaves_the_run_another_made(tmp_path, looks):
    mine, others = settings_of(), settings_of(run={"seed": 7})
    run, passed = tmp_path / "run", []

    def made(settings, guard=lambda: None):
        engine = Engine(settings, ["x"])
        return run_folder.create(run, settings, Source(), engine, guard)

    def guard():
        passed.append(0)
        if len(passed) > looks:
            made(others)
            raise Fenced(str(run), "another process took it")

    with pytest.raises(Fenced):
        made(mine, guard)
    assert run_folder.load(run).config == others


def test_every_look_of_a_start_may_find_that_it_is_fenced(tmp_path):
    def guard():
        nonlocal left
        left -= 1
        if left < 0:
            raise Fenced(str(tmp_path), "another process took it")

    looks = 0
    while True:
        left, run = looks, tmp_path / str(looks)
        try:
            let_go(recovered(run, guard=guard))
        except Fenced:
            looks += 1
        else:
            break
        let_go(recovered(run))  # whoever has the run now finds it sound
    assert looks > 3
