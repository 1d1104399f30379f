from __future__ import annotations

import errno
import json
import os
import signal
import tomllib
from importlib.metadata import version

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream import config, sinks
from sfm_stream.errors import (
    CheckpointError,
    CheckpointMismatch,
    ConfigError,
    FeedError,
    SinkError,
    SourceChanged,
)
from sfm_stream.events import NO_TIME, Block
from sfm_stream.records import KINDS
from sfm_stream.running import metrics
from sfm_stream.running.repair import repair
from sfm_stream.running.replay import Watch, replay, resume
from sfm_stream.running.rss import peak_rss_mib
from sfm_stream.storage import atomic, checkpoint, run_folder, toml

SECOND = 10**9
START = 1_600_000_000 * SECOND
TICKS = 700
SMALL = {
    "model": {"states": 4, "frequencies": 3, "outputs": 4},
    "run": {"block": 90, "checkpoint_every": 200},
}


class Waves:
    """A feed of sines, with or without an accident on the way."""

    fields = ("value", "other")

    def __init__(self, ticks=TICKS, *, seed=0, streams=("main",), accident=None):
        random = np.random.default_rng(seed)
        at = np.arange(ticks)
        self.values = np.sin(at / 5)[:, None] + 0.1 * random.standard_normal((ticks, 2))
        self.time = START + at * SECOND
        self.streams = streams
        self.accident = accident or {}
        self.file = {"path": "/data/waves.csv", "size": ticks, "sha256": f"{seed:064}"}

    def source(self):
        return {"connector": "waves", "files": [self.file]}

    def total(self):
        return len(self.time)

    def blocks(self, size, after=0):
        for start in range(after, len(self.time), size):
            if start >= self.accident.get("at", len(self.time)):
                self.accident["do"]()
            part = slice(start, start + size)
            stream = np.arange(*part.indices(len(self.time))) % len(self.streams)
            yield Block.ticks(
                self.time[part],
                self.values[part],
                streams=self.streams,
                stream=stream.astype(np.int32),
            )


def settings_of(**tables):
    tree = {name: dict(table) for name, table in SMALL.items()}
    for name, table in tables.items():
        tree.setdefault(name, {}).update(table)
    return config.from_tree(tree)


def broken():
    raise FeedError("waves", "cut off", row=1)


def records(folder):
    return {
        kind: pl.concat(parts)
        for kind in KINDS
        if (parts := list(sinks.read(folder / "records", kind)))
    }


def assert_same_records(one, other):
    left, right = records(one), records(other)
    assert left.keys() == right.keys()
    for kind, frame in left.items():
        assert frame.equals(right[kind]), kind


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    summary = replay(settings_of(), Waves(), folder)
    return folder, summary


def test_a_run_holds_settings_fingerprint_records_checkpoints_and_summary(whole):
    folder, summary = whole
    read = config.to_tree(config.load(folder / "config.toml"))
    assert json.dumps(read) == json.dumps(config.to_tree(settings_of()))
    info = json.loads((folder / "run.json").read_text())
    assert info["source"] == Waves().source()
    assert info["experts"] == ["last", "rls", "sfm", "sfm-rls", "sfm-rls-wide"]
    found = info["fingerprint"]
    assert found["config"] == config.digest(settings_of())
    assert found["backend"] == "numba"
    assert found["torch"] == version("torch")
    assert found["threads"] == 1
    assert found["cpu"]
    assert found["cpu_features"]
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert set(records(folder)) == {"forecasts", "scores", "updates"}
    assert {path.suffix for path in (folder / "records").iterdir()} == {".parquet"}


def test_the_summary_has_the_published_shape(whole):
    _, summary = whole
    assert list(summary) == [
        "target", "fields", "ticks", "seconds", "ticks_per_s", "rejected", "horizons",
        "experts", "period", "peak_rss_mib", "account", "remarks", "notes",
    ]  # fmt: skip
    assert set(summary["horizons"]["1"]) == {
        "scored", "mse", "mae", "naive_mse", "naive_mae", "skill", "coverage",
        "winkler", "crps",
    }  # fmt: skip
    assert summary["ticks"] == TICKS
    assert summary["rejected"] == 0
    assert summary["ticks_per_s"] == pytest.approx(TICKS / summary["seconds"])
    assert 10 < summary["peak_rss_mib"] < 10_000


