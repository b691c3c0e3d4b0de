"""The classifier of the running product, trained on one side and asked about the other."""

import numpy as np
from django.conf import settings

from vision.engine.classifier import FaultClassifier, Prediction, classify_with


def product_predict(
    vectors: np.ndarray, labels: np.ndarray, together: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, Prediction]:
    """Classes (C,) and predictions for (m, d) queries, after training on (n, d) vectors with (n,) labels.

    Pictures of equal `together` (n,) never straddle a fold.
    """
    classifier = FaultClassifier(settings.METRIC, settings.COVERAGE).fit(vectors, labels, together)
    return classifier.classes_, classify_with(classifier, vectors, labels, queries)
