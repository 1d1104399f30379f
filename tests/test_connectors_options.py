from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from connectors import open_feed, open_live, options
from connectors.files.options import TextOptions
from connectors.venues.json.frames import Frames
from connectors.venues.protocol import open_venue
from sfm_stream.config import from_tree, keys, parse, to_tree
from sfm_stream.errors import ConfigError
from sfm_stream.settings import Feed

ROOT = Path(__file__).parents[1]
RAMP = '''
"""A straight line: a feed with an option of its own."""

from typing import Annotated

import msgspec
import numpy as np

from connectors.options import read
from sfm_stream.events import Block


class RampOptions(msgspec.Struct, frozen=True):
    """Options of a straight line."""

    slope: Annotated[float, msgspec.Meta(description="rise per tick")] = 1.0


class Ramp:
    """A straight line."""

    options = RampOptions
    fields = ("value",)

    def __init__(self, config):
        self._slope = read(config.feed, RampOptions).slope

    def source(self):
        return {"connector": "ramp", "slope": self._slope}

    def total(self):
        return 100

    def blocks(self, size, after=0):
        for start in range(after, 100, size):
            at = np.arange(start, min(start + size, 100))
            time = (946_684_800 + at) * 10**9
            yield Block.ticks(time, at[:, None] * self._slope, streams=("main",))
'''


class Pairs(msgspec.Struct, frozen=True):
    pair: Annotated[str, msgspec.Meta(description="which two")] = "a-b"
    width: int = 3


def feed(**given):
    return Feed(connector="mine", options=given)


def test_options_are_typed_and_have_defaults():
    assert options.read(feed(width=5), Pairs) == Pairs("a-b", 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wdth": 1}, "feed.options.wdth: unknown key; did you mean 'width'?"),
        ({"width": "x"}, "feed.options.width: expected a whole number, was 'x'"),
        ({"time": "t"}, "feed.options.time: is shared by all feeds; write feed.time"),
    ],
)
def test_an_option_that_is_unknown_or_impossible_is_refused(given, message):
    with pytest.raises(ConfigError) as e:
        options.read(feed(**given), Pairs)
    assert str(e.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"record": "a"}, "feed.options.record: unknown key; did you mean 'records'?"),
        ({"id": 5}, "feed.options.id: expected text, was 5"),
        (
            {"ping_every": "x"},
            "feed.options.ping_every: expected a duration like '100ms', was 'x'",
        ),
    ],
)
def test_a_description_of_frames_is_refused_by_its_key(given, message):
    with pytest.raises(ConfigError) as error:
        options.read(feed(**given), Frames)
    assert str(error.value) == message


def test_the_table_that_frames_once_had_is_still_read():
    told = {"match": {"kind": "reading"}, "id": "seq"}
    table = {"connector": "json", "json": told, "options": {"contiguous": True}}
    with pytest.warns(FutureWarning, match=r"\[feed\.json\] .*write \[feed\.options\]"):
        config = from_tree({"feed": table})
    assert config.feed.options == {**told, "contiguous": True}
    assert from_tree(to_tree(config)) == config
    assert options.read(config.feed, Frames).id == "seq"


def test_a_capture_has_the_options_of_its_venue(tmp_path):
    path = tmp_path / "a.cap"
    path.write_bytes(b'1700000000000000000 {"data":{"v":1}}\n')
    own = {"venue": "json", "records": "data"}
    given = {"connector": "capture", "path": str(path),
             "columns": {"v": "v"}, "options": own}  # fmt: skip
    (block,) = open_feed(from_tree({"feed": given})).blocks(10)
    assert block.values.tolist() == [[1.0]]
    with pytest.raises(ConfigError, match=r"feed\.options\.recrds: unknown key"):
        open_feed(
            from_tree(
                {"feed": {**given, "options": {"venue": "json", "recrds": "data"}}}
            )
        )


def test_a_connector_without_options_says_so():
    with pytest.raises(ConfigError, match="'mine' has no options; leave it out"):
        options.read(feed(width=5), options.declared(object))


def test_an_option_is_listed_with_default_and_description():
    assert list(keys(Pairs, "feed.options.")) == [
        ("feed.options.pair", '"a-b"', "which two"),
        ("feed.options.width", "3", ""),
    ]


def test_every_option_of_files_is_described_and_no_key_of_all_feeds():
    for key, _, text in keys(TextOptions):
        assert text, key
        assert key not in Feed.__struct_fields__


@pytest.mark.parametrize("name", ["feed", "feeds"])
def test_a_flat_key_goes_on_working_and_names_its_new_place(name):
    table = {"connector": "csv", "separator": ";", "options": {"rows": 5}}
    tree, at = {"feed": table}, "feed"
    if name == "feeds":
        tree, at = {"feed": [table, {}]}, r"feed\[0\]"
    with pytest.warns(FutureWarning, match=rf"{at}\.separator .*write {at}\.options"):
        config = from_tree(tree)
    assert config.feed.options == {"separator": ";", "rows": 5}
    assert from_tree(to_tree(config)) == config  # in silence


