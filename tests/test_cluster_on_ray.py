"""Shards on two nodes of Ray on one machine; skipped where Ray is not installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from sfm_stream.cli.options import load_live
from sfm_stream.cli.service import order
from sfm_stream.cluster import joining, on_ray
from sfm_stream.cluster.shards import Shard, folder
from tests.shard_rig import PATIENCE, said, venue

ROOT = Path(__file__).parents[1]
WITHOUT = "Ray is not installed: it takes half a GB, so that CI does without"
NAMES = ["a", "b", "c", "d"]


def orders(config, runs, total):
    """Give what each shard is started with, as the command does."""
    whole = load_live(config, ["daemon.listen=127.0.0.1:0"])
    parts = [Shard(number, total) for number in range(1, total + 1)]
    return {part.number: order(lambda: whole, part, folder(runs, part))
            for part in parts}  # fmt: skip


def until(cluster, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, [one.said for one in cluster.shards.values()]
        cluster.look()
        time.sleep(0.2)


def journalled(run):
    return sum(p.stat().st_size for p in (run / "journal").glob("*.log"))


@pytest.mark.skipif(find_spec("ray") is None, reason=WITHOUT)
def test_a_lost_node_costs_time_and_nothing_else(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lines, runs = [], tmp_path / "runs"
    machines = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
    )
    nodes = [machines.add_node(num_cpus=2) for _ in range(2)]
    ray = joining.found()
    ray.init(address=machines.address, log_to_driver=False)
    try:
        with venue(tmp_path, NAMES, lease="3s") as config:
            given = orders(config, runs, 2)
            cluster = on_ray.Cluster(given, machines.address, lines.append)
            homes = [one.folder for one in given.values()]
            until(cluster, lambda: all(
                one.last and one.last.state == "live" for one in cluster.shards.values()
            ))  # fmt: skip
            until(cluster, lambda: all(journalled(run) > 1_000 for run in homes))
            before = {n: one.last.pid for n, one in cluster.shards.items()}
            home = cluster.shards[1].last.node
            (lost,) = (node for node in nodes if node.node_id == home)
            machines.remove_node(lost, allow_graceful=False)
            begun = time.monotonic()
            until(cluster, lambda: any(
                one.last.pid != before[n] and one.last.state == "live"
                for n, one in cluster.shards.items()
            ))  # fmt: skip
            took = time.monotonic() - begun
            sizes = [journalled(run) for run in homes]
            until(cluster, lambda: all(
                journalled(run) > size for run, size in zip(homes, sizes, strict=True)
            ))  # fmt: skip
            ended = cluster.stop()
        assert [(one.state, one.problem) for one in ended] == [("stopped", "")] * 2
        sys.stdout.write(f"live again after {took:.1f} s\n")
    finally:
        ray.shutdown()
        machines.shutdown()
    for run in homes:
        told, code = said("verify", run)
        assert (code, "are identical" in told) == (0, True), told


@pytest.mark.skipif(find_spec("ray") is None, reason=WITHOUT)
def test_the_command_starts_and_stops_all_shards(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with venue(tmp_path, NAMES) as config:
        runs = tmp_path / "runs"
        line = [sys.executable, "-m", "sfm_stream", "cluster", str(config),
                "--shards", "2", "--out", str(runs)]  # fmt: skip
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(line, stderr=log, stdout=log)  # noqa: S603
            end = time.monotonic() + PATIENCE
            homes = [runs / "shard-1", runs / "shard-2"]
            while not all(journalled(run) > 1_000 for run in homes):
                assert time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.2)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert "2 shards stopped" in (tmp_path / "log").read_text()
    for run in homes:
        assert said("verify", run)[1] == 0
