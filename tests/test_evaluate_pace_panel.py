from __future__ import annotations

import pytest

from sfm_stream.errors import ConfigError
from sfm_stream.evaluate.pace import panel


@pytest.mark.parametrize("cores", [1, 2])
def test_panels_of_each_size_are_measured_model_by_model(monkeypatch, cores):
    monkeypatch.setattr(panel, "cores", lambda: cores)
    for name, size in {"TICKS": 2, "EVENTS": 4, "LEAST": 1, "MOST": 2}.items():
        monkeypatch.setattr(panel, name, size)
    said = []
    found = panel.measure(said.append, "cpu", [1, 3])
    assert found.pop("device") == "cpu"
    where = [" on 1 core", " on 2 cores"][:cores]
    assert set(found) == {
        *(f"{name}{on}, ticks/s" for name in panel.MODELS for on in where),
        *(f"round{on}, us" for on in where),
        *(
            f"{of}{on}, times one"
            for of in (*panel.MODELS, "round")
            for on in where[1:]
        ),
    }
    for figures in found.values():
        assert set(figures) == {"1", "3"}
        assert all(value > 0 for value in figures.values())
    assert len(said) == 2 * (len(panel.MODELS) + 1)


def test_cores_are_compared_by_the_median_of_pairs():
    found = {}
    taken = {" on 1 core": [4.0, 9.0, 2.0], " on 2 cores": [2.0, 3.0, 2.0]}
    panel._compare(found, "tick", 8, taken)
    panel._compare(found, "tick", 16, {"": [1.0]})  # nothing beside it
    assert found == {"tick on 2 cores, times one": {"8": 2.0}}


def test_a_panels_block_holds_each_stream_at_each_tick():
    block = panel._block(4, 3, 2)
    assert block.stream.tolist() == [0, 1, 2, 0, 1, 2]
    seconds = (block.time - panel.FIRST_TIME) // panel.SECOND
    assert seconds.tolist() == [4, 4, 4, 5, 5, 5]


def test_sizes_are_whole_numbers():
    assert panel.sizes("1, 64") == [1, 64]
    assert panel.sizes("") == [1, 64, 1024]
    with pytest.raises(ConfigError, match=r"--streams: expected whole numbers"):
        panel.sizes("1,many")


def test_what_kernels_need_of_a_gpu_is_told_without_one(monkeypatch):
    pytest.importorskip("cuda.core", reason="needs the extra `cuda`")
    monkeypatch.setattr(panel, "ARCHITECTURES", ("sm_90",))
    found = panel.compiled(lambda _: None)
    assert {name.split()[0] for name in found} == {"default", "C0"}
    assert all(facts["spilled_bytes"] == 0 for facts in found.values())
