"""How good an inspection is: of pictures, of pixels, and at a threshold, with bootstrap intervals.

Image and pixel AUROC; AUPRO, the area under the mean share of each faulty region that is found against the
false-positive rate of good pixels, up to a rate of 0.3 and divided by it (Bergmann et al., "The MVTec Anomaly
Detection Dataset", 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

#: Usual limit of the false-positive rate for AUPRO.
AUPRO_LIMIT = 0.3
#: Distinct values that maps are rounded to: memory for pixels stays the same however many there are.
_LEVELS = 1 << 16


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ThresholdMeasures:
    """Shares at a threshold: `precision` of the rejected are faulty, `recall` of the faulty are rejected.

    `f1` is their harmonic mean, `false_reject_rate` the share of the good that are rejected.
    """

    precision: float
    recall: float
    f1: float
    false_reject_rate: float


def top_mean(grid: np.ndarray, share: float) -> float:
    """Mean of the highest `share` of a grid, one value at least."""
    count = max(1, round(share * grid.size))
    return float(np.partition(grid, -count, axis=None)[-count:].mean())


def image_auroc(scores: np.ndarray, faulty: np.ndarray) -> float:
    """Area under the ROC curve of (n,) scores, bool `faulty`. Raises ValueError without both kinds."""
    if faulty.all() or not faulty.any():
        raise ValueError("An area under the ROC curve needs good and faulty pictures.")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(faulty, scores))


def roc_points(scores: np.ndarray, faulty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve of (n,) scores: false and true positive rates, float64, from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(faulty, scores)
    return false, true


def at_threshold(scores: np.ndarray, faulty: np.ndarray, threshold: float) -> ThresholdMeasures:
    """Measures of rejecting what scores above `threshold`; shares of nothing are 0."""
    from sklearn.metrics import precision_recall_fscore_support

    rejected = scores > threshold
    precision, recall, f1, _ = precision_recall_fscore_support(
        faulty, rejected, average="binary", zero_division=0
    )
    good = ~faulty
    false = float(rejected[good].mean()) if good.any() else 0.0
    return ThresholdMeasures(float(precision), float(recall), float(f1), false)


def bootstrap(
    measure: Callable[[np.ndarray, np.ndarray], float],
    scores: np.ndarray,
    faulty: np.ndarray,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> Interval:
    """The measure with its percentile interval, good and faulty pictures drawn anew apart from each other."""
    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(faulty == kind) for kind in (False, True)]
    values = []
    for _ in range(rounds):
        drawn = np.concatenate([rng.choice(part, len(part)) for part in parts])
        values.append(measure(scores[drawn], faulty[drawn]))
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(measure(scores, faulty), float(low), float(high))


class PixelMeasures:
    """Collects maps and masks one picture at a time; the memory does not grow with them.

    `low` and `high` bound the maps' values, which are rounded to 65,536 steps between them: the areas are
    those of the rounded maps, exactly. What lies outside is taken for the nearer bound.
    """

    def __init__(self, low: float, high: float):
        if not low < high:
            raise ValueError(f"Maps between {low} and {high} have no values.")
        self.low = low
        self.high = high
        self._good = np.zeros(_LEVELS, np.int64)
        self._faulty = np.zeros(_LEVELS, np.int64)
        # Of each region the share of its pixels at each level, summed over regions.
        self._regions = np.zeros(_LEVELS)
        self.regions = 0

    def add(self, anomaly: np.ndarray, mask: np.ndarray | None) -> None:
        """Add a map float (h, w) with the bool mask (h, w) of its faults, None for a good picture.

        Raises ValueError when their shapes differ.
        """
        levels = self._levels(anomaly)
        if mask is None:
            self._good += np.bincount(levels.ravel(), minlength=_LEVELS)
            return
        if mask.shape != anomaly.shape:
            raise ValueError(f"A mask of shape {mask.shape} does not fit a map of shape {anomaly.shape}.")
        self._good += np.bincount(levels[~mask], minlength=_LEVELS)
        self._faulty += np.bincount(levels[mask], minlength=_LEVELS)
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        sizes = np.bincount(labels.ravel(), minlength=count)
        inside = labels > 0
        self._regions += np.bincount(levels[inside], 1 / sizes[labels[inside]], minlength=_LEVELS)
        self.regions += count - 1

    def auroc(self) -> float:
        """Area under the ROC curve over all pixels. Raises ValueError without both kinds."""
        false, true = self._rates(self._good), self._rates(self._faulty)
        return float(np.trapezoid(true, false))

    def aupro(self, limit: float = AUPRO_LIMIT) -> float:
        """Area under the mean share found of each region, up to a false-positive rate, divided by it."""
        false, found = self._rates(self._good), self._rates(self._regions)
        ends = np.interp(limit, false, found)
        below = false < limit
        return float(np.trapezoid(np.append(found[below], ends), np.append(false[below], limit)) / limit)

    def _levels(self, anomaly: np.ndarray) -> np.ndarray:
        place = (anomaly - self.low) * ((_LEVELS - 1) / (self.high - self.low))
        return np.clip(np.rint(place), 0, _LEVELS - 1).astype(np.int64)

    @staticmethod
    def _rates(histogram: np.ndarray) -> np.ndarray:
        total = histogram.sum()
        if not total:
            raise ValueError("Measures of pixels need good and faulty ones.")
        return np.append(0.0, np.cumsum(histogram[::-1]) / total)


def box_holds(box: tuple[int, int, int, int], mask: np.ndarray) -> bool:
    """Whether the centre of the largest fault in a mask (h, w) lies in a box (x, y, w, h)."""
    count, _, statistics, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        raise ValueError("The mask shows no fault.")
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    x, y = centres[largest]
    return box[0] <= x < box[0] + box[2] and box[1] <= y < box[1] + box[3]
