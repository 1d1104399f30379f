from __future__ import annotations

import sys

import pytest

from connectors.venue import VENUES, open_venue
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError


class Outsider:
    def __init__(self, config):
        self.config = config


@pytest.mark.parametrize("name", VENUES)
def test_every_own_venue_opens_with_limits_and_an_address(name):
    venue = open_venue(Config(), name)
    assert venue.url().startswith("wss://")
    assert venue.limits.topics >= 1


def test_unknown_venue_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'binance'") as e:
        open_venue(Config(), "binanse")
    assert e.value.at == "feed.venue"


def test_outsider_is_called_with_the_config(monkeypatch):
    monkeypatch.setitem(sys.modules, "outsiders", sys.modules[__name__])
    config = Config()
    assert open_venue(config, "outsiders:Outsider").config is config


@pytest.mark.parametrize("name", ["no_such_module_at_all:X", "connectors:Nothing"])
def test_outsider_that_cannot_be_imported_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_venue(Config(), name)
