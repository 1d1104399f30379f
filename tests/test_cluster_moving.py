from __future__ import annotations

import json
from collections import Counter

import pytest

from sfm_stream import sinks
from sfm_stream.cluster import moving
from sfm_stream.cluster.shards import owner
from sfm_stream.daemon.recovery import recover
from sfm_stream.engine import Engine
from sfm_stream.errors import (
    CheckpointMismatch,
    ConfigError,
    JournalError,
    ReplayMismatch,
    StorageError,
)
from sfm_stream.events import Gap
from sfm_stream.running import homes, repair, verify
from sfm_stream.storage import epoch, journal, moves, run_folder
from tests.daemon_rig import START, settings_of, ticks
from tests.test_daemon_recovery import Source, killed, let_go, live, saved

LEASE = 1.0


def config_of(**tree):
    return settings_of(sink=[{"kind": "jsonl"}], **tree)


def recovered(folder, **given):
    return recover(config_of(**given), Source(), folder, say=[].append)


def lived(folder, *batches, **given):
    """Live on a run for some batches, save and stop."""
    found = recovered(folder, **given)
    for batch in batches:
        live(found, batch)
    saved(found)
    let_go(found)


def mixed(start, stop, *streams):
    return [tick for i in range(start, stop) for s in streams
            for tick in ticks(i, i + 1, stream=s)]  # fmt: skip


def move(folder, home, *streams):
    moving.move(streams, folder, home, lease=LEASE, say=[].append, now=lambda: START)


def verified(run):
    found = [verify.verify(one, None) for one in homes.with_origins(loaded(run), print)]
    return sum(one.events for one in found)


def loaded(folder):
    return run_folder.load(folder)


def at_home(folder):
    found = recovered(folder)
    let_go(found)
    return set(found.engine.ticks)


def values(folder):
    """Give the ticks that a journal holds: time by stream, to be counted."""
    events = journal.read(folder / "journal")
    return Counter((e.stream, e.time) for e in events if not isinstance(e, Gap))


def forecasts(folder):
    frames = sinks.read(folder / "records", "forecasts")
    return Counter(row for f in frames for row in f.select("stream", "time").rows())


def test_a_moved_stream_is_at_home_in_the_new_run_and_all_is_there_once(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 40, "a", "b"))
    lived(new, mixed(0, 10, "z"))
    move(old, new, "a")
    assert at_home(old) == {"b"}
    assert at_home(new) == {"a", "z"}
    lived(old, mixed(40, 60, "b"))
    lived(new, mixed(40, 60, "a", "z"))
    ticks_of = values(old) + values(new)
    assert set(ticks_of.values()) == {1}
    assert forecasts(old) + forecasts(new) == ticks_of
    verified(new)
    lines = [json.loads(x) for x in (new / "records.jsonl").read_text().splitlines()]
    assert {x["stream"] for x in lines if x["type"] == "forecast"} == {"a", "z"}


def test_what_it_says_after_the_move_is_what_it_would_have_said(tmp_path):
    old, new, stayed = tmp_path / "old", tmp_path / "new", tmp_path / "stayed"
    gaps = [Gap("a", START, "as a move leaves"), Gap("a", START, "and arrives")]
    lived(stayed, mixed(0, 60, "a", "b"), gaps, mixed(60, 90, "a"))
    lived(old, mixed(0, 60, "a", "b"))
    move(old, new, "a")
    lived(new, mixed(60, 90, "a"))

    def said(run):
        frames = sinks.read(run / "records", "forecasts")
        rows = [row for f in frames for row in f.drop("seq").rows(named=True)]
        return [repr(r) for r in rows if r["stream"] == "a"][-60:]

    assert said(new)[-30:] == said(stayed)[-30:]
    assert verified(new) > 90


@pytest.mark.parametrize("back", [False, True])
def test_a_stream_is_followed_over_all_its_homes(tmp_path, back):
    runs = [tmp_path / name for name in "xyz"]
    lived(runs[0], mixed(0, 30, "a", "b"))
    move(runs[0], runs[1], "a", "b")
    lived(runs[1], mixed(30, 50, "a", "b"))
    last = runs[0] if back else runs[2]
    move(runs[1], last, "b")
    lived(last, mixed(50, 70, "b"))
    followed = homes.with_origins(loaded(last), pytest.fail)
    assert [one.folder.name for one in followed] == (
        ["x", "y"] if back else ["z", "y", "x"]
    )
    verified(last)
    assert at_home(last) == {"b"}
    assert set(sum((values(run) for run in runs if run.exists()),
                   Counter()).values()) == {1}  # fmt: skip


