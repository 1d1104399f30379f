from __future__ import annotations

import gzip
import json
import tomllib
from pathlib import Path

import pytest

from connectors import FEEDS, options_of
from connectors.venues.protocol import VENUES
from sfm_stream.config import from_tree, keys
from sfm_stream.running.rss import available_mib
from sfm_stream.state import inputs, layout
from sfm_stream.state.bank import Bank
from tests.pages import ROOT

DEMO = ROOT / "configs" / "demo.toml"


def test_check_shows_what_was_written_and_no_defaults(sfm_stream):
    code, out, _ = sfm_stream("check", DEMO, "--set", "model.states=16")
    assert code == 0
    tree = tomllib.loads(DEMO.read_text()) | {"model": {"states": 16}}
    assert tomllib.loads(out) == tree
    assert "# inputs for value: change, level" in out
    assert '\n[feed.options]\nsignal = "tones"\nticks = 20000\n' in out


def test_check_names_some_of_many_inputs_and_targets(sfm_stream, tmp_path):
    names = [f"c{i}" for i in range(60)]
    rows = [",".join(names), *(",".join([str(k)] * 60) for k in range(40))]
    (tmp_path / "wide.csv").write_text("\n".join(rows))
    path = tmp_path / "wide.toml"
    path.write_text('[feed]\nconnector = "csv"\npath = "wide.csv"\nperiod = "1s"\n')
    told = sfm_stream("check", path)[1]
    assert "# inputs for c0: change, level, change(c1)" in told
    assert max(map(len, told.splitlines())) < 400
    every = f"target.values={json.dumps(names)}"
    told = sfm_stream("check", path, "--set", every)[1]
    assert told.count("# inputs for") == 20
    assert "# and of 40 more targets: --json has them" in told
    whole = json.loads(sfm_stream("check", path, "--set", every, "--json")[1])
    assert list(whole["inputs"]) == names


def test_check_of_all_marks_what_was_written(sfm_stream):
    code, out, _ = sfm_stream("check", DEMO, "--all", "--set", "model.states=16")
    assert code == 0
    lines = out.splitlines()
    assert "states = 16  # set" in lines
    assert "frequencies = 8" in lines
    marked = [line.split(" = ")[0] for line in lines if line.endswith("# set")]
    assert marked == ["connector", "signal", "ticks", "values", "horizons", "states",
                      "warmup"]  # fmt: skip
    assert len(tomllib.loads(out)["learn"]) > 5


def test_check_marks_the_keys_of_each_of_several_tables(sfm_stream, tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(
        '[[sink]]\nkind = "jsonl"\nqueue = 7\n[[sink]]\nkind = "sqlite"\npath = "a"\n'
    )
    out = sfm_stream("check", path, "--all")[1]
    marked = [line for line in out.splitlines() if line.endswith("# set")]
    assert [line.split(" = ")[0] for line in marked] == [
        "kind",
        "queue",
        "kind",
        "path",
    ]
    short = tomllib.loads(sfm_stream("check", path)[1])
    assert short["sink"] == [
        {"kind": "jsonl", "queue": 7}, {"kind": "sqlite", "path": "a"},
    ]  # fmt: skip


def test_check_refuses_a_device_that_is_not_there(sfm_stream):
    words = ("--set", "run.backend=torch", "--set", "run.device=cuda:99")
    code, _, err = sfm_stream("check", DEMO, *words)
    assert code == 1
    assert "run.device: " in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[feed]\nconnector = "os:system"', "feed.connector: expected a class with"),
        ('[[sink]]\nkind = "os:system"', "sink.kind: expected a class with write"),
    ],
)
def test_check_refuses_a_name_of_something_else(sfm_stream, tmp_path, text, problem):
    path = tmp_path / "a.toml"
    path.write_text(text)
    code, _, err = sfm_stream("check", path)
    assert code == 1
    assert problem in err


def test_check_refuses_a_captures_venue_that_is_none(sfm_stream, tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"wss://a <-> 1\n"))
    words = ("connector=capture", f"path={path}", "options.venue=os:system")
    sets = [word for each in words for word in ("--set", f"feed.{each}")]
    code, _, err = sfm_stream("check", DEMO, *sets)
    assert code == 1
    assert "feed.options.venue: expected a class with url" in err


def test_check_refuses_streams_that_memory_does_not_hold(sfm_stream):
    symbols = json.dumps([f"s{i}" for i in range(9_000)])
    words = ("--set", f"stream.symbols={symbols}", "--set", "learn.window=200000")
    code, _, err = sfm_stream("check", DEMO, *words)
    assert code == 1
    assert "MiB of memory that are free, was " in err
    assert "MiB for 9000 stream(s) of 1 target(s); lower model.states" in err


def test_the_size_told_is_that_of_the_arrays(sfm_stream):
    config = from_tree({"model": {"states": 5}, "target": {"horizons": [1, 3]}})
    bank = Bank(config, inputs.plan(config, ["value"]))
    bank.grow(3)
    arrays = [*bank.rows, *bank.work]
    assert layout.size(bank.layout, 3) == sum(array.nbytes for array in arrays)
    found = json.loads(sfm_stream("check", DEMO, "--json")[1])
    assert found["model_mib"] > 0.1
    assert 0 < found["tick_us"] < 1e6


