"""Tasks on two nodes of Ray on one machine; skipped where Ray is not installed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from concurrent.futures import wait
from importlib.util import find_spec
from pathlib import Path

import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError, InvalidState
from sfm_stream.evaluate import kept, suite, workers
from sfm_stream.evaluate.sweep import carry_out
from tests.test_evaluate_suite import CONFIG, SUITE

ROOT = Path(__file__).parents[1]
TICKS = 300
pytestmark = pytest.mark.skipif(
    find_spec("ray") is None,
    reason="Ray is not installed: it takes half a GB, so that CI does without",
)


@pytest.fixture(scope="module")
def machines():
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # nodes have the package, not the tests' path
    found = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    found.add_node(num_cpus=1)
    yield found
    found.shutdown()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def points(out):
    configs = [
        from_tree({
            "feed": {"connector": "synthetic", "options": {"ticks": TICKS}},
            "model": {"states": 4, "frequencies": 2}, "learn": {"lr": rate},
        })
        for rate in (1e-3, 2e-3, 3e-3)
    ]  # fmt: skip
    return carry_out.points(configs, open_feed, out)


def test_a_sweep_on_nodes_finds_what_it_finds_here(machines, tmp_path):
    found = []
    for address in (machines.address, ""):
        with workers.open_workers(address, 2 if not address else None) as (pool, most):
            assert most == 2
            out = tmp_path / (address.replace(":", "_") or "here")
            found.append(carry_out.carry_out(points(out), open_feed, pool, parts=most))
    there, here = ([one["cells"] for one in results] for results in found)
    assert there == here


def test_a_suite_on_nodes_finds_what_it_finds_here(machines, tmp_path):
    for name in ("one", "two"):
        rows = "".join(f"{i % 7 + (i * i) % 5}\n" for i in range(80))
        (tmp_path / f"{name}.csv").write_text(f"a\n{rows}")
    (tmp_path / "x.toml").write_text(CONFIG)
    (tmp_path / "suite.toml").write_text(SUITE)

    def load(path, given):
        from sfm_stream import config

        return config.load(path, [f'feed.path="{tmp_path}/one.csv"', *given])

    source = suite.Source(load, open_feed)
    values = []
    for address in (machines.address, ""):
        out = tmp_path / ("out-here" if not address else "out-there")
        with workers.open_workers(address, 2) as (pool, _):
            found = suite.carry_out(
                tmp_path, suite.read(tmp_path), ["last", "mean"], source, out, pool
            )
        values.append({name: one["values"] for name, one in found["x"].items()})
    assert values[0] == values[1]


def refuse(path):
    raise FeedError(path, "cannot be read")


def die_once(path):
    """Die as a lost process does, but the first time alone."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_error_there_is_the_error_here(machines):
    with workers.open_workers(machines.address, 1) as (pool, _):
        with pytest.raises(FeedError, match="cannot be read"):
            pool.submit(refuse, "ticks.csv").result()


def test_a_task_of_a_lost_process_is_carried_out_again(machines, tmp_path):
    with workers.open_workers(machines.address, 2) as (pool, _):
        first = pool.submit(die_once, str(tmp_path / "died"))
        second = pool.submit(os.getpid)
        assert len({first.result(), second.result(), os.getpid()}) == 3


def test_a_process_that_is_lost_again_and_again_ends_it(machines):
    with pytest.raises(InvalidState, match="ended from outside"):
        with workers.open_workers(machines.address, 1) as (pool, _):
            list(workers.finished({pool.submit(die): ""}))


def test_what_is_interrupted_ends_on_the_nodes_too(machines):
    def interrupted():
        with workers.open_workers(machines.address, 1) as (pool, _):
            futures = [pool.submit(time.sleep, 600) for _ in range(2)]
            assert not wait(futures, timeout=3).done
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begun < 60


def test_a_node_without_the_folder_or_with_other_code_is_named(
    machines, tmp_path, monkeypatch
):
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    with workers.open_workers(machines.address, 1) as (pool, _):
        shutil.rmtree(away)
        with pytest.raises(
            ConfigError, match=f"expected the folder {away} on all nodes"
        ):
            pool.submit(os.getpid).result()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kept, "code", lambda: "other")
    with workers.open_workers(machines.address, 1) as (pool, _):
        with pytest.raises(ConfigError, match="expected the same code on all nodes"):
            pool.submit(os.getpid).result()
