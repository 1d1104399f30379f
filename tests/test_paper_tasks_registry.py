"""The paper's tasks by name."""

from __future__ import annotations

import pickle

import pytest

from sfm_stream.errors import ConfigError
from sfm_stream.paper.tasks import music, phonemes, registry, signals
from sfm_stream.paper.training.loop import Schedule

TINY = signals.Size(8, 4, 4, 6, Schedule(1, 4, 1e-2, 1))


@pytest.mark.parametrize("name", signals.VARIANTS)
def test_a_task_of_signals_has_both_sizes_and_needs_no_data(
    name, monkeypatch, tmp_path
):
    monkeypatch.setattr(signals, "FULL", TINY)
    monkeypatch.setattr(signals, "QUICK", TINY._replace(train=6))
    task = registry.find(name)
    full, quick = (task.maker(tmp_path, few)() for few in (False, True))
    assert (full.name, full.data["train"], quick.data["train"]) == (name, 8, 6)
    assert registry.present([name], tmp_path) == [name]


@pytest.mark.parametrize(
    ("module", "name", "place"),
    [(music, "jsb", ("jsb", "music")), (phonemes, "phonemes", ("phonemes",))],
)
def test_a_task_with_data_is_read_from_its_folder(
    module, name, place, monkeypatch, tmp_path
):
    task, asked = registry.find(name), []
    monkeypatch.setattr(module, "experiment", lambda *given: asked.append(given))
    task.maker(tmp_path, False)()
    task.maker(tmp_path, True)()
    *where, folder = place
    expected = [
        (*where, tmp_path / folder, size) for size in (module.FULL, module.QUICK)
    ]
    assert asked == expected


@pytest.mark.parametrize("name", registry.TASKS)
def test_what_makes_a_task_can_be_sent_to_another_process(name, tmp_path):
    make = registry.find(name).maker(tmp_path, True)
    again = pickle.loads(pickle.dumps(make))
    assert (again.func, again.args) == (make.func, make.args)


def test_only_tasks_whose_data_is_there_are_present(tmp_path):
    assert registry.present(registry.THREE, tmp_path) == ["signals"]
    (tmp_path / "music").mkdir()
    (tmp_path / "music/JSB_Chorales.mat").write_bytes(b"")
    (tmp_path / "phonemes").mkdir()
    assert registry.present(registry.THREE, tmp_path) == list(registry.THREE)


def test_a_task_that_there_is_not_is_refused():
    with pytest.raises(
        ConfigError, match=r"--task: expected one of signals, .*'waves'"
    ):
        registry.find("waves")
