"""Two opinions on a part made one: that of the patches (PatchCore), and that of the head that knows faults.

Scores of different kinds can't be added. How surprising each would be on a good part can: its p-value among
held-out good parts (Fisher's method: "Statistical Methods for Research Workers", 1925). Whether the head is
heard at all is decided by faults drawn on held-out good parts, of kinds that it did not learn; real faults
would make the choice better than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vision.engine.inspection_measures import image_auroc
from vision.engine.rejection import p_values

Opinion = Literal["patches", "head", "both"]
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)
#: Kinds of drawn faults that look alike, and are left out of learning together.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("scratch", "crack", "crazing", "fray"),
    ("pit", "inclusion", "foreign", "missing"),
    ("stain", "uneven", "dent", "scale"),
    ("pasted",),
)
#: How much more of AUROC than the patches alone has an opinion to reach that costs more.
MARGIN = 0.01
#: Share of good parts, the worst, that tell how fast scores of good parts thin out.
_TAIL = 0.25


class Surprise:
    """How surprising a score would be on a good part: 1 where a tenth looks as bad, 2 for a hundredth.

    Learned: `scores_`, ascending float64 (n,) of held-out good parts, and `tail_`, the mean excess of the
    worst quarter over the rest. Beyond the worst of them surprise grows as if scores thinned out
    exponentially: otherwise all that lies beyond would be equal.
    """

    def fit(self, scores: np.ndarray) -> "Surprise":
        """Learn from (n,) scores of held-out good parts. Raises ValueError for under two, NaN or infinity."""
        scores = np.sort(np.asarray(scores, np.float64).ravel())
        if len(scores) < 2 or not np.isfinite(scores).all():
            raise ValueError("What is surprising needs two or more finite scores of good parts.")
        self.scores_ = scores
        start = float(np.quantile(scores, 1 - _TAIL))
        worst = scores[scores > start]
        self.tail_ = float((worst - start).mean()) if len(worst) else 1.0
        return self

    def __call__(self, scores: np.ndarray | float) -> np.ndarray:
        """Surprise of scores, float64 of the same shape: the logarithm of 1 / p to the base 10."""
        beyond = np.maximum(np.asarray(scores, np.float64) - self.scores_[-1], 0) / self.tail_
        return -np.log10(p_values(self.scores_, scores)) + beyond / np.log(10)


@dataclass(frozen=True)
class Scores:
    """Scores of pictures by both opinions, float64 (n,) each."""

    patches: np.ndarray
    head: np.ndarray


@dataclass(frozen=True)
class Trial:
    """Scores of held-out good pictures, and of the same kind with faults drawn on them, in one fold.

    `drawn` are of kinds that the head of this fold did not learn.
    """

    good: Scores
    drawn: Scores


@dataclass(frozen=True)
class Choice:
    """The opinion that is used, and the AUROC of each on drawn faults."""

    opinion: Opinion
    auroc: dict[Opinion, float]


def joined_scores(opinion: Opinion, scores: Scores, patches: Surprise, head: Surprise) -> np.ndarray:
    """Scores of an opinion, float64 (n,): its own, or for "both" the sum of both surprises."""
    if opinion == "both":
        return patches(scores.patches) + head(scores.head)
    return scores.patches if opinion == "patches" else scores.head


def choose(trials: Sequence[Trial], *, margin: float = MARGIN) -> Choice:
    """The opinion to use: the patches, unless another tells drawn faults better by `margin`.

    AUROC is the mean over the trials. Raises ValueError for none, or one without good or drawn pictures.
    """
    if not trials:
        raise ValueError("There is no trial to choose an opinion by.")
    auroc = {opinion: float(np.mean([_auroc(opinion, trial) for trial in trials])) for opinion in OPINIONS}
    best = max(("both", "head"), key=auroc.__getitem__)
    return Choice(best if auroc[best] >= auroc["patches"] + margin else "patches", auroc)


def _auroc(opinion: Opinion, trial: Trial) -> float:
    patches, head = Surprise().fit(trial.good.patches), Surprise().fit(trial.good.head)
    good, drawn = (joined_scores(opinion, scores, patches, head) for scores in (trial.good, trial.drawn))
    return image_auroc(np.concatenate([good, drawn]), np.arange(len(good) + len(drawn)) >= len(good))
