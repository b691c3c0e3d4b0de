"""From scores and votes to probabilities that hold: joined, and cooled to how often they are right.

Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", 2017) with one temperature for
each source of evidence, which also sets the share of each.
"""

from dataclasses import dataclass

import numpy as np

#: The votes never fall silent, so that a corrected label shows before the next fit.
LEAST_VOTES = 0.1


@dataclass(frozen=True)
class Fusion:
    """Probabilities proportional to exp(score * `head` + log share * `votes` + log count * `counts`).

    All three are at least 0: the weight of the linear head, that of the neighbours' votes, and how much the
    number of images of a category speaks for it (0 for not at all, 1 for as often as in the library).
    """

    head: float = 0.0
    votes: float = 1.0
    counts: float = 0.0

    @classmethod
    def fit(cls, scores: np.ndarray, shares: np.ndarray, counts: np.ndarray, truth: np.ndarray) -> "Fusion":
        """Find the weights with the lowest Brier score on held-out (m, C) scores of (m,) categories.

        The Brier score is as proper as the log-loss, and a few pictures that lie far on the wrong side of a
        plane can't drag it along. Nobody is sure beyond what was seen: with m images the aim is
        1 - 1 / (m + 2) and not 1 (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).
        """
        from scipy.optimize import minimize

        evidence = np.stack(_evidence(scores, shares, counts))
        doubt = 1 / (len(truth) + 2)
        targets = np.full(shares.shape, doubt / max(len(counts) - 1, 1))
        targets[np.arange(len(truth)), truth] = 1 - doubt
        # Scores of unit vectors range over thousands: scaled, one step size suits all three weights.
        scale = np.maximum(np.ptp(evidence, axis=2).mean(axis=1), 1e-9)
        evidence = evidence / scale[:, None, None]

        def loss(weights):
            chances = np.exp(_log_softmax(np.tensordot(weights, evidence, axes=1)))
            wrong = chances - targets
            slope = 2 * chances * (wrong - (chances * wrong).sum(axis=1, keepdims=True))
            return (wrong**2).sum() / len(truth), np.tensordot(evidence, slope, ([1, 2], [0, 1])) / len(truth)

        least = np.array([0, LEAST_VOTES, 0]) * scale
        bounds = [(least[0], None), (least[1], None), (0, scale[2])]
        # More than one valley: from little and much of either.
        starts = [np.maximum(start, least) for start in ([1, 1, 0], [10, 1, 0], [10, 10, 0])]
        tries = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
        best = min(tries, key=lambda found: found.fun)
        return cls(*(best.x / scale).tolist())

    def probabilities(self, scores: np.ndarray, shares: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Probabilities (m, C) of (m, C) scores and shares of categories with (C,) images."""
        parts = zip((self.head, self.votes, self.counts), _evidence(scores, shares, counts), strict=True)
        return np.exp(_log_softmax(sum(weight * part for weight, part in parts)))


def _evidence(scores, shares, counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    best = scores.max(axis=1, keepdims=True)
    # A category that a fold did not hold has no score: as bad as the worst, so that the votes decide.
    worst = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=np.isfinite(scores))
    heads = np.where(np.isfinite(scores), scores, worst) - best
    frequency = np.log(np.maximum(counts, 1) / max(np.max(counts), 1))
    return heads, np.log(shares), np.broadcast_to(frequency, scores.shape)


def _log_softmax(values: np.ndarray) -> np.ndarray:
    values = values - values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))
