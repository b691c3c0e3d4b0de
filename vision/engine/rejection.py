"""From scores of good parts to a rule that rejects: how high a score may be.

Three rules, all fitted to scores of good parts that were held out (a part in the bank looks better than it
is). Split-conformal is the one with a promise: of new good parts at most a share `alpha` is rejected on
average, whatever the distribution, if they come from the same production as the held-out ones (Vovk,
Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al., 2018).
"""

from typing import Literal

import numpy as np

Rule = Literal["conformal", "deviations", "percentile"]
RULES: tuple[Rule, ...] = ("conformal", "deviations", "percentile")
#: Of "deviations", as in Shewhart's charts.
DEVIATIONS = 3.0


class TooFewGoodParts(ValueError):
    """There are not enough held-out good parts for the promised rate; `missing` says how many."""

    def __init__(self, have: int, needed: int, alpha: float):
        self.have, self.needed, self.missing = have, needed, needed - have
        super().__init__(
            f"A false-reject rate of {alpha:.3g} needs {needed} held-out good parts, and there are {have}: "
            f"{self.missing} are missing."
        )


class RejectionRule:
    """The threshold above which a part is rejected.

    `rule` is "conformal" (false-reject rate at most `alpha`), "deviations" (mean and `deviations` standard
    deviations, which promises nothing) or "percentile" (the plain 1 - `alpha` quantile, without the
    correction for few parts).

    Learned: `scores_`, the ascending float64 scores of held-out good parts, and `threshold_`.
    """

    def __init__(self, rule: Rule = "conformal", *, alpha: float = 0.01, deviations: float = DEVIATIONS):
        if rule not in RULES:
            raise ValueError(f"Unknown rule {rule!r}: use one of {', '.join(RULES)}.")
        if not 0 < alpha < 1:
            raise ValueError(f"A false-reject rate lies between 0 and 1, not at {alpha}.")
        self.rule = rule
        self.alpha = alpha
        self.deviations = deviations

    def fit(self, scores: np.ndarray) -> "RejectionRule":
        """Learn from (n,) scores of held-out good parts.

        Raises TooFewGoodParts: "conformal" needs `parts_needed(alpha)`, the others two; ValueError for NaN or
        infinity.
        """
        scores = np.sort(np.asarray(scores, np.float64).ravel())
        if not np.isfinite(scores).all():
            raise ValueError("A score is NaN or infinite.")
        needed = parts_needed(self.alpha) if self.rule == "conformal" else 2
        if len(scores) < needed:
            raise TooFewGoodParts(len(scores), needed, self.alpha)
        self.scores_ = scores
        if self.rule == "conformal":
            # The k-th lowest of n: a new good part exceeds it with a chance of at most 1 - k / (n + 1).
            rank = int(np.ceil((1 - self.alpha) * (len(scores) + 1) - 1e-9))
            self.threshold_ = float(scores[rank - 1])
        elif self.rule == "deviations":
            self.threshold_ = float(scores.mean() + self.deviations * scores.std(ddof=1))
        else:
            self.threshold_ = float(np.quantile(scores, 1 - self.alpha))
        return self

    def rejects(self, scores: np.ndarray) -> np.ndarray:
        """Whether each score is above the threshold, bool of the same shape."""
        return np.asarray(scores) > self.threshold_

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Share of good parts that look at least as bad, float64: (1 + those held out) / (1 + n).

        With the rule "conformal" a part is rejected when its p-value is at most `alpha`, but for ties.
        """
        return p_values(self.scores_, scores)


def p_values(good: np.ndarray, scores: np.ndarray | float) -> np.ndarray:
    """The same from ascending scores of held-out good parts, float64 of the shape of `scores`."""
    worse = len(good) - np.searchsorted(good, np.asarray(scores, np.float64), side="left")
    return (1 + worse) / (1 + len(good))


def parts_needed(alpha: float) -> int:
    """Held-out good parts below which no score can be unlikely enough to reject at a rate of `alpha`."""
    return int(np.ceil(1 / alpha - 1e-9)) - 1


def held_out_split(
    groups: np.ndarray, needed: int, *, share: float = 0.2, seed: int = 0
) -> np.ndarray | None:
    """Which good pictures set the threshold instead of being learned from, bool (n,).

    `groups` int64 (n,) are near-duplicates, which stay together: pictures of a part that was learned from
    look better than those of any new part. A `share` of the pictures is held out, or as many as are `needed`,
    but never more than half of them; None when that is not enough.
    """
    wanted = max(needed, round(share * len(groups)))
    held = np.zeros(len(groups), bool)
    numbers, sizes = np.unique(groups, return_counts=True)
    for at in np.random.default_rng(seed).permutation(len(numbers)):
        if held.sum() >= wanted:
            break
        if held.sum() + sizes[at] <= len(groups) / 2:
            held |= groups == numbers[at]
    return held if held.sum() >= needed else None