STEPS = {
    "gap journalled": (moves, "arrive"),
    "state kept": (moves, "depart"),
    "departure written": (moving.Journal, "append"),
    "marker journalled": (moves, "settle"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_move_stopped_at_any_step_has_happened_whole_or_not_at_all(
    tmp_path, monkeypatch, step
):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a", "b"))
    lived(new, mixed(0, 10, "z"))
    owner_of, name = STEPS[step]
    calls = {"departure written": 2, "marker journalled": 3}.get(step, 1)
    before, seen = getattr(owner_of, name), []

    def stop(*given, **more):
        seen.append(name)
        if len(seen) == calls:
            raise KeyboardInterrupt
        return before(*given, **more)

    monkeypatch.setattr(owner_of, name, stop)
    with pytest.raises(KeyboardInterrupt):
        move(old, new, "a")
    monkeypatch.undo()
    lived(old, mixed(30, 40, "b"))
    happened = "a" in at_home(new)
    assert happened == (step == "marker journalled")
    assert at_home(old) == ({"b"} if happened else {"a", "b"})
    if not happened:
        lived(new, mixed(10, 20, "z"))  # another event takes the marker's place
        assert at_home(new) == {"z"}
        move(old, new, "a")
    lived(new, mixed(40, 60, "a"))
    lived(old, mixed(40, 60, "b"))
    assert (at_home(old), at_home(new)) == ({"b"}, {"a", "z"})
    verified(new)


def test_a_process_killed_after_a_move_finds_it_in_the_journal(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a", "b"))
    move(old, new, "a")
    for run, stream in ((old, "b"), (new, "a")):
        found = recovered(run)
        live(found, mixed(30, 40, stream))
        killed(found)
        lived(run, mixed(40, 50, stream))
    assert forecasts(old) + forecasts(new) == values(old) + values(new)
    verified(new)


def test_a_move_that_gave_other_rows_is_seen(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a", "b"))
    move(old, new, "a")
    (arrival,) = moves.arrivals(loaded(new))
    arrays = dict(moves.brought(loaded(new), arrival.seq))
    arrays["theta"] = arrays["theta"] + 1e-9
    moves.arrive(loaded(new), arrival, arrays)
    lived(new, mixed(30, 40, "a"))
    with pytest.raises(ReplayMismatch, match="move of a row 61 column 'theta'"):
        verified(new)


def test_a_home_that_is_gone_is_said_and_the_rest_is_verified(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a"))
    move(old, new, "a")
    lived(new, mixed(30, 40, "a"))
    old.rename(tmp_path / "away")
    said = []
    (one,) = homes.with_origins(loaded(new), said.append)
    assert verify.verify(one, None).events == 11
    assert "is not there" in said[0]


def test_an_old_home_whose_move_is_open_needs_the_new_one_to_start(
    tmp_path, monkeypatch
):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a"))
    monkeypatch.setattr(moves, "_counts", lambda *_: False)
    monkeypatch.setattr(moves.Path, "unlink", lambda *_: None)
    move(old, new, "a")
    monkeypatch.undo()
    new.rename(tmp_path / "away")
    with pytest.raises(JournalError, match="cannot say whether a moved to"):
        recovered(old)
    (tmp_path / "away").rename(new)
    assert at_home(old) == set()


def test_runs_that_cannot_take_each_others_streams_are_refused(tmp_path):
    old, other = tmp_path / "old", tmp_path / "other"
    lived(old, mixed(0, 10, "a"))
    lived(other, mixed(0, 10, "b"), model={"states": 2})
    with pytest.raises(CheckpointMismatch, match=r"model\.states 4, was 2"):
        move(old, other, "a")
    with pytest.raises(ConfigError, match=r"expected a stream of .*, was 'c'; there"):
        move(old, tmp_path / "new", "c")
    with pytest.raises(ConfigError, match="expected another run"):
        move(old, old, "a")
    with pytest.raises(ConfigError, match=r"run\.json"):
        move(tmp_path / "none", old, "a")
    assert at_home(old) == {"a"}


def test_no_stream_moves_out_of_a_backtest(tmp_path):
    run_folder.create(tmp_path, settings_of(), Source(), Engine(settings_of(), ("x",)))
    with pytest.raises(ConfigError, match="was a backtest"):
        move(tmp_path, tmp_path / "new", "a")
    assert not (tmp_path / "journal").exists()


def test_a_run_on_which_a_process_lives_keeps_its_streams(tmp_path):
    old = tmp_path / "old"
    lived(old, mixed(0, 10, "a"))
    with (
        epoch.take(old, LEASE) as own,
        pytest.raises(StorageError, match="expected no process"),
    ):
        move(old, tmp_path / "new", "a")
    assert own.number == 1


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (2, 1)])
def test_shards_are_rebalanced_and_every_stream_is_followed(tmp_path, before, after):
    names = [f"s{i}" for i in range(8)]
    places = {name: home(tmp_path, name, before) for name in names}
    for place in dict.fromkeys(places.values()):
        own = [name for name in names if places[name] == place]
        lived(place, mixed(0, 12, *own))
    moved = rebalanced(tmp_path, after)
    now = {name: home(tmp_path, name, after) for name in names}
    assert moved == sum(now[name] != places[name] for name in names)
    for place in dict.fromkeys(now.values()):
        own = [name for name in names if now[name] == place]
        assert at_home(place) == set(own)
        lived(place, mixed(12, 20, *own))
        verified(place)
    assert rebalanced(tmp_path, after) == 0
    places_of = dict.fromkeys([*places.values(), *now.values()])
    counts = sum((values(place) for place in places_of), Counter())
    assert counts == Counter((t.stream, t.time) for t in mixed(0, 20, *names))


def home(runs, name, count):
    return runs if count == 1 else runs / f"shard-{owner(name, count)}"


def rebalanced(runs, count):
    return moving.rebalance(
        runs, count, "", lease=LEASE, say=[].append, now=lambda: START
    )


def test_a_folder_without_shards_cannot_be_rebalanced(tmp_path):
    with pytest.raises(ConfigError, match="expected the folder of shards' runs"):
        rebalanced(tmp_path, 2)


def test_repair_rebuilds_the_records_of_a_run_with_moves(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a", "b"))
    move(old, new, "a")
    for run, stream in ((old, "b"), (new, "a")):
        lived(run, mixed(30, 40, stream))
        before = forecasts(run)
        repair.repair(loaded(run), None)
        assert forecasts(run) == before


def test_a_streams_open_bin_moves_with_it(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    binned = {"stream": {"every": "4ms"}}
    lived(old, mixed(0, 42, "a", "b"), **binned)
    move(old, new, "b")
    lived(new, mixed(42, 80, "b"), **binned)
    verified(new)


def test_commands_move_verify_and_rebalance(tmp_path, monkeypatch, sfm_stream):
    monkeypatch.chdir(tmp_path)
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 30, "a", "b"))
    code, _, err = sfm_stream("move", "a", "--from", old, "--to", new)
    assert (code, err) == (0, f"sfm-stream: moved 1 stream from {old} to {new}\n")
    lived(new, mixed(30, 40, "a"))
    code, out, _ = sfm_stream("verify", new)
    assert code == 0
    first, second = out.splitlines()
    assert first.endswith("records of 11 events are identical")
    assert second.startswith(f"{old}: ")
    code, _, err = sfm_stream("move", "a", "--from", old, "--to", new)
    assert code == 1
    assert "expected a stream of" in err
    (tmp_path / "live.toml").write_text("[daemon]\nlease = '1s'\n")
    lived(tmp_path / "runs/live", mixed(0, 10, "a", "b", "c", "d"))
    given = ("rebalance", "live.toml", "--shards", "2", "--json")
    first, second = (sfm_stream(*given) for _ in range(2))
    moved = [json.loads(out) for _, out, _ in (first, second)]
    assert moved == [{"moved": 4}, {"moved": 0}]
    assert second[2] == "sfm-stream: each stream is in its shard already: none moved\n"


def test_a_run_that_another_process_begins_is_not_made_beside_it(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    lived(old, mixed(0, 20, "a", "b"))
    with (
        epoch.take(new, LEASE),
        pytest.raises(StorageError, match="expected no process"),
    ):
        move(old, new, "a")
    assert not (new / run_folder.INFO).exists()
    assert at_home(old) == {"a", "b"}
