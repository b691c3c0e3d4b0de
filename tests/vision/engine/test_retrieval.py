"""Figures checked against small cases worked out by hand, and against a slow and plain computation."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from vision.engine import retrieval
from vision.engine.retrieval import leave_one_out


def on_circle(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_a_case_worked_out_by_hand():
    # 0 and 10 degrees are "a", 14 is "b", 40 and 44 are "a" and "b"
    vectors, labels = on_circle(0, 10, 14, 40, 44), np.array(["a", "a", "b", "a", "b"])
    figures = leave_one_out(vectors, labels, precision_ks=(1, 2))
    # 0: a b a b | 10: b a a b | 14: a a a b | 40: b b a a | 44: a b a a
    assert figures.top1 == pytest.approx(1 / 5)
    assert figures.precision_at == {1: pytest.approx(1 / 5), 2: pytest.approx((0.5 + 0.5 + 0 + 0 + 0.5) / 5)}
    assert figures.recall_at == {1: pytest.approx(1 / 5), 2: pytest.approx(3 / 5)}
    # R is 2 for a and 1 for b: only 0 (hit at 1) and 10 (hit at 2) score within R
    assert figures.map_at_r == pytest.approx((0.5 + 0.25 + 0 + 0 + 0) / 5)
    assert figures.queries == 5


def test_own_case_and_exact_duplicates_do_not_count():
    vectors, labels = on_circle(0, 1, 20, 22), np.array([1, 1, 2, 1])
    assert leave_one_out(vectors, labels).queries == 3  # label 2 has nothing to find
    assert leave_one_out(vectors, labels).top1 == pytest.approx(2 / 3)
    cases = leave_one_out(vectors, labels, groups=np.array([7, 7, 8, 9]))
    assert cases.top1 == 0
    files = leave_one_out(vectors, labels, duplicates=np.array(["x", "x", "y", "z"]))
    assert files == cases


def test_nothing_to_measure_is_said():
    with pytest.raises(ValueError, match="nothing to measure"):
        leave_one_out(on_circle(0, 1), np.array([1, 2]))


def test_agrees_with_a_plain_computation(monkeypatch):
    monkeypatch.setattr(retrieval, "_BLOCK", 11)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 60)
    vectors = np.eye(4)[labels] + rng.normal(size=(60, 4)) * 0.6
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = rng.integers(0, 25, 60)
    nearest, precision, average = [], [], []
    for query in range(60):
        others = [i for i in range(60) if groups[i] != groups[query]]
        others.sort(key=lambda i: -vectors[query] @ vectors[i])
        hits = [labels[i] == labels[query] for i in others]
        relevant = sum(hits)
        nearest.append(labels[others[0]])
        precision.append(sum(hits[:5]) / 5)
        average.append(sum(sum(hits[: i + 1]) / (i + 1) for i in range(relevant) if hits[i]) / relevant)
    figures = leave_one_out(vectors, labels, groups=groups)
    assert figures.top1 == pytest.approx(np.mean(np.array(nearest) == labels))
    assert figures.macro_f1 == pytest.approx(f1_score(labels, nearest, average="macro"))
    assert figures.precision_at[5] == pytest.approx(np.mean(precision))
    assert figures.map_at_r == pytest.approx(np.mean(average))
