from __future__ import annotations

import subprocess
import sys

import pytest

from connectors import FEEDS, is_live, open_feed, options_of
from connectors.venues.options import VenueOptions
from sfm_stream.config import Config, from_tree
from sfm_stream.errors import ConfigError


class Outsider:
    fields = ("value",)

    def __init__(self, config: Config) -> None:
        self.config = config

    source = total = blocks = None


def feed_of(connector):
    return from_tree({"feed": {"connector": connector}})


def test_default_config_opens_the_synthetic_feed():
    feed = open_feed(Config())
    assert feed.fields == ("value",)
    assert feed.total() == 20_000


def test_unknown_connector_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'parquet'") as e:
        open_feed(feed_of("parket"))
    assert e.value.at == "feed.connector"


def test_outsider_is_called_with_the_config():
    config = feed_of("outsiders:Outsider")
    sys.modules["outsiders"] = sys.modules[__name__]
    try:
        assert open_feed(config).config is config
    finally:
        del sys.modules["outsiders"]


@pytest.mark.parametrize("name", ["no_such_module_at_all:X", "connectors:Nothing"])
def test_outsider_that_cannot_be_imported_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_feed(feed_of(name))


@pytest.mark.parametrize("name", ["os:system", "builtins:dict", "connectors:FEEDS"])
def test_what_is_no_class_of_a_feed_is_refused(name):
    problem = f"expected a class with source, total, blocks, was '{name}'"
    with pytest.raises(ConfigError, match=problem) as e:
        open_feed(feed_of(name))
    assert e.value.at == "feed.connector"


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("kraken", True), ("csv", False), ("nobody", False), ("os:system", False),
        ("tests.live_rig:Told", True), (f"{__name__}:Outsider", False),
    ],
)  # fmt: skip
def test_a_connector_is_live_if_it_is_a_venue_of_whomever(name, live):
    assert is_live(name) is live


def test_a_venue_of_anyones_is_live_and_told_with_its_options():
    with pytest.raises(
        ConfigError, match=r"read again, was 'tests\.live_rig:Told', which is"
    ):
        open_feed(feed_of("tests.live_rig:Told"))
    assert options_of("tests.live_rig:Told") is VenueOptions


def test_several_feeds_of_files_are_refused_with_what_to_write():
    feeds = [{"connector": "csv", "path": path} for path in ("a.csv", "b.csv")]
    with pytest.raises(ConfigError) as e:
        open_feed(from_tree({"feed": feeds}))
    told = "expected one [feed] for files, was 2; list the files in feed.path"
    assert str(e.value) == f"feed: {told}"


def test_importing_connectors_imports_nothing_heavy():
    code = "import sys, connectors; print({'polars', 'river'} & set(sys.modules))"
    said = subprocess.check_output([sys.executable, "-c", code], text=True)  # noqa: S603 our own interpreter
    assert said.strip() == "set()"


def test_every_own_feed_has_a_module():
    assert set(FEEDS) >= {"csv", "parquet", "capture", "synthetic", "river"}
