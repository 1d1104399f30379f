from __future__ import annotations

import pytest

from sfm_stream.config import from_tree
from sfm_stream.daemon import named_sinks
from sfm_stream.daemon.named_sinks import RECORDS, NamedSinks, named
from sfm_stream.errors import ConfigError
from sfm_stream.sinks import Delivery, open_sink
from tests.records_rig import some

BLOCK = some(0, 60)


def config_of(*sinks):
    return from_tree({"sink": list(sinks)})


def opened(folder, config):
    """Open the sinks of a configuration, as a start does."""
    settings = named(config)
    tables = {"experts": ()}
    found = {n: open_sink(s, folder, tables) for n, s in settings.items()}
    return NamedSinks(found, settings, folder, (), lambda _: None, lambda: None)


def offer(sinks):
    for delivery in sinks.deliveries.values():
        delivery.offer(BLOCK)


def test_sinks_are_named_by_kind_and_place():
    config = from_tree(
        {"sink": [{"kind": "jsonl"}, {"kind": "jsonl", "path": "a/b.jsonl"}]}
    )
    assert list(named(config)) == [RECORDS, "jsonl jsonl", "jsonl a-b.jsonl"]


def test_the_status_counts_the_records_that_a_sink_chooses(tmp_path):
    scores = {"kind": "jsonl", "records": ["scores"]}
    sinks = opened(tmp_path, config_of(scores))
    offer(sinks)
    sinks.close(30)
    whole, chosen = (one.state().written for one in sinks.deliveries.values())
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert 0 < chosen == len(lines) < whole == len(BLOCK)


def test_a_sink_that_comes_back_spills_apart_from_its_former_queue(
    tmp_path, monkeypatch
):
    folders = []

    class Watched(Delivery):
        def __init__(self, name, sink, settings, folder, *rest):
            folders.append(folder / name)
            super().__init__(name, sink, settings, folder, *rest)

    monkeypatch.setattr(named_sinks, "Delivery", Watched)
    sinks = opened(tmp_path, config_of({"kind": "jsonl"}))
    sinks.obey(config_of())
    sinks.obey(config_of({"kind": "jsonl"}))
    sinks.close(30)
    assert len(set(folders)) == len(folders) == 3


def test_the_status_names_a_sink_by_its_file(tmp_path):
    sinks = opened(tmp_path, config_of({"kind": "jsonl"}))
    states = [delivery.state() for delivery in sinks.deliveries.values()]
    told = [(RECORDS, "parquet"), ("records.jsonl", "jsonl")]
    assert [(state.name, state.kind) for state in states] == told
    sinks.close(30)


@pytest.mark.parametrize(
    ("sinks", "told"),
    [
        ([{"kind": "jsonl"}, {"kind": "jsonl"}], "'records.jsonl' and 'records.jsonl'"),
        (
            [{"kind": "jsonl"}, {"kind": "jsonl", "path": "records.jsonl"}],
            "'records.jsonl' and 'records.jsonl'",
        ),
        (
            [{"kind": "jsonl", "path": "a/b"}, {"kind": "jsonl", "path": "./a-b"}],
            "'a/b' and './a-b'",
        ),
        ([{"kind": "parquet", "path": "records"}], "'records' and 'records'"),
    ],
)
def test_two_sinks_of_one_place_are_refused(sinks, told):
    with pytest.raises(ConfigError, match=f"sink.path: .* was {told}; give one"):
        named(config_of(*sinks))


def test_a_sink_takes_its_new_choice_behind_the_records_that_wait(tmp_path):
    sinks = opened(tmp_path, config_of({"kind": "jsonl"}))
    offer(sinks)
    changed = config_of({"kind": "jsonl", "records": ["scores"], "streams": ["a"]})
    assert sinks.obey(changed) == []
    offer(sinks)
    sinks.close(30)
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert len(lines) > len(BLOCK)
    assert all('"stream":"a"' in line for line in lines[len(BLOCK) :])
    assert all('"type":"score"' in line for line in lines[len(BLOCK) :])


def test_a_sink_takes_its_new_queue_and_overload(tmp_path):
    sinks = opened(tmp_path, config_of({"kind": "jsonl"}))
    sinks.obey(config_of({"kind": "jsonl", "queue": 7, "overload": "drop"}))
    sinks.close(30)
    backlog = sinks.deliveries["jsonl jsonl"]._backlog
    assert (backlog._capacity, backlog._overload) == (7, "drop")


def test_a_sink_that_is_no_longer_named_is_let_go(tmp_path):
    sinks = opened(tmp_path, config_of({"kind": "jsonl"}))
    offer(sinks)
    old = sinks.deliveries["jsonl jsonl"]
    assert sinks.obey(config_of()) == ["jsonl jsonl"]
    assert list(sinks.deliveries) == [RECORDS]
    assert old._closed.wait(30)
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert len(lines) == len(BLOCK)
    sinks.close(30)
