"""What the slides say, and whether our results agree, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Found = Mapping[str, Any]

EXACT = 1e-9
"""A relative error below which two ways of computing are the same in float64."""


class Claim(NamedTuple):
    """One sentence of the slides, or one that follows from them.

    Attributes:
        says: the sentence.
        holds: whether it does; None where the figures do not decide it.
        shows: the figures.
    """

    says: str
    holds: bool | None
    shows: str


def of_signals(found: Found) -> list[Claim]:
    """Judge the first task: as `signals.carry_out` gives it."""
    claims = []
    for name, part in found["variants"].items():
        scores = _scores(part["models"], "accuracy")
        task = "the slides' signals" if name == "signals" else f"{name} signals"
        claims += _duels(scores, f"on {task}")
        rules = part["rules"]
        best = max(rules, key=rules.__getitem__)
        for model in [name for name in ("sfm", "sfm-wide") if name in scores]:
            says = f"{_name(model)} sees more than a rule of one line on {task}"
            claims.append(
                _judged(says, scores[model], [rules[best]], f'the rule "{best}"')
            )
    return claims


def of_music(found: Found) -> list[Claim]:
    """Judge the second task: as `music.carry_out` gives it."""
    claims = []
    for name, part in found["sets"].items():
        claims += _duels(_scores(part["models"], "nll"), f"on {name}", LOWER)
    return claims


def of_phonemes(found: Found) -> list[Claim]:
    """Judge the third task: as `phonemes.carry_out` gives it."""
    return _duels(_scores(found["models"], "accuracy"), "on phonemes")


def of_speakers(found: Found) -> list[Claim]:
    """Judge the third task by its folds: as `speakers.carry_out` gives it."""
    claims = []
    for name, model in found["models"].items():
        ahead = model["ahead"]
        if ahead is None or ahead["low"] is None:
            continue
        holds = ahead["low"] > 0.0 or (False if ahead["high"] < 0.0 else None)
        shows = (f"ahead by {ahead['mean']:+.3f}, 95 % interval "
                 f"{ahead['low']:+.3f} to {ahead['high']:+.3f}")  # fmt: skip
        claims.append(Claim(f"SFM hears phonemes better than {_name(name)}, "
                            "whoever speaks", holds, shows))  # fmt: skip
    return claims


def of_spectra(found: Found) -> list[Claim]:
    """Judge the expansion: as `spectra.carry_out` gives it."""
    claims = []
    for name, model in found["models"].items():
        error = model["expansion_error"]
        says = f"The memory of {_name(name)} is a windowed Fourier transform"
        shows = f"they differ by {error:.1e} of the largest amplitude"
        claims.append(Claim(says, error < EXACT, shows))
    return claims


def of_ablations(found: Found) -> list[Claim]:
    """Judge the parts of SFM: as `ablations.carry_out` gives it."""
    claims = []
    for says, ours, theirs in _PARTS:
        if not {ours, theirs} <= set(found["variants"]):
            continue
        a, b = (found["variants"][name]["scores"] for name in (ours, theirs))
        for place, score in a.items():
            if score and b[place]:
                values = score["values"], b[place]["values"]
                better = LOWER if place in LIKELIHOODS else HIGHER
                said = f"{says}, on {place}"
                claims.append(_judged(said, *values, f'the variant "{theirs}"', better))
    return claims


HIGHER, LOWER = 1.0, -1.0
"""Which scores are better, as the sign that makes the better one the higher."""

LIKELIHOODS = frozenset({"muse-data", "jsb", "piano-midi", "nottingham"})
"""Tasks whose score is a negative log-likelihood."""

# Which model should be better than which.
_DUELS = (("sfm", "lstm"), ("sfm", "gru"), ("a-sfm", "sfm"))
_NAMES = {"sfm": "SFM", "a-sfm": "A-SFM", "sfm-wide": "SFM of five outputs"}
# Sentence, the variant that is to be ahead, and the other.
_PARTS = (
    ("The Fourier basis is worth something", "paper", "no basis"),
    ("Several frequencies are worth more than the constant", "paper", "DC only"),
    ("Frequencies that move are worth more than fixed ones", "adaptive", "paper"),
    ("To leave the phase out costs nothing", "paper", "phase"),
    ("A read-out per frequency is worth more than the stock-price form",
     "paper", "stock-price form"),
)  # fmt: skip


def _duels(
    scores: Mapping[str, Sequence[float]], where: str, better: float = HIGHER
) -> list[Claim]:
    """Judge those of `_DUELS` that were fought."""
    return [
        _judged(
            f"{_name(ours)} is better than {_name(theirs)} {where}",
            scores[ours],
            scores[theirs],
            _name(theirs),
            better,
        )
        for ours, theirs in _DUELS
        if ours in scores and theirs in scores
    ]


def _judged(
    says: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    against: str,
    better: float = HIGHER,
) -> Claim:
    """Judge by all seeds: a claim is decided where no seed of one is among the other's.

    Args:
        says: the sentence.
        ours: scores by seed.
        theirs: likewise.
        against: what they are of.
        better: which scores are, `HIGHER` or `LOWER`.
    """
    ahead, behind = ([better * value for value in values] for values in (ours, theirs))
    holds = None
    if min(ahead) > max(behind) or max(ahead) < min(behind):
        holds = min(ahead) > max(behind)
    shows = f"{_range(ours)} against {_range(theirs)} of {against}"
    return Claim(says, holds, shows)


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def _scores(models: Found, score: str) -> dict[str, list[float]]:
    return {name: model["scores"][score]["values"] for name, model in models.items()}


def _name(model: str) -> str:
    return _NAMES.get(model, f"the {model.upper()}")