def test_mean_weights_are_those_of_all_forecasts(whole):
    folder, summary = whole
    forecasts = records(folder)["forecasts"]
    for expert, weight in summary["experts"].items():
        assert weight == pytest.approx(forecasts[f"weight_{expert}"].mean())
    assert sum(summary["experts"].values()) == pytest.approx(1)


def test_checkpoints_fall_on_multiples_whatever_the_blocks(whole):
    folder, _ = whole
    names = sorted(int(path.name) for path in (folder / "checkpoints").iterdir())
    assert names == [400, 600, 700]


@pytest.mark.parametrize(("warmup", "scored"), [(0, 699), (100, 599), (0.5, 349)])
def test_warm_up_is_a_count_or_a_share_of_the_ticks(tmp_path, warmup, scored):
    summary = replay(settings_of(run={"warmup": warmup}), Waves(), tmp_path / "run")
    assert summary["horizons"]["1"]["scored"] == scored


def test_a_share_of_warm_up_is_of_each_stream(tmp_path):
    feed = Waves(streams=("a", "b"))
    summary = replay(settings_of(run={"warmup": 0.5}), feed, tmp_path / "run")
    first = {"a": 175, "b": 175}
    expected = metrics.fold_scores(tmp_path / "run" / "records", first)
    assert summary["horizons"] == expected["horizons"]
    assert summary["ticks"] == TICKS


def test_several_targets_have_summaries_of_their_own(tmp_path):
    chosen = settings_of(target={"values": ["value", "other"]})
    summary = replay(chosen, Waves(200), tmp_path / "run")
    assert list(summary["targets"]) == ["value", "other"]
    both = [t["horizons"]["1"]["mse"] for t in summary["targets"].values()]
    assert summary["horizons"]["1"]["mse"] == pytest.approx(sum(both) / 2)


def test_rejected_ticks_are_counted_apart(tmp_path):
    feed = Waves(100)
    feed.time[50] = NO_TIME
    summary = replay(settings_of(), feed, tmp_path / "run")
    assert summary["ticks"] == 99
    assert summary["rejected"] == 1


def test_an_empty_feed_is_a_run_without_scores(tmp_path):
    summary = replay(settings_of(), Waves(0), tmp_path / "run")
    assert summary["ticks"] == 0
    assert summary["horizons"] == {}
    assert set(summary["experts"].values()) == {None}


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path, whole):
    accident = {"at": 270, "do": lambda: signal.raise_signal(signal.SIGINT)}
    folder = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        replay(settings_of(), Waves(accident=accident), folder)
    assert signal.getsignal(signal.SIGINT) is before
    assert not (folder / "summary.json").exists()
    summary = resume(run_folder.load(folder), Waves())
    assert_same_records(folder, whole[0])
    # Sums over other Parquet parts round in another place.
    assert summary["horizons"]["1"] == pytest.approx(
        whole[1]["horizons"]["1"], rel=1e-12
    )
    assert summary["experts"] == pytest.approx(whole[1]["experts"])
    assert summary["ticks"] == TICKS


def test_a_feed_error_loses_nothing_and_is_raised_again(tmp_path, whole):
    folder = tmp_path / "run"
    with pytest.raises(FeedError, match="cut off"):
        replay(settings_of(), Waves(accident={"at": 450, "do": broken}), folder)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["ticks"] == 450
    assert len(records(folder)["forecasts"]) == 450
    assert resume(run_folder.load(folder), Waves())["ticks"] == TICKS
    assert_same_records(folder, whole[0])