def test_what_horizons_in_time_may_come_to_take_is_told(sfm_stream):
    timed = ("--set", 'target.horizons=["1","60s"]')
    found = json.loads(sfm_stream("check", DEMO, "--json", *timed)[1])
    assert 5 * found["model_mib"] < found["most_mib"]
    assert "MiB when 4,096 forecasts wait" in sfm_stream("check", DEMO, *timed)[1]
    found = json.loads(sfm_stream("check", DEMO, "--json")[1])
    assert found["model_mib"] == found["most_mib"]
    assert "forecasts wait" not in sfm_stream("check", DEMO)[1]


@pytest.mark.parametrize(
    ("limit", "now", "free"),
    [("max", "5", 3.0), (str(2**21), str(2**20), 1.0), (None, None, 3.0)],
)
def test_free_memory_is_that_of_the_machine_or_of_the_group(tmp_path, limit, now, free):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 3072 kB\n")
    for name, text in (("memory.max", limit), ("memory.current", now)):
        if text:
            (tmp_path / name).write_text(f"{text}\n")
    assert available_mib(tmp_path / "meminfo", tmp_path) == free


def test_files_that_the_kernel_can_drop_are_free_memory_of_the_group(tmp_path):
    for name, text in (
        ("memory.max", str(2**22)), ("memory.current", str(2**22)),
        ("memory.stat", f"file 7\ninactive_file {3 * 2**20}\nactive_file 7\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    assert available_mib(tmp_path / "meminfo", tmp_path) == 3.0


def test_where_the_system_does_not_say_nothing_is_free_or_full():
    assert available_mib(Path("/nowhere"), Path("/nowhere")) is None


@pytest.mark.parametrize(
    ("key", "default", "allowed"),
    [
        ("learn.window", "32", "a whole number, at least 1"),
        ("learn.gap", '"decay"', "one of decay, reset, keep"),
        ("target.horizons", "[1]", "a list of ticks (`1`)"),
        ("daemon.drain", '"10s"', "a number and one of ns"),
        (
            "features.inputs",
            '["change","level","change(*)","level(*)","hour"]',
            "a list of: text",
        ),
        ("learn.enabled", "true", "true or false"),
        ("forecast.levels", "[0.5,0.8,0.9]", "a list of: a number, above 0, below 1"),
        ("sink.records", "[]", "a list of: one of "),
    ],
)
def test_a_key_is_explained(sfm_stream, key, default, allowed):
    code, out, _ = sfm_stream("explain", key)
    assert code == 0
    (text,) = [text for name, _, text in keys() if name == key]
    first, second, third = out.splitlines()
    assert (first, second) == (f"{key}: {text}", f"  default: {default}")
    assert third.startswith("  may be: ")
    for part in allowed.split(", "):
        assert part in third


def test_a_table_is_explained_key_by_key_and_every_key_can_be(sfm_stream):
    out = sfm_stream("explain", "learn")[1]
    assert out.startswith("learn.enabled: ")
    for table in {name.split(".")[0] for name, _, _ in keys()}:
        code, out, _ = sfm_stream("explain", table)
        assert code == 0
        unsaid = [line for line in out.splitlines() if line == "  may be: any value"]
        assert unsaid == []


def test_a_mistyped_table_is_guessed(sfm_stream):
    code, _, err = sfm_stream("explain", "targt")
    assert code == 1
    assert err.endswith("targt: unknown key; did you mean 'target'?\n")


def test_an_option_is_explained_with_the_connectors_that_have_it(sfm_stream):
    code, out, _ = sfm_stream("explain", "feed.options.seed")
    assert code == 0
    assert out.splitlines() == [
        "feed.options.seed: option of synthetic: seed of the signal",
        "  default: 0",
        "  may be: a whole number, at least 0",
    ]
    assert "kraken" in sfm_stream("explain", "feed.options.url")[1]


@pytest.mark.parametrize("name", [*FEEDS, *VENUES])
def test_every_option_can_be_explained(sfm_stream, name):
    for key, _, text in keys(options_of(name), "feed.options."):
        code, out, _ = sfm_stream("explain", key)
        assert code == 0
        assert f"{name}" in out
        assert text in out


def test_an_unknown_option_is_refused_with_where_they_are_listed(sfm_stream):
    code, _, err = sfm_stream("explain", "feed.options.sead")
    assert code == 1
    assert "unknown key; `sfm-stream feeds NAME` lists the options" in err


def test_an_unknown_key_is_refused_with_the_nearest(sfm_stream):
    code, _, err = sfm_stream("explain", "learn.windw")
    assert code == 1
    assert "learn.windw: unknown key; did you mean 'learn.window'?" in err


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * 300, "File name too long"), ("circle", "Symlink loop from "),
        ('"a\\u0000b"', "embedded null byte"),
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_looked_up_is_an_error_of_it(
    sfm_stream, tmp_path, monkeypatch, name, why
):
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    code, _, told = sfm_stream("check", DEMO, "--set", f"feed.path={name}")
    assert code == 1
    assert "feed.path: expected a path, was '" in told
    assert f"it cannot be looked up: {why}" in told
