"""The gate lets through what is better beyond chance, and nothing else."""

import numpy as np
import pytest

from tests.vision.engine.test_adaptation import made, unit
from vision.engine.adaptation_gate import (
    QueryMeasures,
    compare,
    groups_join_alike,
    held_out_split,
    measure_queries,
)
from vision.engine.retrieval import leave_one_out


def measures(average_precision, top1=1.0):
    average_precision = np.asarray(average_precision, float)
    whole = np.full(len(average_precision), top1)
    return QueryMeasures(average_precision, whole, whole, np.arange(len(average_precision)))


def test_a_clear_gain_passes():
    random = np.random.default_rng(0)
    before = random.uniform(0.4, 0.6, 60)
    verdict = compare(measures(before), measures(before + 0.2), None)
    assert verdict.passed
    assert verdict.low == pytest.approx(0.2, abs=1e-6)
    assert "20.0 points" in verdict.reason


def test_no_gain_a_loss_and_chance_are_refused():
    random = np.random.default_rng(0)
    before = random.uniform(0.4, 0.6, 60)
    assert "less than" in compare(measures(before), measures(before), None).reason
    assert not compare(measures(before), measures(before - 0.2), None).passed
    noisy = compare(measures(before), measures(before + 0.02 + random.normal(0, 0.3, 60)), None)
    assert not noisy.passed


def test_a_gain_that_costs_another_figure_is_refused():
    before, after = np.full(60, 0.5), np.full(60, 0.7)
    assert "top-1" in compare(measures(before), measures(after, top1=0.9), None).reason
    assert "unknown faults" in compare(measures(before), measures(after), (0.95, 0.9)).reason
    assert compare(measures(before), measures(after), (0.95, 0.949)).passed


def test_cases_count_and_not_their_pictures():
    """Twenty pictures of one case are one witness."""
    gains = np.concatenate([np.full(20, 0.3), np.full(3, -0.1)])
    before = np.full(23, 0.5)
    groups = np.concatenate([np.zeros(20, int), [1, 2, 3]])
    first = QueryMeasures(before, before, before, groups)
    second = QueryMeasures(before + gains, before, before, groups)
    verdict = compare(first, second, None)
    assert verdict.gain > 0.2
    assert not verdict.passed
    assert verdict.groups == 4


def test_measures_agree_with_those_of_retrieval():
    vectors, labels = made([12, 9, 1])
    groups = np.arange(22) // 2
    whole = leave_one_out(vectors, labels, groups=groups)
    means = measure_queries(vectors, labels, groups).means()
    assert means["map_at_r"] == pytest.approx(whole.map_at_r)
    assert means["top1"] == pytest.approx(whole.top1)


def test_a_split_keeps_groups_and_near_duplicates_together():
    vectors, labels = made([30, 30])
    copies = unit(vectors + 1e-4)
    groups = groups_join_alike(np.vstack([vectors, copies]), np.arange(120))
    assert (groups[:60] == groups[60:]).all()
    assert len(np.unique(groups)) == 60
    train, test = held_out_split(np.tile(labels, 2), groups)
    assert not set(groups[train]) & set(groups[test])
    assert len(test) == pytest.approx(40, abs=6)
