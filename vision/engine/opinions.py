"""Opinions on a part made one: those of the patches (PatchCore), and that of the head that knows faults.

Distances of different kinds can't be added. How surprising each would be on a good part can: the logarithms
of its p-values among the places of held-out good parts are averaged (after Fisher, "Statistical Methods for
Research Workers", 1925). Whether the head is heard is decided by faults drawn on held-out good parts, of
kinds that it did not learn; with real faults the figures would promise more than the next part keeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from vision.engine.inspection_measures import image_auroc, top_mean

Opinion = Literal["patches", "head", "both"]
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)
#: Kinds of drawn faults that look alike, and are left out of learning together.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("scratch", "crack", "crazing", "fray"),
    ("pit", "inclusion", "foreign", "missing"),
    ("stain", "uneven", "dent", "scale"),
    ("pasted",),
)
#: How much better in AUROC than the patches the head has to be to be heard, and than both to be heard alone:
#: drawn faults favour it a little even where it does not know their kind.
GAIN, ALONE_GAIN = 0.03, 0.15
#: What each counts: the coarse and the fine patches, how rare a patch is in its own picture, and the head.
WEIGHTS: dict[Opinion, dict[str, float]] = {
    "patches": {"coarse": 1, "fine": 1, "rarity": 1},
    "head": {"head": 1},
    "both": {"coarse": 1, "fine": 1, "rarity": 1, "head": 3},
}
#: Standard deviation of the Gaussian over the joined grid, in its steps.
_SMOOTHING = 1.0
#: The p-values of two quantiles of good parts, through which all others are laid.
_MIDDLE, _HIGH = 0.5, 0.1


@dataclass
class Surprise:
    """How surprising a score would be on a good part: 1 where a tenth looks as bad, 2 for a hundredth.

    That is log10(1 / p) with p of an exponential law through the median and the 90th percentile of held-out
    good parts. Counted p-values would be equal for all that lies beyond the worst of them, and nearly equal
    for most good parts: scores of the final model are a little lower than those of the models that held parts
    out, since it has learned from more.

    Learned: `middle` and `scale`, in units of the scores.
    """

    middle: float = 0.0
    scale: float = 1.0

    def fit(self, scores: np.ndarray) -> "Surprise":
        """Learn from (n,) scores of held-out good parts. Raises ValueError for under two, NaN or infinity."""
        scores = np.asarray(scores, np.float64)
        if scores.size < 2 or not np.isfinite(scores).all():
            raise ValueError("What is surprising needs two or more finite scores of good parts.")
        self.middle, high = (float(np.quantile(scores, 1 - p)) for p in (_MIDDLE, _HIGH))
        self.scale = (high - self.middle) / np.log10(_MIDDLE / _HIGH) or 1.0
        return self

    def __call__(self, scores: np.ndarray | float) -> np.ndarray:
        """Surprise of scores, float64 of the same shape; among the better half it only orders them."""
        return (np.asarray(scores, np.float64) - self.middle) / self.scale - np.log10(_MIDDLE)


#: How bad each place of a picture looks, by who says so: float32 (rows, columns) each, of any grid.
Grids = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """Grids of held-out good pictures, and of the same kind with faults drawn on them, in one fold.

    `drawn` are of kinds that the head of this fold did not learn.
    """

    good: Sequence[Grids]
    drawn: Sequence[Grids]


@dataclass(frozen=True)
class Choice:
    """The opinion that is used, and the AUROC of each on drawn faults."""

    opinion: Opinion
    auroc: dict[Opinion, float]


def surprises_of(good: Sequence[Grids]) -> dict[str, Surprise]:
    """What is usual of all places of held-out good pictures, by who says so."""
    return {name: Surprise().fit(np.concatenate([one[name].ravel() for one in good])) for name in good[0]}


def joined_grid(opinion: Opinion, grids: Grids, surprises: dict[str, Surprise]) -> np.ndarray:
    """The mean surprise of those who are heard, smoothed, on the finest grid: float32 (rows, columns)."""
    weights = WEIGHTS[opinion]
    shape = max((grids[name].shape for name in weights), key=lambda sides: sides[0] * sides[1])
    joined = np.zeros(shape)
    for name, weight in weights.items():
        surprise = surprises[name](grids[name])
        joined += weight * cv2.resize(surprise, shape[::-1], interpolation=cv2.INTER_LINEAR)
    joined = (joined / sum(weights.values())).astype(np.float32)
    return cv2.GaussianBlur(joined, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT)


def choose(trials: Sequence[Trial], top_share: float) -> Choice:
    """The opinion to use: the patches, unless the head by itself tells drawn faults clearly better.

    Then both, or the head alone where the patches disturb much. On castings the head is better on drawn
    faults, and both together are 7 points of AUROC above the patches on real ones; on magnetic tile it is
    no better, and both together are 5 to 9 points below, however well they do on drawn faults.

    A picture's score is the mean of the `top_share` of its places that look worst. AUROC is the mean over the
    trials. Without any, the patches are heard.
    """
    if not trials:
        return Choice("patches", {})
    auroc: dict[Opinion, float] = {
        opinion: float(np.mean([_auroc(opinion, trial, top_share) for trial in trials]))
        for opinion in OPINIONS
    }
    if auroc["head"] < auroc["patches"] + GAIN:
        return Choice("patches", auroc)
    return Choice("head" if auroc["head"] >= auroc["both"] + ALONE_GAIN else "both", auroc)


def _auroc(opinion: Opinion, trial: Trial, top_share: float) -> float:
    surprises = surprises_of(trial.good)
    scores = [
        top_mean(joined_grid(opinion, grids, surprises), top_share) for grids in (*trial.good, *trial.drawn)
    ]
    return image_auroc(np.array(scores), np.arange(len(scores)) >= len(trial.good))