def test_what_belongs_to_a_venue_is_read_flat_too_with_a_warning():
    flat = {"connector": "binance", "url": "ws://h:1", "channel": "trade"}
    with pytest.warns(FutureWarning, match="write feed.options") as told:
        config = from_tree({"feed": flat})
    places = [str(one.message).rpartition(" ")[2] for one in told]
    assert places == ["feed.options.url", "feed.options.channel"]
    assert open_venue(config, "binance").url() == "ws://h:1"


@pytest.mark.parametrize(
    ("connector", "own"),
    [
        ("synthetic", {"signal": "chirp", "ticks": 60, "noise": 0.0, "seed": 3}),
        ("river", {"dataset": "TrumpApproval"}),
    ],
)
def test_what_belongs_to_a_made_feed_is_read_flat_too_with_a_warning(connector, own):
    with pytest.warns(FutureWarning, match="write feed.options") as told:
        flat = from_tree({"feed": {"connector": connector, **own}})
    places = [str(one.message).rpartition(" ")[2] for one in told]
    assert places == [f"feed.options.{key}" for key in own]
    now = from_tree({"feed": {"connector": connector, "options": own}})
    assert flat == now
    source = open_feed(now).source()
    assert {key: source[key] for key in own} == own


def test_defaults_that_former_runs_wrote_down_say_nothing():
    told = {
        "connector": "csv", "venue": "binance", "url": "", "channel": "",
        "dataset": "WaterFlow", "signal": "tones", "ticks": 20000, "noise": 0.1,
        "seed": 0,
    }  # fmt: skip
    assert from_tree({"feed": told}).feed.options == {}


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(ConfigError, match=r"expected it in \[feed\.options\] alone"):
        from_tree({"feed": {"rows": 1, "options": {"rows": 2}}})


def test_options_that_are_no_table_are_refused():
    with pytest.raises(ConfigError, match=r"feed\.options: expected a table, was"):
        parse("feed.options = 5")


@pytest.fixture
def tree(tmp_path):
    """Give a copy of the code, where `sfm-stream` can be called."""
    ignore = shutil.ignore_patterns("__pycache__")
    for house in ("connectors", "sfm_stream"):
        shutil.copytree(ROOT / house, tmp_path / house, ignore=ignore)

    def call(*words):
        done = subprocess.run(  # noqa: S603 our own interpreter and code
            [sys.executable, "-m", "sfm_stream", *words],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return tmp_path, call


def test_the_recipe_for_a_feed_gives_one_inside_and_one_outside(tree):
    folder, call = tree
    (folder / "connectors/made/ramp.py").write_text(RAMP)
    house = folder / "connectors/__init__.py"
    line = '    "ramp": "connectors.made.ramp:Ramp",\n    "river"'
    house.write_text(house.read_text().replace('    "river"', line, 1))
    (folder / "outside.py").write_text(RAMP)
    for name in ("ramp", "outside:Ramp"):
        (folder / "a.toml").write_text(f'[feed]\nconnector = "{name}"\n')
        code, said = call("feeds", name)
        assert code == 0, said
        assert "rise per tick" in said
        code, said = call("check", "a.toml", "--set", "feed.options.slope=2.5")
        assert code == 0, said
        assert "# inputs for value" in said
        code, said = call("check", "a.toml", "--set", "feed.options.slop=2.5")
        assert code == 1
        assert "feed.options.slop: unknown key; did you mean 'slope'?" in said


@pytest.mark.parametrize(("connector", "key", "was", "do"), [
    ("synthetic", "path", "a/trades.csv", 'set feed.connector = "csv"'),
    ("synthetic", "path", ("a.jsonl.gz", "b"), 'set feed.connector = "jsonl"'),
    ("river", "path", "a.parquet", 'set feed.connector = "parquet"'),
    ("synthetic", "symbol", "who",
     "leave it out, or set feed.connector to what reads the path"),
])  # fmt: skip
def test_a_key_that_the_connector_never_reads_is_refused(connector, key, was, do):
    settings = from_tree({"feed": {"connector": connector, key: was}})
    with pytest.raises(ConfigError) as e:
        open_feed(settings)
    problem = f"expected no {key} for connector {connector!r}, was {was!r}"
    assert str(e.value) == f"feed.{key}: {problem}; {do}"


def test_a_venue_refuses_a_path():
    settings = from_tree({"feed": {"connector": "kraken", "path": "a.csv"}})
    with pytest.raises(ConfigError, match="no path for connector 'kraken'"):
        open_live(settings)
