"""Runs all experiments of the paper in turn, and writes the page with their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sfm_stream.paper.analyses import ablations, spectra
from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.output import claims, page, tables
from sfm_stream.paper.output.page import Chapter
from sfm_stream.paper.tasks import music, phonemes, registry, signals, speakers
from sfm_stream.paper.training.processes import Maker, train_ahead
from sfm_stream.paper.training.trials import Order

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed

# Only these models run on folds, which take one training per pair of speakers.
OF_FOLDS = ("lstm", "gru", "sfm", "a-sfm")
SMALL = (
    "This is the quick run: little data, few epochs. It shows how fast a model "
    "learns, not where it ends; without --quick the same command makes full runs."
)
SLIDES = (
    "Tables have the slides' figures beside what was found here. A sentence that "
    "compares two models holds if every seed of the first is ahead of every seed of "
    "the second, does not hold if every one is behind, and is not decided otherwise. "
    "Folds are judged by the 95 % interval of their difference."
)
ONE = (
    "Every model was trained from one seed. A verdict is of this run alone: another "
    "seed may turn one that is close."
)
HISTORIES = (
    "Right: the score that says when to stop, after each epoch; lower is better."
)
PORTRAITS = {
    "amplitudes": "The amplitudes of the memory at T/4, T/2, 3T/4 and T, as figure 5.",
    "windows": "How much of what came at each tick is left at the end.",
    "transform": "What one state was given, and its Fourier transform; the points are "
    "the amplitudes that its memory holds.",
    "frequencies": "How the frequencies of A-SFM move with the input.",
}


class Wanted(NamedTuple):
    """The settings for all experiments.

    Attributes:
        data: the folder that contains the folders music and phonemes.
        quick: whether to run the size that takes minutes.
        order: seeds and results folder; its models are ignored.
    """

    data: Path
    quick: bool
    order: Order


def carry_out(wanted: Wanted, open_feed: Callable[[Config], Feed]) -> Path:
    """Run every experiment whose data is present; give the path of the page.

    Args:
        wanted: data, size, seeds and results folder.
        open_feed: opens the feed that a configuration names.

    Raises:
        FeedError: if data cannot be used.
        SinkError: if results cannot be read or written.
    """
    wanted = wanted._replace(order=wanted.order._replace(models=()))
    train_ahead(_makers(wanted), wanted.order)
    there = registry.present(list(registry.TASKS), wanted.data)
    chapters = list(_chapters(wanted, there, open_feed))
    notes = [SMALL] if wanted.quick else []
    if len(wanted.order.seeds) == 1:
        notes.append(ONE)
    absent = [name for name in registry.TASKS if name not in there]
    if absent:
        notes.append(f"Not run, as the data was not there: {', '.join(absent)}.")
    made = tables.origin()
    notes += [SLIDES, f"Made at commit {made['commit']} by: {made['command']}"]
    return page.write(chapters, notes, wanted.order.out)


def _makers(wanted: Wanted) -> list[Maker]:
    """Give the makers of all experiments but the folds, which have other models."""
    there = registry.present(list(registry.TASKS), wanted.data)
    made = {
        name: registry.find(name).maker(wanted.data, wanted.quick) for name in there
    }
    changed = [
        partial(ablations.changed, make)
        for name, make in made.items()
        if name in registry.THREE
    ]
    return [*made.values(), *changed]


def _chapters(
    wanted: Wanted, there: list[str], open_feed: Callable[[Config], Feed]
) -> Iterator[Chapter]:
    yield _signals(wanted)
    if sets := [name for name in piano_rolls.FILES if name in there]:
        yield _music(wanted, sets)
    if "phonemes" in there:
        yield _phonemes(wanted)
        yield _speakers(wanted)
    yield _spectra(wanted)
    yield _ablations(wanted, there, open_feed)


def _signals(wanted: Wanted) -> Chapter:
    size = signals.QUICK if wanted.quick else signals.FULL
    found = signals.carry_out(size, wanted.order)
    about = (
        "Is a signal a square or a sawtooth (figures 1 and 2)? The disturbed signals "
        "are ours: on the slides' own one look at neighbouring values is enough."
    )
    told = claims.of_signals(found)
    shows = (
        "Left: one signal of each kind, as figure 1. Middle: accuracy on the test "
        f"signals, as figure 2. {HISTORIES}"
    )
    return Chapter("Signal type", about, told, found["text"], {"signals": shows})


def _music(wanted: Wanted, sets: list[str]) -> Chapter:
    size = music.QUICK if wanted.quick else music.FULL
    found = music.carry_out(sets, wanted.data / "music", size, wanted.order)
    about = (
        "Which of 88 keys sound next (figure 3 and the table of log-likelihoods)? NLL "
        "is nats per frame, lower is better. The slides' scores cannot be of a next "
        "frame: they nearly reach the highest score there is."
    )
    told = claims.of_music(found)
    shows = (
        "Left: the keys of the first test piece, as figure 3. Middle: NLL on the test "
        f"pieces; an arrow marks a model far above the others. {HISTORIES}"
    )
    return Chapter("Polyphonic music", about, told, found["text"], {"music": shows})


def _phonemes(wanted: Wanted) -> Chapter:
    size = phonemes.QUICK if wanted.quick else phonemes.FULL
    found = phonemes.carry_out(wanted.data / "phonemes", size, wanted.order)
    about = (
        "Which of 61 phones is spoken (figure 4)? The slides' figures are of the "
        "whole corpus."
    )
    told = claims.of_phonemes(found)
    shows = f"Left: accuracy on the test speakers, as figure 4. {HISTORIES}"
    return Chapter("Phonemes", about, told, found["text"], {"phonemes": shows})


def _speakers(wanted: Wanted) -> Chapter:
    size = phonemes.QUICK if wanted.quick else phonemes.FULL
    order = wanted.order._replace(models=OF_FOLDS)
    found = speakers.carry_out(wanted.data / "phonemes", size, order)
    about = (
        "The same with every speaker left out once, two at a time: one split of few "
        "speakers does not tell models apart."
    )
    told = claims.of_speakers(found)
    shows = "Accuracy on the speakers left out: a point per fold, and the mean of them."
    return Chapter("Phonemes by fold", about, told, found["text"], {"speakers": shows})


def _spectra(wanted: Wanted) -> Chapter:
    make = registry.find("signals").maker(wanted.data, wanted.quick)
    found = spectra.carry_out(make(), wanted.order)
    about = (
        "What is inside a memory that learned the signals (figure 5), and the Fourier "
        "analysis of the slides: its expansion is computed beside it at every tick."
    )
    told = claims.of_spectra(found)
    pictures = {f"spectra-signals-{part}": shows for part, shows in PORTRAITS.items()}
    return Chapter("Spectra", about, told, found["text"], pictures)


def _ablations(
    wanted: Wanted, there: list[str], open_feed: Callable[[Config], Feed]
) -> Chapter:
    sized = {
        name: (task, task.maker(wanted.data, wanted.quick))
        for name, task in registry.TASKS.items()
        if name in registry.THREE and name in there
    }
    found = ablations.carry_out(sized, open_feed, wanted.order)
    about = (
        "One thing of SFM changed at a time, on a task of each kind and on two streams "
        "forecast online; a dash stands where the engine does not offer the variant."
    )
    told = claims.of_ablations(found)
    return Chapter("What each part is worth", about, told, found["text"], {})
