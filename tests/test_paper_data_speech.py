"""Speech and its phones as frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sfm_stream.errors import FeedError
from sfm_stream.paper.data import speech
from sfm_stream.paper.data.speech import Sentence

REAL = Path(__file__).parents[2] / "shared/data/phonemes"
RATE = 16_000


def tone(seconds=0.5, pitch=440.0, seed=0):
    t = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return 0.3 * np.sin(2 * np.pi * pitch * t) + 0.01 * noise


def keep(path, phones=((0, 4000, "h#"), (4000, 8000, "iy")), **options):
    """Write a sentence: its sound and its labels, in the letters of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    upper = path.name.isupper()
    options = {"format": "WAV", "subtype": "PCM_16", **options}
    sound = path.with_suffix(".WAV" if upper else ".wav")
    soundfile.write(sound, tone(), RATE, **options)
    lines = "".join(f"{a} {b} {name}\n" for a, b, name in phones)
    path.with_suffix(".PHN" if upper else ".phn").write_text(lines)
    return sound


def sample(folder, speakers=6):
    names = [f"dr1-f{at}" for at in range(speakers)] + ["dr2-faem0", "dr5-mbgt0"]
    for name in names:
        keep(folder / name / "si1")
    return folder


def test_a_frame_has_the_phone_of_its_middle(tmp_path):
    train, _, _ = speech.load(sample(tmp_path))
    said = [speech.PHONES[at] for at in train.y[0]]
    # middles lie at 200, 360, ...: the 24th frame's at 3880, the 25th's at 4040
    assert said == ["h#"] * 24 + ["iy"] * (48 - 24)
    assert train.x[0].shape == (48, speech.FEATURES)
    assert train.x[0].dtype == torch.float32


def test_the_first_feature_is_the_log_energy(tmp_path):
    keep(tmp_path / "one" / "si1")
    cepstra, _ = speech._cepstra(tmp_path / "one" / "si1.wav")
    sound, _ = soundfile.read(tmp_path / "one" / "si1.wav", dtype="int16")
    windows = np.stack([sound[at : at + 400] for at in range(0, 48 * 160, 160)])
    windows = windows - windows.mean(-1, keepdims=True)
    energy = np.log((windows.astype(float) ** 2).sum(-1))
    np.testing.assert_allclose(cepstra[:, 0], energy, atol=1e-3)


def test_slopes_are_those_of_a_line_through_five_frames():
    values = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    edged = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    expected = sum(
        n * (edged[2 + n : 11 + n] - edged[2 - n : 11 - n]) for n in (1, 2)
    ) / (2 * (1 + 4))
    np.testing.assert_allclose(speech._slopes(values), expected, atol=1e-6)


def test_features_are_the_same_of_both_headers_and_every_time(tmp_path):
    riff = keep(tmp_path / "a" / "si1")
    sphere = keep(tmp_path / "b" / "SI1", format="NIST")
    assert sphere.read_bytes().startswith(b"NIST_1A")
    first, second = speech._cepstra(riff), speech._cepstra(sphere)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[0], speech._cepstra(riff)[0])


def test_sentences_that_all_speakers_read_are_left_out(tmp_path):
    keep(tmp_path / "dr1-fcjf0" / "sa1")
    keep(tmp_path / "dr1-fcjf0" / "sx37")
    assert [one.sound.stem for one in speech.find(tmp_path)] == ["sx37"]


def test_the_whole_corpus_is_found_in_either_case(tmp_path):
    keep(tmp_path / "TIMIT/TRAIN/DR1/FCJF0/SI1027")
    keep(tmp_path / "TIMIT/TEST/DR2/MDAB0/SX49", format="NIST")
    keep(tmp_path / "timit/test/dr2/mdab1/sx50")
    found = {(one.speaker, one.test) for one in speech.find(tmp_path)}
    assert found == {("fcjf0", False), ("mdab0", True), ("mdab1", True)}


def sentences(speakers, test=()):
    spoken = [*speakers, *speakers, *test]
    return [Sentence(Path(f"{s}.wav"), Path(f"{s}.phn"), s, s in test) for s in spoken]


@pytest.mark.parametrize(("count", "stopping"), [(10, 2), (40, 2), (462, 23)])
def test_splits_share_no_speaker_and_lose_none(count, stopping):
    names = [f"s{at:03}" for at in range(count)]
    parts = speech.split(sentences(names, test=["t1", "t2"]))
    train, valid, test = ({s.speaker for s in part} for part in parts)
    assert test == {"t1", "t2"}
    assert len(valid) == stopping
    assert train | valid == set(names)
    assert not train & valid
    assert sum(map(len, parts)) == 2 * count + 2


def test_without_a_test_folder_two_speakers_are_the_test(tmp_path):
    parts = speech.split(speech.find(sample(tmp_path)))
    assert {s.speaker for s in parts[2]} == {"faem0", "mbgt0"}
    assert [len(part) for part in parts] == [4, 2, 2]


def test_a_folder_without_sentences_is_refused(tmp_path):
    with pytest.raises(FeedError, match="was none; name their folder with --data"):
        speech.find(tmp_path)


def test_labels_without_a_sound_are_refused(tmp_path):
    keep(tmp_path / "dr1-fcjf0" / "si1").unlink()
    with pytest.raises(FeedError, match=r"si1.phn: expected a .wav of the same name"):
        speech.find(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 4000", r"row 1: expected `start end phone`, was '0 4000'"),
        ("0 x iy", "was '0 x iy'"),
        ("0 4000 zzz", "was '0 4000 zzz'"),
        ("", "was empty"),
    ],
)
def test_a_damaged_label_is_refused_by_its_row(tmp_path, line, problem):
    sample(tmp_path)
    (tmp_path / "dr1-f0/si1.phn").write_text(line)
    with pytest.raises(FeedError, match=problem):
        speech.load(tmp_path)


def test_a_damaged_sound_is_refused(tmp_path):
    path = keep(tmp_path / "one" / "si1")
    path.write_bytes(b"RIFF")
    with pytest.raises(FeedError, match="expected a sound file, cannot be read"):
        speech._cepstra(path)


@pytest.mark.parametrize("sound", [np.zeros(300), np.zeros((8000, 2))])
def test_a_sound_that_is_no_sentence_is_refused(tmp_path, sound):
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    with pytest.raises(FeedError, match=r"expected one channel of 0\.025 s or more"):
        speech._cepstra(tmp_path / "a.wav")


@pytest.mark.skipif(not REAL.exists(), reason="the sample of TIMIT is not there")
def test_the_sample_is_parted_as_it_is_known_to_be():
    parts = speech.split(speech.find(REAL))
    assert [len(part) for part in parts] == [64, 16, 16]
    assert {s.speaker for s in parts[2]} == {"faem0", "mbgt0"}


def test_folds_count_every_speaker_once_and_stop_by_others():
    names = ["a", "b", "c", "d", "e", "f", "g"]
    spoken = [speech.Sentence(Path(n), Path(n), n, test=False) for n in names]
    parts = speech.folds(spoken)
    who = [[[one.speaker for one in part] for part in fold] for fold in parts]
    assert [test for _, _, test in who] == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert [valid for _, valid, _ in who] == [["b", "e"], ["c", "f"], ["a", "d", "g"]]
    for train, valid, test in who:
        assert sorted(train + valid + test) == names
