"""Each figure against a case worked out by hand."""

import numpy as np
import pytest

from vision.engine.measures import (
    area_under_risk_coverage,
    expected_calibration_error,
    false_positive_rate_at,
    set_coverage,
)


def test_calibration_error_weighs_the_gap_of_each_bin():
    probabilities = np.array([[0.95, 0.05], [0.93, 0.07], [0.62, 0.38], [0.3, 0.7]])
    truth = np.array([0, 1, 0, 1])
    # 10 bins: {0.95, 0.93} says 0.94 and is right half the time; 0.62 and 0.7 are right
    expected = (abs(0.95 + 0.93 - 1) + abs(0.62 - 1) + abs(0.7 - 1)) / 4
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx(expected)
    # one bin: 3.2 said, 3 right
    assert expected_calibration_error(probabilities, truth, bins=1) == pytest.approx(0.2 / 4)


def test_calibration_error_takes_a_border_and_certainty_into_the_lower_bin():
    # 0.5 belongs to the bin up to 0.5, so two bins keep the two apart; the gaps would cancel in one
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert expected_calibration_error(probabilities, np.array([0, 1]), bins=2) == pytest.approx(1.5 / 2)


def test_risk_coverage_averages_the_risk_over_every_coverage():
    # errors from the surest on: 0 1 0 1, risks 0, 1/2, 1/3, 1/2
    sure, wrong = np.array([0.6, 0.9, 0.7, 0.8]), np.array([True, False, False, True])
    assert area_under_risk_coverage(sure, wrong) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_risk_coverage_gives_equal_confidence_no_order():
    wrong = np.array([True, False, True, False])
    for order in (np.arange(4), np.array([1, 3, 0, 2])):
        assert area_under_risk_coverage(np.full(4, 0.5), wrong[order]) == pytest.approx(0.5)


def test_coverage_overall_and_of_the_worst_category_and_size():
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1]], bool)
    coverage, worst, size = set_coverage(sets, np.array([0, 0, 1, 1]))
    assert (coverage, worst, size) == (0.75, 0.5, 1.5)


def test_false_positives_pass_at_the_limit_that_keeps_95_of_100_known():
    known = np.arange(1, 101)  # 95 known lie at or below 95
    assert false_positive_rate_at(known, np.array([94, 95, 96, 200])) == 0.5
    assert false_positive_rate_at(known, np.array([96])) == 0
    # Of ten known all ten are needed to reach 95 %: the limit is 10
    assert false_positive_rate_at(known[:10], np.array([9.9, 10.1])) == 0.5
