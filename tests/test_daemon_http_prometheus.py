from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from sfm_stream.daemon.http.prometheus import BUCKETS, Meters, page
from sfm_stream.daemon.status.model import Stream
from sfm_stream.records import Records
from tests.daemon_web import TABLES
from tests.views_rig import watched
from tests.vitals_rig import FEED, SINK, WELL, vitals


def updates(*skipped):
    columns = {"seq": np.arange(len(skipped)), "skipped": np.array(skipped)}
    return Records({"updates": columns}, TABLES)


def scraped(meters, told=WELL):
    """Scrape as Prometheus does: value by name and labels."""
    text, _ = page(meters.metrics(told))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_vitals_are_read_when_someone_asks():
    meters = Meters()
    before = scraped(meters)
    then = vitals(seq=1_777, lag_s=2.5, finite=False, state="catching up")
    after = scraped(meters, then)
    assert [found["sfm_stream_events_total",] for found in (before, after)] == [
        1_500,
        1_777,
    ]
    assert [found["sfm_stream_lag_seconds",] for found in (before, after)] == [
        0.01,
        2.5,
    ]
    assert [found["sfm_stream_finite",] for found in (before, after)] == [1, 0]
    assert before["sfm_stream_state", ("state", "live")] == 1
    assert after["sfm_stream_state", ("state", "live")] == 0
    assert after["sfm_stream_state", ("state", "catching up")] == 1
    assert after["sfm_stream_memory_bytes",] == 320.5 * 2**20


def test_what_became_of_frames_is_counted_by_connection_and_reason():
    two = replace(FEED, label="two", counters={"garbage": 7, "ended": 1})
    ill = vitals(feeds=(FEED, two), counters={"garbage": 7, "dropped": 9})
    found = scraped(Meters(), ill)
    key = ("connection", "two"), ("reason", "garbage")
    assert found["sfm_stream_frames_total", *key] == 7
    assert found["sfm_stream_feed_events_total", ("reason", "dropped")] == 9


def test_streams_connections_and_sinks_are_told_apart():
    failing = replace(SINK, name="ticks", kind="jsonl", error="full", dropped=9)
    ill = vitals(feeds=(FEED, replace(FEED, label="two", state="backoff")),
                 sinks=(SINK, failing))  # fmt: skip
    found = scraped(Meters(), ill)
    assert found["sfm_stream_ticks_total", ("stream", "ethusdt")] == 100
    assert found["sfm_stream_rejected_total", ("stream", "ethusdt")] == 2
    reason = ("reason", "value is missing")
    assert found["sfm_stream_rejections_total", reason] == 2
    assert found["sfm_stream_quarantined", ("stream", "ethusdt")] == 1
    assert found["sfm_stream_quarantined", ("stream", "btcusdt")] == 0
    assert found["sfm_stream_connection_live", ("connection", "wss://venue")] == 1
    assert found["sfm_stream_connection_live", ("connection", "two")] == 0
    labels = (("kind", "jsonl"), ("sink", "ticks"))
    assert found["sfm_stream_sink_failing", *labels] == 1
    assert found["sfm_stream_sink_dropped_rows_total", *labels] == 9


def test_latencies_and_steps_fall_into_buckets():
    meters = Meters()
    meters.observe_latencies(np.array([0.00005, 0.0003, 0.004, 7.0]))
    meters.observe_step(0.03)
    meters.observe_held(0.003)
    found = scraped(meters)
    within = [
        found["sfm_stream_latency_seconds_bucket", ("le", str(b))] for b in BUCKETS
    ]
    assert within == [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    assert found["sfm_stream_latency_seconds_count",] == 4
    assert found["sfm_stream_latency_seconds_sum",] == pytest.approx(7.00435)
    assert found["sfm_stream_step_seconds_bucket", ("le", "0.02")] == 0
    assert found["sfm_stream_step_seconds_bucket", ("le", "0.05")] == 1
    assert found["sfm_stream_loop_held_seconds_bucket", ("le", "0.002")] == 0
    assert found["sfm_stream_loop_held_seconds_bucket", ("le", "0.005")] == 1


def test_scores_are_told_per_stream_target_and_horizon():
    meters = Meters()
    meters.watcher = watched(400)
    found = scraped(meters)

    def of(name, stream, horizon):
        labels = {"stream": stream, "target": "x", "horizon": horizon}
        return found[(f"sfm_stream_{name}", *sorted(labels.items()))]

    assert of("scores_total", "a", "1") == 199
    assert of("scores_total", "b", "5") == 195
    assert 0 < of("skill", "a", "1") < 1
    assert 0.5 < of("coverage", "b", "1") <= 1
    meters.watcher = watched(100)
    found = scraped(meters)
    assert of("scores_total", "a", "1") == 49
    assert math.isnan(of("skill", "a", "1"))


def test_updates_are_counted_by_why_they_were_skipped():
    meters = Meters()
    meters.observe_records(updates(0, 0, 1))
    meters.observe_records(updates(2))
    found = scraped(meters)
    assert {key[1][1]: value for key, value in found.items()
            if key[0] == "sfm_stream_updates_total"} == {
        "taken": 2, "non-finite loss": 1, "non-finite gradient": 1,
    }  # fmt: skip


def test_records_of_other_kinds_and_none_are_passed_over():
    meters = Meters()
    meters.observe_records(Records({}, {}))
    meters.observe_records(Records({"forecasts": {"seq": np.arange(3)}}, {}))
    assert scraped(meters)["sfm_stream_updates_total", ("outcome", "taken")] == 0


def test_a_page_stays_small_however_many_streams_there_are():
    many = vitals(streams={f"s{i}": Stream(1, 0, 0.1) for i in range(50)})
    meters = Meters(most_series=2)
    meters.watcher = watched(40)
    found = scraped(meters, many)
    assert sum(key[0] == "sfm_stream_ticks_total" for key in found) == 2
    assert sum(key[0] == "sfm_stream_scores_total" for key in found) == 2
    assert found["sfm_stream_unlisted",] == 2 + 48


def test_two_processes_in_one_do_not_meet():
    one, other = Meters(), Meters()
    one.observe_step(0.1)
    assert scraped(one)["sfm_stream_step_seconds_count",] == 1
    assert scraped(other)["sfm_stream_step_seconds_count",] == 0
    assert not [m for m in REGISTRY.collect() if m.name.startswith("sfm_stream")]


def test_the_page_is_of_the_type_that_is_asked_for():
    meters = Meters()
    plain, kind = page(meters.metrics(WELL), "text/plain")
    assert kind.startswith("text/plain; version=")
    assert not plain.endswith(b"# EOF\n")
    accepted = "application/openmetrics-text; version=1.0.0"
    open_metrics, kind = page(meters.metrics(WELL), accepted)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics.endswith(b"# EOF\n")
