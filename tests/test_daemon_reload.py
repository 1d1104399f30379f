from __future__ import annotations

import pytest

from sfm_stream.daemon.reload import differences, expect_hot, is_hot
from sfm_stream.errors import ConfigError
from tests.daemon_rig import settings_of

HOT = [
    {"feed": {"connector": "binance"}},
    {"feed": [{"connector": "binance"}, {"connector": "kraken"}]},
    {"stream": {"symbols": ["b"]}},
    {"learn": {"window": 8, "every": 8, "enabled": False}},
    {"sink": [{"kind": "jsonl"}]},
    {"daemon": {"catch_up_after": "1s", "disk_full": "go-on"}},
]


NEW_RUN = "a run keeps its model: change it back, or start a new run with --from"


@pytest.mark.parametrize("change", HOT)
def test_what_may_change_is_taken(change):
    assert differences(settings_of(), settings_of(**change))
    expect_hot(settings_of(), settings_of(**change))


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"daemon": {"listen": ""}}, "daemon.listen '127.0.0.1:8788', was ''",
         "change it back, or start the process anew"),
        ({"stream": {"every": "1s"}}, "stream.every '', was '1s'", NEW_RUN),
        ({"learn": {"lr": 0.1}}, "learn.window 8, was 32; expected learn.every 8, was 32; "
          "expected learn.lr 0.003, was 0.1", NEW_RUN),
    ],
)  # fmt: skip
def test_what_may_not_is_refused_with_both_values(change, said, hint):
    with pytest.raises(ConfigError) as caught:
        expect_hot(settings_of(), settings_of(**change))
    assert str(caught.value) == f"reload: expected {said}; {hint}"


@pytest.mark.parametrize(
    "change",
    [
        {"feed": {"connector": "jsonl", "path": "-", "prefix": "b/"}},
        {"feed": {"connector": "binance"}},
        {"stream": {"symbols": ["b"]}},
    ],
)
def test_the_feed_of_a_pipe_stays(change):
    piped = {"feed": {"connector": "jsonl", "path": "-"}}
    with pytest.raises(ConfigError, match="change it back, or start the process anew"):
        expect_hot(settings_of(**piped), settings_of(**{**piped, **change}))


def test_the_same_settings_do_not_differ():
    assert differences(settings_of(), settings_of()) == []


@pytest.mark.parametrize("key", ["feeder", "sinks", "stream.symbols_too", "run.seed"])
def test_a_key_that_only_begins_alike_is_not_hot(key):
    assert not is_hot(key)
