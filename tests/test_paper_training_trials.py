"""Every model and seed is trained once and kept."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.paper.data.sequences import Sequences
from sfm_stream.paper.training import trials
from sfm_stream.paper.training.loop import Contender, Objective, Schedule, Splits
from sfm_stream.paper.training.trials import Experiment, Order


def error(model, batch):
    return (model(batch.x)[0, :, 0] - batch.y).square()


OBJECTIVE = Objective(error, lambda m, b: {"mse": error(m, b)}, error)


@pytest.fixture
def built():
    """What was built, in turn."""
    return []


@pytest.fixture
def experiment(built):
    def contender(name):
        def build(seed):
            built.append(f"{name}-{seed}")
            torch.manual_seed(seed)
            return nn.Linear(1, 1)

        return Contender(build, OBJECTIVE)

    x = list(torch.linspace(-1, 1, 8).reshape(8, 1, 1))
    part = Sequences(x, [one[0, 0] for one in x])
    return Experiment(
        "line", {"count": 8}, Splits(part, part, part), Schedule(2, 4, 0.1, 2),
        {"a": contender("a"), "b": contender("b")},
    )  # fmt: skip


@pytest.fixture
def order(tmp_path):
    return Order(tmp_path, seeds=(0, 1))


def test_every_model_has_a_result_before_the_second_seed(experiment, order, built):
    results = trials.carry_out(experiment, order)
    assert built == ["a-0", "b-0", "a-1", "b-1"]
    assert [(r["model"], r["seed"]) for r in results] == [
        ("a", 0), ("b", 0), ("a", 1), ("b", 1)
    ]  # fmt: skip
    first = results[0]
    assert first["task"] == "line"
    assert first["parameters"] == 2
    assert len(first["history"]) == 2
    assert first["valid"] == first["test"] == {"mse": first["history"][-1]["valid"]}


def test_what_is_there_is_not_trained_again(experiment, order, built):
    first = trials.carry_out(experiment, order)
    built.clear()
    (order.out / "trials/line/b-1.json").unlink()  # as if it was stopped there
    second = trials.carry_out(experiment, order)
    assert built == ["b-1"]
    for a, b in zip(first, second, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"count": 9}},
        {"schedule": Schedule(1, 4, 0.1, 2)},
    ],
)
def test_a_result_of_other_settings_does_not_count(experiment, order, built, change):
    trials.carry_out(experiment, order)
    built.clear()
    trials.carry_out(experiment._replace(**change), order)
    assert len(built) == 4


def test_a_model_learns_at_its_own_rate(experiment, order):
    own = experiment.contenders["b"]._replace(lr=0.0)
    experiment = experiment._replace(contenders={**experiment.contenders, "b": own})
    a, b, *_ = trials.carry_out(experiment, order)
    assert (a["schedule"]["lr"], b["schedule"]["lr"]) == (0.1, 0.0)
    assert len({epoch["valid"] for epoch in a["history"]}) == 2
    assert len({epoch["valid"] for epoch in b["history"]}) == 1


def test_models_are_chosen_by_name(experiment, order, built):
    trials.carry_out(experiment, order._replace(models=["b"]))
    assert built == ["b-0", "b-1"]
    with pytest.raises(ConfigError, match="--models: expected some of a, b, was 'c'"):
        trials.carry_out(experiment, order._replace(models=["b", "c"]))


def test_weights_come_back_as_they_were(experiment, order):
    results = trials.carry_out(experiment, order)
    model = trials.trained(experiment, "a", 1, order.out)
    assert not model.training
    x = experiment.splits.test.x
    found = [(model(one)[0, 0] - one[0, 0]).square().item() for one in x]
    assert sum(found) / len(found) == pytest.approx(results[2]["test"]["mse"])


def test_weights_that_are_absent_are_asked_for(experiment, order):
    with pytest.raises(SinkError, match=r"a-0.safetensors: cannot be .*; train it"):
        trials.trained(experiment, "a", 0, order.out)


def test_a_damaged_result_is_an_error(experiment, order):
    trials.carry_out(experiment, order)
    (order.out / "trials/line/a-0.json").write_text("{")
    with pytest.raises(SinkError, match=r"a-0.json: cannot be read: .*; delete it"):
        trials.carry_out(experiment, order)


def test_progress_and_results_are_told(experiment, order):
    said, seen = [], []
    watch = trials.Watch(said.append, lambda *told: seen.append(told))
    trials.carry_out(experiment, order._replace(models=["a"], watch=watch))
    assert said[0].startswith("line: a, seed 0: mse ")
    assert len(said) == 2
    assert seen[0] == ("line: a, seed 0", 1, 4)
    assert json.loads((order.out / "trials/line/a-0.json").read_text())["seed"] == 0
