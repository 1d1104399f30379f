"""The paper's first task, in its smallest form."""

from __future__ import annotations

import json

import pytest
import torch

from sfm_stream.cell.baselines.catalogue import CELLS
from sfm_stream.paper.analyses.variants import cell_of
from sfm_stream.paper.tasks import signals
from sfm_stream.paper.training.loop import Schedule

TINY = signals.Size(8, 4, 4, 6, Schedule(1, 4, 1e-2, 1))


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path):
    """Give the program in an empty folder, with the quick size made tiny."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "QUICK", TINY)
    return sfm_stream


def test_the_command_leaves_tables_figures_and_trials(sfm_stream, tmp_path):
    code, out, err = sfm_stream(
        "paper", "signals", "--quick", "--seeds", "0", "--out", "found", "--json"
    )
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert list(found["variants"]) == ["signals", "disturbed"]
    for part in found["variants"].values():
        assert list(part["models"]) == [*CELLS, signals.WIDE]
    kept = {path.name for path in (tmp_path / "found").iterdir()}
    assert kept == {
        "trials",
        *(f"signals.{end}" for end in ("json", "md", "png", "svg")),
    }
    assert (tmp_path / "found/signals.md").read_text().startswith(found["text"])
    for name in found["variants"]:
        made = [*(tmp_path / "found/trials" / name).glob("*.json")]
        assert len(made) == len(CELLS) + 1


@pytest.mark.parametrize("seeds", [",", "a", "-1"])
def test_seeds_that_are_none_are_refused(sfm_stream, seeds):
    code, _, err = sfm_stream("paper", "signals", "--quick", "--seeds", seeds)
    assert code == 1
    assert "--seeds: expected numbers from 0" in err


def test_a_variant_can_be_left_out(sfm_stream):
    words = ("paper", "signals", "--quick", "--models", "gru", "--json")
    _, out, _ = sfm_stream(*words, "--variants", "disturbed")
    assert list(json.loads(out.splitlines()[-1])["variants"]) == ["disturbed"]
    code, _, err = sfm_stream(*words, "--variants", "waves")
    assert code == 1
    assert "--variants: expected some of signals, disturbed, was 'waves'" in err


def test_the_table_has_every_model_and_every_rule(sfm_stream):
    _, out, _ = sfm_stream(
        "paper", "signals", "--quick", "--models", "gru,sfm", "--json"
    )
    rows = json.loads(out.splitlines()[-1])["text"].splitlines()
    assert rows[0] == "| accuracy | parameters | the slides | signals | disturbed |"
    assert rows[2].startswith("| gru | 1,207 | 0.9775 | 0.")
    assert rows[3].startswith("| sfm | 1,038 | 0.9900 | 0.")
    assert rows[4].startswith("| rule: repeats |  |  | ")
    assert len(rows) == 8


def test_the_wide_sfm_is_as_large_as_the_slides_and_has_no_figure_there(sfm_stream):
    _, out, _ = sfm_stream(
        "paper", "signals", "--quick", "--models", "sfm,sfm-wide", "--json"
    )
    found = json.loads(out.splitlines()[-1])
    rows = found["text"].splitlines()
    assert rows[3].startswith("| sfm-wide | 986 |  | 0.")
    sfm, wide = (found["variants"]["disturbed"]["models"][name]["parameters"]
                 for name in ("sfm", "sfm-wide"))  # fmt: skip
    assert 0.9 * sfm < wide <= sfm


def test_the_wide_sfm_is_born_from_its_seed_alone():
    build = signals.experiment("disturbed", TINY).contenders[signals.WIDE].build
    once, again, other = build(3), build(3), build(4)
    assert torch.equal(once.head.weight, again.head.weight)
    assert torch.equal(cell_of(once).w_in, cell_of(again).w_in)
    assert not torch.equal(cell_of(once).w_in, cell_of(other).w_in)


def test_disturbed_signals_can_be_more_and_seen_less_often():
    size = TINY._replace(disturbed=signals.Instead(16, 3))
    plain, more = (signals.experiment(n, size) for n in ("signals", "disturbed"))
    assert (len(plain.splits.train.x), plain.schedule.epochs) == (8, 1)
    assert (len(more.splits.train.x), more.schedule.epochs) == (16, 3)
    assert more.data == {**plain.data, "train": 16}
    assert len(more.splits.test.x) == len(plain.splits.test.x)


def test_inputs_are_scaled_by_what_is_learned_from():
    task = signals.experiment("signals", TINY._replace(train=200))
    x = torch.stack(list(task.splits.train.x))
    torch.testing.assert_close(x.mean((0, 1)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std((0, 1)), torch.ones(2), atol=1e-2, rtol=0)
    assert len(task.splits.test.elapsed) == TINY.test
    other = torch.stack(list(task.splits.test.x)).mean((0, 1))
    assert other.abs().max() > 0.01


def test_the_frequencies_of_a_sfm_move_a_tenth_of_the_way():
    task = signals.experiment("signals", TINY)
    cell = cell_of(task.contenders["a-sfm"].build(0))
    torch.testing.assert_close(cell.delta, torch.full((4,), 0.1 * torch.pi / 4))
    assert task.data["reach"] == 0.1