@pytest.mark.parametrize("good_writes", [0, 3, 7, 9])
def test_a_run_that_found_the_disk_full_can_be_resumed(
    tmp_path, whole, monkeypatch, good_writes
):
    folder, real, written = tmp_path / "run", atomic.write, []

    def write(path, data):
        if folder / "records" in path.parents or "checkpoints" in str(path):
            if len(written) >= good_writes:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(path)
        real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write", write)
        with pytest.raises((SinkError, CheckpointError), match="the disk is full"):
            replay(settings_of(), Waves(), folder)
    resume(run_folder.load(folder), Waves())
    assert_same_records(folder, whole[0])


def test_a_damaged_checkpoint_is_passed_over_aloud(tmp_path, whole):
    folder, said = tmp_path / "run", []
    with pytest.raises(FeedError):
        replay(settings_of(), Waves(accident={"at": 450, "do": broken}), folder)
    (folder / "checkpoints" / f"{450:012d}" / "state.safetensors").write_bytes(b"?")
    resume(run_folder.load(folder), Waves(), watch=Watch(said.append))
    assert "trying the checkpoint before" in said[0]
    assert_same_records(folder, whole[0])


def test_a_finished_run_resumed_says_the_same_summary(tmp_path):
    folder = tmp_path / "run"
    summary = replay(settings_of(), Waves(150), folder)
    held = checkpoint.newest_good(folder / "checkpoints", lambda _: None)
    again = resume(run_folder.load(folder), Waves(150))
    assert again["horizons"] == summary["horizons"]
    assert again["seconds"] > held.manifest["seconds"] > 0


def test_a_changed_source_is_refused_by_what_differs(whole):
    with pytest.raises(SourceChanged, match=r"waves\.csv: expected files\[0\]\.sha256"):
        resume(run_folder.load(whole[0]), Waves(seed=1))


def test_changed_settings_are_refused(tmp_path):
    folder = tmp_path / "run"
    replay(settings_of(), Waves(50), folder)
    path = folder / "config.toml"
    path.write_text(path.read_text().replace("lr = 0.003", "lr = 0.03"))
    with pytest.raises(CheckpointMismatch, match="expected settings with digest"):
        run_folder.load(folder)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[learn\n", r"config\.toml: not valid TOML"),
        ("[learn]\nrate = 1\n", r"config\.toml: learn\.rate: unknown key"),
    ],
)
def test_damaged_settings_of_a_run_are_told_with_their_file(tmp_path, text, problem):
    replay(settings_of(), Waves(50), tmp_path / "run")
    (tmp_path / "run/config.toml").write_text(text)
    with pytest.raises(ConfigError, match=problem + ".*; restore the file"):
        run_folder.load(tmp_path / "run")


def test_a_run_does_not_write_over_another(whole):
    with pytest.raises(SinkError, match="holds a run already"):
        replay(settings_of(), Waves(), whole[0])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="name the folder of a run"):
        run_folder.load(tmp_path)


def test_another_machine_is_told_and_noted(tmp_path):
    folder, said = tmp_path / "run", []
    replay(settings_of(), Waves(50), folder)
    run = run_folder.load(folder)
    run.info["fingerprint"]["cpu"] = "abacus"
    run_folder.write(folder / "run.json", run_folder.to_json(run.info))
    resume(run_folder.load(folder), Waves(50), watch=Watch(said.append))
    assert "another machine" in said[0]
    noted = json.loads((folder / "run.json").read_text())["resumed"]
    assert [n["cpu"] == "abacus" for n in noted] == [False]


def test_a_warm_run_starts_with_what_the_other_learned(tmp_path, whole):
    folder = tmp_path / "warm"
    # the same ticks again: they lie before the other run's last one
    summary = replay(settings_of(), Waves(), folder, start=run_folder.load(whole[0]))
    assert summary["rejected"] == 0
    cold, warm = records(whole[0]), records(folder)
    assert warm["forecasts"]["seq"][0] == 0
    assert warm["forecasts"]["origin"][0] == 0
    begins, ends = (cold["forecasts"]["weight_last"][i] for i in (0, -1))
    assert abs(warm["forecasts"]["weight_last"][0] - ends) < abs(begins - ends) / 10
    assert warm["updates"]["version"][0] > cold["updates"]["version"][-1]
    assert summary["horizons"]["1"]["mse"] < whole[1]["horizons"]["1"]["mse"]


