"""Sentences of the slides, judged by made-up figures."""

from __future__ import annotations

import pytest

from sfm_stream.paper.output import claims


def models(score, **values):
    return {
        name.replace("_", "-"): {"scores": {score: {"values": list(of)}}}
        for name, of in values.items()
    }


def verdicts(found):
    return {claim.says: claim.holds for claim in found}


def test_a_claim_is_decided_where_no_seed_lies_among_the_others():
    found = {"models": models("accuracy", lstm=(0.5, 0.6), gru=(0.7, 0.9),
                              sfm=(0.7, 0.8), a_sfm=(0.2, 0.3))}  # fmt: skip
    assert verdicts(claims.of_phonemes(found)) == {
        "SFM is better than the LSTM on phonemes": True,
        "SFM is better than the GRU on phonemes": None,
        "A-SFM is better than SFM on phonemes": False,
    }
    first = claims.of_phonemes(found)[0]
    assert first.shows == "0.700 to 0.800 against 0.500 to 0.600 of the LSTM"


def test_a_model_that_was_not_tried_is_not_judged():
    found = {"models": models("accuracy", sfm=(0.7,), gru=(0.6,))}
    (only,) = claims.of_phonemes(found)
    assert only.says == "SFM is better than the GRU on phonemes"
    assert only.shows == "0.700 against 0.600 of the GRU"


def test_of_a_likelihood_the_lower_figure_is_better():
    part = {"models": models("nll", lstm=(8.5, 8.6), sfm=(8.2, 8.3))}
    (claim,) = claims.of_music({"sets": {"jsb": part}})
    assert claim.holds is True
    assert claim.shows == "8.200 to 8.300 against 8.500 to 8.600 of the LSTM"


def test_signals_are_judged_by_the_best_rule_too():
    part = {"models": models("accuracy", sfm=(0.9,)),
            "rules": {"repeats": 0.5, "jumps": 0.77}}  # fmt: skip
    (claim,) = claims.of_signals({"variants": {"disturbed": part}})
    assert claim.holds is True
    assert claim.says == "SFM sees more than a rule of one line on disturbed signals"
    assert claim.shows == '0.900 against 0.770 of the rule "jumps"'


@pytest.mark.parametrize(
    ("low", "high", "holds"),
    [(0.01, 0.03, True), (-0.03, -0.01, False), (-0.01, 0.03, None)],
)
def test_folds_are_judged_by_the_interval(low, high, holds):
    ahead = {"mean": 0.01, "low": low, "high": high}
    found = {"models": {"sfm": {"ahead": None}, "gru": {"ahead": ahead}}}
    (claim,) = claims.of_speakers(found)
    assert claim.holds is holds
    assert claim.says == "SFM hears phonemes better than the GRU, whoever speaks"


def test_one_fold_decides_nothing():
    ahead = {"mean": 0.01, "low": None, "high": None}
    assert claims.of_speakers({"models": {"gru": {"ahead": ahead}}}) == []


def test_an_expansion_that_is_off_does_not_hold():
    found = {"models": {"sfm": {"expansion_error": 1e-15},
                        "a-sfm": {"expansion_error": 1e-3}}}  # fmt: skip
    assert [claim.holds for claim in claims.of_spectra(found)] == [True, False]


def test_a_part_is_worth_something_where_the_whole_is_ahead_without_it():
    def variant(signals, jsb):
        return {"scores": {"signals": {"values": signals}, "jsb": {"values": jsb},
                           "tones": None}}  # fmt: skip

    found = {"variants": {"paper": variant([0.9], [8.0]),
                          "no basis": variant([0.8], [9.0]),
                          "phase": variant([0.95], [7.0])}}  # fmt: skip
    assert verdicts(claims.of_ablations(found)) == {
        "The Fourier basis is worth something, on signals": True,
        "The Fourier basis is worth something, on jsb": True,
        "To leave the phase out costs nothing, on signals": False,
        "To leave the phase out costs nothing, on jsb": False,
    }


def test_a_figure_below_nothing_keeps_its_sign():
    def variant(skill):
        return {"scores": {"water flow": {"values": skill}}}

    found = {"variants": {"paper": variant([0.01]), "DC only": variant([-0.02])}}
    (claim,) = claims.of_ablations(found)
    assert claim.holds is True
    assert claim.shows == '0.010 against -0.020 of the variant "DC only"'
