"""Every way to an outcome, and the sentence that says it."""

import numpy as np
import pytest

from vision.engine.outcome import Outcome, Thresholds, decide

NAMES = ["Crazing", "Scratches", "Pitting"]
SURE, SPLIT = [0.9, 0.06, 0.04], [0.5, 0.45, 0.05]


@pytest.mark.parametrize(
    ("probabilities", "possible", "novelty_p", "cases", "outcome", "words"),
    [
        (SURE, [0], 0.4, [50, 50, 50], Outcome.CONFIDENT, "Crazing is 90 % probable and the only category"),
        ([0.001, 0.001, 0.998], [2], 0.4, [9, 9, 9], Outcome.CONFIDENT, "Pitting is over 99 % probable"),
        (SURE, [0], 0.004, [50, 50, 50], Outcome.UNKNOWN, "0.4 % of the confirmed images"),
        (SURE, [0], 0.0, [50, 50, 50], Outcome.UNKNOWN, "under 0.1 % of the confirmed images"),
        ([], [], 0.0, [], Outcome.UNKNOWN, "no confirmed image"),
        (SURE, [0], 0.4, [4, 50, 50], Outcome.AMBIGUOUS, "few examples: 4 confirmed cases, and 5 are"),
        (SURE, [0], 0.4, [1, 50, 50], Outcome.AMBIGUOUS, "1 confirmed case,"),
        (SPLIT, [0, 1], 0.4, [9, 9, 9], Outcome.AMBIGUOUS, "Crazing (50 %) or Scratches (45 %)"),
        (SPLIT, [0, 1, 2], 0.4, [9, 9, 9], Outcome.AMBIGUOUS, "Scratches (45 %) or Pitting (5 %)"),
        (SURE, [], 0.4, [9, 9, 9], Outcome.AMBIGUOUS, "95 % of its confirmed images fit it better"),
        (SURE, [1], 0.4, [9, 9, 9], Outcome.AMBIGUOUS, "leads with 90 %"),
        ([0.6, 0.2, 0.2], [0], 0.4, [9, 9, 9], Outcome.AMBIGUOUS, "leads with 60 %, and 70 % is needed"),
    ],
)
def test_outcomes_and_their_reasons(probabilities, possible, novelty_p, cases, outcome, words):
    in_set = np.isin(np.arange(len(probabilities)), possible)
    verdict = decide(np.array(probabilities), in_set, novelty_p, Thresholds(), cases=cases, names=NAMES)
    assert verdict.outcome == outcome
    assert words in verdict.reason
    assert verdict.reason.endswith(".")
    assert verdict.best == (None if outcome == Outcome.UNKNOWN else int(np.argmax(probabilities)))


def test_a_long_set_is_cut_short():
    many = np.full(30, 1 / 30)
    verdict = decide(
        many, many > 0, 0.5, Thresholds(), cases=[9] * 30, names=[f"{n:0120}" for n in range(30)]
    )
    assert "or 26 others." in verdict.reason
    assert len(verdict.reason) <= 600
