"""Every experiment in one command, in the smallest form."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import soundfile
from scipy.io import savemat

from sfm_stream.paper.analyses import ablations, whole
from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.tasks import music, phonemes, registry, signals
from sfm_stream.paper.training.loop import Schedule
from sfm_stream.paper.training.trials import Order

BRIEF = Schedule(1, 4, 1e-2, 1)


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path):
    """Give the command in an empty folder, on tiny data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "QUICK", signals.Size(8, 4, 4, 6, BRIEF))
    monkeypatch.setattr(music, "QUICK", music.Size(2, BRIEF))
    monkeypatch.setattr(phonemes, "QUICK", phonemes.Size(1, BRIEF))
    stream = {
        "feed": {"connector": "synthetic", "options": {"ticks": 200}},
        "run": {"warmup": 20},
    }
    monkeypatch.setattr(ablations, "STREAMS", {"tones": stream})
    return partial(sfm_stream, "paper", "all", "--quick", "--processes", "1",
                   "--data", str(tmp_path), "--out", "found")  # fmt: skip


def keep_chorales(folder):
    rng = np.random.default_rng(0)
    pieces = np.empty((1, 2), object)
    pieces[0, :] = [(rng.random((4, 88)) < 0.05).astype(np.uint8) for _ in range(2)]
    folder.mkdir()
    savemat(folder / "JSB_Chorales.mat", dict.fromkeys(piano_rolls.LISTS, pieces))


def keep_speech(folder):
    rng = np.random.default_rng(0)
    for speaker in ("fa", "fb", "fc", "fd", "faem0", "mbgt0"):
        place = folder / f"dr1-{speaker}"
        place.mkdir(parents=True)
        soundfile.write(place / "si1.wav", 0.1 * rng.standard_normal(2000), 16_000)
        (place / "si1.phn").write_text("0 900 h#\n900 2000 iy\n")


def test_one_page_holds_every_table_and_figure(sfm_stream, tmp_path):
    keep_chorales(tmp_path / "music")
    keep_speech(tmp_path / "phonemes")
    code, out, err = sfm_stream()
    assert code == 0, err
    assert out.splitlines()[-1] == "found/paper.html"
    written = (tmp_path / "found/paper.html").read_text()
    for title in ("Signal type", "Polyphonic music", "Phonemes", "Phonemes by fold",
                  "Spectra", "What each part is worth"):  # fmt: skip
        assert f"<h2>{title}</h2>" in written
    assert written.count("<img ") == 8
    assert whole.SMALL in written
    assert whole.ONE in written
    assert "Not run, as the data was not there: muse-data, piano-midi, nottingham." in (
        written
    )
    kept = {path.name for path in (tmp_path / "found").glob("*.md")}
    assert kept == {"signals.md", "music.md", "phonemes.md", "speakers.md",
                    "spectra-signals.md", "ablations.md"}  # fmt: skip


def test_without_data_there_is_a_page_of_what_is_generated(sfm_stream, tmp_path):
    code, _, err = sfm_stream()
    assert code == 0, err
    written = (tmp_path / "found/paper.html").read_text()
    assert "<h2>Signal type</h2>" in written
    assert "<h2>Phonemes</h2>" not in written
    assert "muse-data, jsb, piano-midi, nottingham, phonemes." in written


def test_all_that_is_asked_for_is_trained_ahead(tmp_path):
    keep_chorales(tmp_path / "music")
    order = Order(tmp_path, seeds=(0,))
    makers = whole._makers(whole.Wanted(tmp_path, True, order))
    names = [make().name for make in makers]
    assert names == [*signals.VARIANTS, "music-jsb", "signals-ablations",
                     "music-jsb-ablations"]  # fmt: skip
    assert set(registry.THREE) == {"signals", "jsb", "phonemes"}
