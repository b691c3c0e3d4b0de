"""How good probabilities, sets and scores of the unknown are: what scikit-learn has no function for.

Truth is always given as positions (m,) of the right category in the columns of the probabilities.
"""

import numpy as np

#: Bins of the calibration error.
ECE_BINS = 15


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = ECE_BINS) -> float:
    """Mean distance, 0 to 1, between how sure the leading category is and how often it is right.

    `probabilities` (m, C) and `truth` (m,). Bins of equal width from 0 to 1 over the probability of the
    leading category, each weighted by its pictures (Naeini et al., 2015; Guo et al., 2017). A value on a
    border belongs to the lower bin, as there.
    """
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    surplus = np.bincount(bin_of, sure - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(truth))


def area_under_risk_coverage(sure: np.ndarray, wrong: np.ndarray) -> float:
    """Share of errors among the surest answers, averaged over how many are answered (AURC), 0 to 1.

    `sure` (m,) is the confidence and `wrong` (m,) bool whether the answer was wrong (Geifman et al., 2019).
    Answers of equal confidence come in no order: each counts with the mean error of its equals.
    """
    _, place, number = np.unique(-np.asarray(sure), return_inverse=True, return_counts=True)
    share = np.bincount(place, np.asarray(wrong, float)) / number
    errors = np.repeat(share, number)
    return float((errors.cumsum() / np.arange(1, len(errors) + 1)).mean())


def set_coverage(sets: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """How well conformal sets (m, C) bool hold the truth (m,).

    Returns the share of pictures whose set holds the right category, the same of the category that fares
    worst, and the mean number of categories in a set.
    """
    held = sets[np.arange(len(truth)), truth]
    by_category = np.bincount(truth, held)[np.unique(truth)] / np.bincount(truth)[np.unique(truth)]
    return float(held.mean()), float(by_category.min()), float(sets.sum(axis=1).mean())


def false_positive_rate_at(known: np.ndarray, unknown: np.ndarray, accepted: float = 0.95) -> float:
    """Share of the unknown that pass as known, at the limit that lets `accepted` of the known pass.

    `known` (m,) and `unknown` (n,) are scores that grow with strangeness. The limit is the smallest known
    score at which at least that share of the known lie at or below it; an unknown picture passes at or below
    it too (FPR at 95 % TPR with the known as positives: Hendrycks and Gimpel, 2017; Liang et al., 2018).
    """
    limit = np.quantile(known, accepted, method="inverted_cdf")
    return float((np.asarray(unknown) <= limit).mean())
