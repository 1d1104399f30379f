from __future__ import annotations

import numpy as np
import pytest

from sfm_stream import config
from sfm_stream.backends import contract
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.events import Block, Tick

pytest.importorskip("numba_cuda", reason="needs the extra `cuda`")
core = pytest.importorskip("cuda.core", reason="needs the extra `cuda`")
START, SECOND = 1_700_000_000 * 10**9, 10**9


def has_gpu():
    try:
        core.Device(0).set_current()
    except Exception:  # noqa: BLE001 the driver's errors have no common kind
        return False
    return True


HAS_GPU = has_gpu()


@pytest.mark.skipif(HAS_GPU, reason="an NVIDIA GPU is at hand")
@pytest.mark.parametrize("backend", ["auto", "cuda"])
def test_without_a_gpu_the_device_and_the_way_out_are_named(backend):
    with pytest.raises(ConfigError, match=r"run\.device: no GPU for 'cuda:1'.*cpu"):
        contract.choose(backend, "cuda:1")


@pytest.mark.parametrize("device", ["cpu", "cuda:", "cuda:x", "gpu"])
def test_a_device_that_is_no_gpu_is_refused(device):
    with pytest.raises(ConfigError, match=r"expected cuda or cuda:N, was"):
        contract.choose("cuda", device)


def capture(streams, ticks, seed=0):
    """Give ticks of many streams, some of which are silent at times."""
    rng = np.random.default_rng(seed)
    walk = rng.standard_normal((ticks, streams)).cumsum(axis=0)
    spoken = rng.random((ticks, streams)) < 0.8
    return [
        Tick(f"s{j}", START + i * SECOND, (float(walk[i, j]),))
        for i in range(ticks)
        for j in range(streams)
        if spoken[i, j]
    ]


@pytest.mark.cuda
@pytest.mark.skipif(not HAS_GPU, reason="needs an NVIDIA GPU and its driver")
@pytest.mark.parametrize("cell", ["sfm", "a-sfm"])
@pytest.mark.parametrize("horizons", [[1], [1, 3, 10]])
@pytest.mark.parametrize("shared", [False, True])
def test_records_of_a_capture_are_those_of_the_cpu(cell, horizons, shared):
    tree = {"model": {"cell": cell, "shared": shared}, "target": {"horizons": horizons}}
    said = {}
    for device in ("cpu", "cuda"):
        engine = Engine(config.from_tree({**tree, "run": {"device": device}}), ["x"])
        events = capture(64, 400)
        said[device] = [
            engine.run(Block.of(events[begin : begin + 4096], 1)).columns
            for begin in range(0, len(events), 4096)
        ]
    for cpu, cuda in zip(said["cpu"], said["cuda"], strict=True):
        for kind, columns in cpu.items():
            for name, column in columns.items():
                if np.asarray(column).dtype.kind == "f":
                    np.testing.assert_allclose(
                        cuda[kind][name], column, rtol=1e-2, atol=1e-2
                    )
                else:
                    assert (cuda[kind][name] == column).all(), (kind, name)
