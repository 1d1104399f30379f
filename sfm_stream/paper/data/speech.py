"""Reads speech with its phones, the data of the paper's third task: TIMIT or a sample.

A sentence is a sound file, NIST SPHERE or RIFF, and a `.phn` file of the same name with
a line `start end phone` per phone, in samples. In the whole corpus the paths are like
`train/dr1/fcjf0/si1027.wav`, in upper or lower case; in a sample of the corpus they are
like `dr1-fcjf0/si1027.wav`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.paper.data.sequences import Sequences
from sfm_stream.paper.training.loop import Splits

PHONES = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ax-h", "axr", "ay", "b", "bcl", "ch", "d",
    "dcl", "dh", "dx", "eh", "el", "em", "en", "eng", "epi", "er", "ey", "f", "g",
    "gcl", "h#", "hh", "hv", "ih", "ix", "iy", "jh", "k", "kcl", "l", "m", "n",
    "ng", "nx", "ow", "oy", "p", "pau", "pcl", "q", "r", "s", "sh", "t", "tcl",
    "th", "uh", "uw", "ux", "v", "w", "y", "z", "zh",
)  # fmt: skip
FEATURES = 26

# Distance and length of frames, seconds.
SHIFT, WINDOW = 0.010, 0.025
# Frames over which a slope is fitted.
SLOPE = 5

# The test speakers of a sample without a test folder.
TEST_SPEAKERS = frozenset({"faem0", "mbgt0"})
# Of the other speakers, one in VALID_SHARE is for validation, and at least VALID_LEAST.
VALID_SHARE, VALID_LEAST = 20, 2
# Two speakers for training, two for validation, two for the test.
LEAST_SPEAKERS = 6
# Prefix of the sentences that every speaker reads: a model would learn them by heart.
READ_BY_ALL = "sa"


class Sentence(NamedTuple):
    """The files and the speaker of a sentence.

    Attributes:
        sound: the sound file.
        phones: the file of the labels.
        speaker: name of five letters and digits.
        test: whether the sentence is in the test folder.
    """

    sound: Path
    phones: Path
    speaker: str
    test: bool


Parts = tuple[list[Sentence], list[Sentence], list[Sentence]]
"""Training, validation and test."""


def load(folder: Path, sentences: int | None = None) -> Splits:
    """Read a corpus as frames: features [T, 26] and the index of each phone [T].

    Frames of 25 ms begin every 10 ms; the label is the phone at the middle. The
    features are the log-energy, 12 mel-frequency cepstral coefficients, and the slopes
    of these over five frames.

    Args:
        folder: of the corpus.
        sentences: number of first sentences of each split to take; None takes all.

    Raises:
        ConfigError: if a library of the extra `paper` is absent.
        FeedError: if there are no sentences, or a file cannot be used.
    """
    return _read(split(find(folder)), sentences)


def count_folds(folder: Path) -> int:
    """Count the folds of a corpus, one per two speakers.

    Raises:
        FeedError: if there are fewer than six speakers, or no sentences.
    """
    return len(_folds(folder))


def load_fold(folder: Path, fold: int, sentences: int | None = None) -> Splits:
    """Read a fold of a corpus, in the form of `load`.

    Args:
        folder: of the corpus.
        fold: number of the fold, from 0.
        sentences: number of first sentences of each split to take; None takes all.

    Raises:
        ConfigError: if a library of the extra `paper` is absent.
        FeedError: as `load` raises it, and if there are fewer than six speakers.
    """
    return _read(_folds(folder)[fold], sentences)


def _folds(folder: Path) -> list[Parts]:
    found = find(folder)
    if len({one.speaker for one in found}) < LEAST_SPEAKERS:
        problem = f"expected at least {LEAST_SPEAKERS} speakers, were fewer"
        raise FeedError(str(folder), problem, "without folds two are enough")
    return folds(found)


def find(folder: Path) -> list[Sentence]:
    """Find all sentences below a folder except those that every speaker reads.

    Raises:
        FeedError: if there are no sentences, or a label file has no sound file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sounds = {
        path.with_suffix(""): path for path in files if path.suffix.lower() == ".wav"
    }
    labels = [path for path in files if path.suffix.lower() == ".phn"]
    found = []
    for path in labels:
        if path.stem.lower().startswith(READ_BY_ALL):
            continue
        if path.with_suffix("") not in sounds:
            raise FeedError(str(path), "expected a .wav of the same name, was none")
        above = [part.lower() for part in path.relative_to(folder).parts[:-1]]
        speaker = path.parent.name.lower().rpartition("-")[2]
        sound = sounds[path.with_suffix("")]
        found.append(Sentence(sound, path, speaker, test="test" in above))
    if not found:
        problem = "expected sentences as .phn and .wav, was none"
        raise FeedError(str(folder), problem, "name their folder with --data")
    return found


