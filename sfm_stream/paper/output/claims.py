"""The claims of the slides, and whether our results agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Found = Mapping[str, Any]

EXACT = 1e-9
"""Two float64 computations agree if their relative error is below this."""


class Claim(NamedTuple):
    """A claim of the slides, or one that follows from them.

    Attributes:
        says: the claim as a sentence.
        holds: whether the claim holds; None if the figures do not decide it.
        shows: the figures that decide it.
    """

    says: str
    holds: bool | None
    shows: str


def of_signals(found: Found) -> list[Claim]:
    """Judge the claims on the first task by the results of `signals.carry_out`."""
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
    """Judge the claims on the second task by the results of `music.carry_out`."""
    claims = []
    for name, part in found["sets"].items():
        claims += _duels(_scores(part["models"], "nll"), f"on {name}", LOWER)
    return claims


def of_phonemes(found: Found) -> list[Claim]:
    """Judge the claims on the third task by the results of `phonemes.carry_out`."""
    return _duels(_scores(found["models"], "accuracy"), "on phonemes")


def of_speakers(found: Found) -> list[Claim]:
    """Judge the claims on the third task by the folds of `speakers.carry_out`."""
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
    """Judge the claim on the expansion by the results of `spectra.carry_out`."""
    claims = []
    for name, model in found["models"].items():
        error = model["expansion_error"]
        says = f"The memory of {_name(name)} is a windowed Fourier transform"
        shows = f"they differ by {error:.1e} of the largest amplitude"
        claims.append(Claim(says, error < EXACT, shows))
    return claims


def of_ablations(found: Found) -> list[Claim]:
    """Judge the claims on the parts of SFM by the results of `ablations.carry_out`."""
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
"""Signs of scores: a score times its sign is higher if it is better."""

LIKELIHOODS = frozenset({"muse-data", "jsb", "piano-midi", "nottingham"})
"""Tasks whose score is a negative log-likelihood."""

# Pairs of models, the first of which should be better.
_DUELS = (("sfm", "lstm"), ("sfm", "gru"), ("a-sfm", "sfm"))
_NAMES = {"sfm": "SFM", "a-sfm": "A-SFM", "sfm-wide": "SFM of five outputs"}
# Claim, the variant that should be better, and the other variant.
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
    """Judge the pairs of `_DUELS` for which both models have scores."""
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
    """Judge a claim by all seeds: it is decided if the ranges of scores do not overlap.

    Args:
        says: the claim as a sentence.
        ours: scores by seed of the model that should be better.
        theirs: scores by seed of the other model.
        against: name of the other model.
        better: the sign of the scores, `HIGHER` or `LOWER`.
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
