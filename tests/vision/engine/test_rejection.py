"""Rules of rejection: what split-conformal promises holds, and too few parts are counted."""

import numpy as np
import pytest

from vision.engine.rejection import RejectionRule, TooFewGoodParts, parts_needed


@pytest.mark.parametrize(("alpha", "needed"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.5, 1), (0.03, 33)])
def test_parts_needed(alpha, needed):
    assert parts_needed(alpha) == needed
    rule = RejectionRule(alpha=alpha)
    rule.fit(np.arange(needed))
    with pytest.raises(TooFewGoodParts):
        rule.fit(np.arange(needed - 1))


def test_says_how_many_are_missing():
    with pytest.raises(TooFewGoodParts, match="needs 99 held-out good parts, and there are 40: 59") as caught:
        RejectionRule().fit(np.zeros(40))
    assert caught.value.missing == 59


def test_the_promised_false_reject_rate_holds_on_average():
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(400):
        rule = RejectionRule(alpha=0.05).fit(rng.exponential(size=50))
        rates.append(rule.rejects(rng.exponential(size=500)).mean())
    assert np.mean(rates) == pytest.approx(0.04, abs=0.012)  # 2 of 51
    assert np.mean(rates) <= 0.05


def test_p_values_agree_with_the_threshold():
    rng = np.random.default_rng(1)
    rule = RejectionRule(alpha=0.05).fit(rng.normal(size=137))
    scores = rng.normal(size=1000) * 1.5
    assert np.array_equal(rule.rejects(scores), rule.p_values(scores) <= 0.05)
    assert rule.p_values(np.array([1e9]))[0] == pytest.approx(1 / 138)
    assert rule.p_values(np.array([-1e9]))[0] == 1


def test_equal_scores_are_never_rejected_beyond_the_rate():
    rule = RejectionRule(alpha=0.05).fit(np.ones(50))
    assert not rule.rejects(np.ones(3)).any()
    assert rule.p_values(np.ones(3)).tolist() == [1, 1, 1]


def test_three_deviations():
    scores = np.random.default_rng(2).normal(5, 2, 10_000)
    assert RejectionRule("deviations").fit(scores).threshold_ == pytest.approx(11, abs=0.15)


def test_percentile():
    assert RejectionRule("percentile", alpha=0.1).fit(np.arange(101)).threshold_ == 90


def test_other_rules_need_two_parts():
    with pytest.raises(TooFewGoodParts, match="needs 2"):
        RejectionRule("deviations").fit(np.ones(1))


def test_what_makes_no_rule_is_refused():
    with pytest.raises(ValueError, match="Unknown rule"):
        RejectionRule("best")
    with pytest.raises(ValueError, match="between 0 and 1"):
        RejectionRule(alpha=1)
    with pytest.raises(ValueError, match="NaN"):
        RejectionRule("percentile").fit(np.array([1, np.nan]))