def test_a_warm_run_resumed_before_its_first_checkpoint_starts_warm(tmp_path, whole):
    straight, folder = tmp_path / "straight", tmp_path / "warm"
    start = run_folder.load(whole[0])
    replay(settings_of(), Waves(), straight, start=start)
    accident = {"at": 90, "do": lambda: (_ for _ in ()).throw(RuntimeError)}
    with pytest.raises(RuntimeError):
        replay(settings_of(), Waves(accident=accident), folder, start=start)
    resume(run_folder.load(folder), Waves())
    assert_same_records(folder, straight)


def test_a_warm_start_from_a_run_without_checkpoint_is_refused(tmp_path):
    folder = tmp_path / "other"
    with pytest.raises(RuntimeError):
        replay(
            settings_of(),
            Waves(
                accident={"at": 0, "do": lambda: (_ for _ in ()).throw(RuntimeError)}
            ),
            folder,
        )
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        replay(settings_of(), Waves(), tmp_path / "run", start=run_folder.load(folder))


def test_progress_is_told_after_each_block(tmp_path):
    seen = []
    replay(
        settings_of(), Waves(250), tmp_path / "run", watch=Watch(progress=seen.append)
    )
    assert seen == [90, 180, 200, 250]


PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.dictionaries(st.text("ab é.-", min_size=1),
                       st.dictionaries(st.text("xy z", min_size=1), PLAIN, max_size=3),
                       max_size=3))  # fmt: skip
def test_toml_comes_back_as_it_was(tree):
    assert tomllib.loads(toml.write(tree)) == tree


def test_peak_memory_is_at_least_what_is_held_now():
    held = np.ones(4_000_000)
    assert peak_rss_mib() > held.nbytes / 2**20


def test_a_run_of_before_goes_on_seeing_all_fields(tmp_path):
    folder = tmp_path / "run"
    replay(settings_of(), Waves(50), folder)
    assert run_folder.load(folder).config.features.widest == 16
    path = folder / run_folder.CONFIG
    path.write_text(path.read_text().replace("helpers = 3\n", ""))
    features = run_folder.load(folder).config.features
    assert (features.widest, features.helpers) == (16, None)
    assert features.most == 128
    path.write_text(path.read_text().replace("most = 128\n", ""))
    assert run_folder.load(folder).config.features.most is None
    path.write_text(path.read_text().replace("widest = 16\n", ""))
    assert run_folder.load(folder).config.features.widest is None


def test_a_run_from_before_schedules_learns_together(tmp_path):
    replay(settings_of(), Waves(), tmp_path / "run")
    path = tmp_path / "run" / run_folder.CONFIG
    told = 'schedule = "staggered"\n'
    assert run_folder.load(tmp_path / "run").config.learn.schedule == "staggered"
    path.write_text(path.read_text().replace(told, ""))
    assert run_folder.load(tmp_path / "run").config.learn.schedule == "together"


def test_a_run_that_a_process_works_on_is_left_alone(whole, tmp_path):
    refused = []

    def intrude(done):
        if done < TICKS and len(refused) < 3:
            run = run_folder.load(tmp_path / "run")
            for go in (
                lambda: resume(run, Waves()),
                lambda: repair(run, lambda _: Waves()),
                lambda: replay(settings_of(), Waves(), tmp_path / "run"),
            ):
                with pytest.raises(SinkError, match="another process writes here"):
                    go()
                refused.append(go)

    replay(settings_of(), Waves(), tmp_path / "run", watch=Watch(progress=intrude))
    assert len(refused) == 3
    assert_same_records(whole[0], tmp_path / "run")
    repair(run_folder.load(tmp_path / "run"), lambda _: Waves())


def test_a_folder_whose_name_is_no_text_is_refused_before_the_work(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    with pytest.raises(SinkError, match=r"expected a path in UTF-8.*; name another"):
        run_folder.make(folder)
    assert not folder.exists()