def split(sentences: Sequence[Sentence]) -> Parts:
    """Divide sentences by speaker into training, validation and test.

    The test split is the test folder, or without one two fixed speakers. Among the
    other speakers, in alphabetical order, speakers at equal distances are for
    validation.
    """
    whole = any(one.test for one in sentences)
    test = [s for s in sentences if (s.test if whole else s.speaker in TEST_SPEAKERS)]
    rest = [s for s in sentences if s not in test]
    speakers = sorted({s.speaker for s in rest})
    count = max(VALID_LEAST, len(speakers) // VALID_SHARE)
    apart = max(1, len(speakers) // count)
    stopping = set(speakers[apart // 2 :: apart][:count])
    valid = [s for s in rest if s.speaker in stopping]
    return [s for s in rest if s.speaker not in stopping], valid, test


def folds(sentences: Sequence[Sentence]) -> list[Parts]:
    """Divide sentences into folds of two test speakers, each speaker in one fold.

    The test speakers of the next fold are the validation split. With an odd number of
    speakers, one group has three.
    """
    speakers = sorted({one.speaker for one in sentences})
    count = len(speakers) // 2

    def of(these: Sequence[str]) -> list[Sentence]:
        return [one for one in sentences if one.speaker in these]

    parts = []
    for at in range(count):
        test, valid = speakers[at::count], speakers[(at + 1) % count :: count]
        rest = [name for name in speakers if name not in (*test, *valid)]
        parts.append((of(rest), of(valid), of(test)))
    return parts


def _read(parts: Parts, sentences: int | None) -> Splits:
    return Splits(*(_sequences(part[:sentences]) for part in parts))


def _sequences(sentences: Sequence[Sentence]) -> Sequences:
    x, y = [], []
    for one in sentences:
        cepstra, rate = _cepstra(one.sound)
        x.append(torch.tensor(np.concatenate([cepstra, _slopes(cepstra)], 1)))
        middles = (np.arange(len(cepstra)) * SHIFT + WINDOW / 2.0) * rate
        y.append(torch.tensor(_phones(one.phones, middles)))
    return Sequences(x, y)


def _cepstra(path: Path) -> tuple[NDArray[np.float32], int]:
    """Compute log-energy and cepstra of every frame [T, 13], and the sample rate."""
    try:
        import kaldi_native_fbank as kaldi
        import soundfile
    except ImportError as e:
        hint = "install it: pip install 'sfm-stream[paper]'"
        raise ConfigError("paper", f"{e.name} is absent", hint) from e
    try:
        sound, rate = soundfile.read(path, dtype="int16")
    except (OSError, soundfile.LibsndfileError) as e:
        problem = f"expected a sound file, cannot be read: {e}"
        raise FeedError(str(path), problem) from e
    if sound.ndim != 1 or len(sound) < WINDOW * rate:
        problem = f"expected one channel of {WINDOW} s or more, was {list(sound.shape)}"
        raise FeedError(str(path), problem)
    options = kaldi.MfccOptions()
    options.use_energy, options.num_ceps = True, FEATURES // 2
    options.frame_opts.samp_freq, options.frame_opts.dither = rate, 0.0
    options.frame_opts.frame_shift_ms = SHIFT * 1e3
    options.frame_opts.frame_length_ms = WINDOW * 1e3
    heard = kaldi.OnlineMfcc(options)
    heard.accept_waveform(rate, sound.astype(np.float32).tolist())
    heard.input_finished()
    frames = [heard.get_frame(at) for at in range(heard.num_frames_ready)]
    return np.stack(frames), rate


def _slopes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.signal import savgol_filter

    slopes: NDArray[np.float32] = savgol_filter(
        values, SLOPE, polyorder=1, deriv=1, axis=0, mode="nearest"
    )
    return slopes


def _phones(path: Path, samples: NDArray[np.floating]) -> NDArray[np.int64]:
    """Give the index in `PHONES` of the phone at each sample."""
    ends: list[int] = []
    places: list[int] = []
    for row, line in enumerate(path.read_text("ascii").splitlines(), 1):
        match line.split():
            case [start, end, phone] if (start + end).isdigit() and phone in PHONES:
                ends.append(int(end))
                places.append(PHONES.index(phone))
            case _:
                problem = f"expected `start end phone`, was {line!r}"
                raise FeedError(str(path), problem, row=row)
    if not ends:
        raise FeedError(str(path), "expected `start end phone`, was empty")
    at = np.searchsorted(ends, samples, side="right").clip(max=len(ends) - 1)
    spoken: NDArray[np.int64] = np.array(places)[at]
    return spoken
