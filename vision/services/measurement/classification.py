"""Trained on a part of the pictures, tested on the rest: are categories right, and probabilities honest?"""

from collections import defaultdict

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vision.engine.measures import area_under_risk_coverage, expected_calibration_error, set_coverage
from vision.services.measurement.product import product_predict
from vision.services.measurement.seeing import Seen, Watch
from vision.services.measurement.splits import Split, partitions
from vision.services.measurement.summary import figures_summarise

PRODUCT = "product"
_NEIGHBOURS = 5


def classification_measure(
    seen: Seen, row: str, split: Split, watch: Watch, *, label_noise: float = 0.0
) -> dict[str, dict]:
    """By method (product, 5nn, logistic_regression) the figures over all partitions, each mean and sd.

    Exact duplicates count once. With `label_noise` that share of the training labels is replaced by another
    category, drawn evenly; the product is then trained without noise as well, to tell the fall.
    """
    _, first = np.unique(seen.digests, return_index=True)
    first = np.sort(first)
    vectors, labels, together = seen.vectors[row][first], seen.labels[first], seen.together[first]
    runs = defaultdict(list)
    sides = watch(partitions(labels, together, split), f"{row}: training and testing", split.partitions)
    for number, (train, test) in enumerate(sides):
        test = test[np.isin(labels[test], labels[train])]
        rng = np.random.default_rng([split.seed, number, 1])
        taught = labels_with_noise(labels[train], label_noise, rng)
        for method, figures in _all_methods(
            vectors[train], taught, together[train], vectors[test], labels[test], together[test]
        ).items():
            runs[method].append(figures)
        newest = runs[PRODUCT][-1]
        newest |= {"train_images": len(train), "test_images": len(test)}
        if label_noise:
            clean = _product(
                vectors[train], labels[train], together[train], vectors[test], labels[test], together[test]
            )
            newest["top1_without_noise"] = clean["top1"]
            newest["top1_fall"] = clean["top1"] - newest["top1"]
    return {method: figures_summarise(figures) for method, figures in runs.items()}


def labels_with_noise(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A copy of (n,) labels in which `share` of them, rounded, are those of another category."""
    categories, codes = np.unique(labels, return_inverse=True)
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    codes[wrong] = (codes[wrong] + rng.integers(1, len(categories), len(wrong))) % len(categories)
    return categories[codes]


def _all_methods(vectors, labels, together, queries, truth, pieces) -> dict[str, dict[str, float]]:
    neighbours = KNeighborsClassifier(min(_NEIGHBOURS, len(labels)))
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    measured = {PRODUCT: _product(vectors, labels, together, queries, truth, pieces)}
    # Matrices this small lose more to threads that wait for a busy core than they gain from them.
    with threadpool_limits(1):
        for method, model in {"5nn": neighbours, "logistic_regression": logistic}.items():
            model.fit(vectors, labels)
            measured[method] = _figures(model.predict_proba(queries), model.classes_, truth, pieces)
    return measured


def _product(vectors, labels, together, queries, truth, pieces) -> dict[str, float]:
    classes, prediction = product_predict(vectors, labels, together, queries)
    figures = _figures(prediction.probabilities, classes, truth, pieces)
    coverage, worst, size = set_coverage(prediction.sets, np.searchsorted(classes, truth))
    return figures | {"coverage": coverage, "coverage_worst": worst, "set_size": size}


def _figures(
    probabilities: np.ndarray, classes: np.ndarray, truth: np.ndarray, pieces: np.ndarray
) -> dict[str, float]:
    predicted = classes[probabilities.argmax(axis=1)]
    _, piece = np.unique(pieces, return_inverse=True)
    right_of_pieces = np.bincount(piece, predicted == truth) / np.bincount(piece)
    positions = np.searchsorted(classes, truth)
    return {
        "top1": float(accuracy_score(truth, predicted)),
        "top1_by_piece": float(right_of_pieces.mean()),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "ece": expected_calibration_error(probabilities, positions),
        "brier": float(
            brier_score_loss(positions, probabilities, labels=range(len(classes)), scale_by_half=False)
        ),
        "aurc": area_under_risk_coverage(probabilities.max(axis=1), predicted != truth),
    }
