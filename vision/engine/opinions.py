"""Two opinions on a part made one: that of the patches (PatchCore), and that of the head that knows faults.

Scores of different kinds can't be added. How surprising each would be on a good part can: the logarithms of
its p-values among held-out good parts are summed (Fisher, "Statistical Methods for Research Workers", 1925).
Who is heard is decided by faults drawn on held-out good parts, of kinds that the head did not learn; with
real faults the figures would promise more than the next part keeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vision.engine.inspection_measures import image_auroc

Opinion = Literal["patches", "head", "both"]
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)
#: Kinds of drawn faults that look alike, and are left out of learning together.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("scratch", "crack", "crazing", "fray"),
    ("pit", "inclusion", "foreign", "missing"),
    ("stain", "uneven", "dent", "scale"),
    ("pasted",),
)
#: How much better in AUROC than the patches alone both have to be, and how much better than both the head.
#: Drawn faults favour the head even where it does not know their kind: on magnetic tile and on castings they
#: put it 0.02 to 0.05 above both, and on real faults it was 3 to 5 points of AUROC below.
GAIN, HEAD_GAIN = 0.01, 0.15
#: What the head counts beside the patches, for the same reason.
HEAD_WEIGHT = 0.5
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
    """Scores of an opinion, float64 (n,): its own, or for "both" the weighted sum of both surprises."""
    if opinion == "both":
        return patches(scores.patches) + HEAD_WEIGHT * head(scores.head)
    return scores.patches if opinion == "patches" else scores.head


def choose(trials: Sequence[Trial], *, gain: float = GAIN, head_gain: float = HEAD_GAIN) -> Choice:
    """The opinion to use: the patches, unless both or the head tell drawn faults so much better.

    AUROC is the mean over the trials. Raises ValueError for none, or one without good or drawn pictures.
    """
    if not trials:
        raise ValueError("There is no trial to choose an opinion by.")
    auroc = {opinion: float(np.mean([_auroc(opinion, trial) for trial in trials])) for opinion in OPINIONS}
    chosen: Opinion = "both" if auroc["both"] >= auroc["patches"] + gain else "patches"
    if auroc["head"] >= auroc[chosen] + head_gain:
        chosen = "head"
    return Choice(chosen, auroc)


def _auroc(opinion: Opinion, trial: Trial) -> float:
    patches, head = Surprise().fit(trial.good.patches), Surprise().fit(trial.good.head)
    good, drawn = (joined_scores(opinion, scores, patches, head) for scores in (trial.good, trial.drawn))
    return image_auroc(np.concatenate([good, drawn]), np.arange(len(good) + len(drawn)) >= len(good))
