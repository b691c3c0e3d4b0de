"""Sets of categories that hold the true one as often as promised, for each category.

Mondrian conformal prediction (Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005) with
the probability of the true category as its measure of fit (Sadinle, Lei & Wasserman, "Least Ambiguous
Set-Valued Classifiers", 2019): a category belongs to the set unless a picture fits it worse than nearly all
of its own held-out pictures do.
"""

import numpy as np

#: Held-out pictures under which the distance to a category counts as well.
_HARDLY_ANY = 5


class ConformalSets:
    """How well held-out pictures fitted their own categories, and what follows for new ones.

    A category with too few of its own for the level is judged by the held-out pictures of all such
    categories together, and where those are too few as well, by all pictures (clusters of categories: Ding et
    al., "Class-Conditional Conformal Prediction with Many Classes", 2023). One with hardly any can't have a
    high probability yet, so it stays in the set as long as its images are near, too. When there are too few
    pictures of any category, nothing is ever excluded.

    Learned: `misfits_`, the ascending float32 misfits of each category by its position.
    """

    def __init__(self, misfits: list[np.ndarray] | None = None):
        self.misfits_ = misfits or []

    def fit(self, probabilities: np.ndarray, truth: np.ndarray) -> "ConformalSets":
        """Learn from held-out (m, C) probabilities of pictures whose categories are at (m,) `truth`."""
        misfits = misfit(probabilities)[np.arange(len(truth)), truth]
        self.misfits_ = [np.sort(misfits[truth == c]) for c in range(probabilities.shape[1])]
        return self

    def typicality(
        self,
        probabilities: np.ndarray,
        positions: np.ndarray,
        coverage: float,
        nearness: np.ndarray | None = None,
    ) -> np.ndarray:
        """P-values (m, C): the share of a category's held-out pictures that fit it no better.

        `positions` (C,) say which fitted category each column is, -1 for one that came later; `nearness`
        (m, C) are p-values of the distance to each category, for those with hardly any picture. A category
        is in the set when its value is above 1 - `coverage`.
        """
        needed = pictures_needed(coverage)
        few = [own for own in self.misfits_ if len(own) < needed]
        pool = np.sort(np.concatenate(few)) if few else np.zeros(0, np.float32)
        if len(pool) < needed:
            pool = np.sort(np.concatenate([np.zeros(0, np.float32), *self.misfits_]))
        misfits = misfit(probabilities)
        values = np.ones(probabilities.shape)
        for column, position in enumerate(positions):
            own = self.misfits_[position] if 0 <= position < len(self.misfits_) else pool[:0]
            hardly_any = len(own) < _HARDLY_ANY
            own = own if len(own) >= needed else pool
            worse = len(own) - np.searchsorted(own, misfits[:, column], side="left")
            values[:, column] = (worse + 1) / (len(own) + 1)
            if hardly_any and nearness is not None:
                values[:, column] = np.maximum(values[:, column], nearness[:, column])
        return values


def misfit(probabilities: np.ndarray) -> np.ndarray:
    """How badly each category fits, float32: the odds against it, as a logarithm."""
    chances = np.clip(probabilities, 1e-30, 1 - 1e-15)
    return (np.log1p(-chances) - np.log(chances)).astype(np.float32)


def pictures_needed(coverage: float) -> int:
    """Held-out pictures below which no p-value can be small enough to exclude anything."""
    return int(np.ceil(1 / (1 - coverage) - 1e-9))
