"""A measure of distance for patches, learned from good parts: what varies among them counts for less.

Principal components of the good patches, each divided by a power of its variance. With the power 0.5 that is
the Mahalanobis distance; with 0.25 half the way there, and the directions with hardly any variance, which are
mostly rounding, can't rule the rest. Fewer components make the search cheaper in proportion.
"""

import numpy as np

#: Share of the mean variance that is added to each direction.
_FLOOR = 0.01
#: Patches from which the covariance is estimated at most, evenly drawn.
_ENOUGH = 50_000


class PatchWhitening:
    """Learns a projection to `dimension` numbers (fewer where the patches have fewer), see above.

    Learned: `mean_` float32 (d,), `matrix_` float32 (d, dimension).
    """

    def __init__(self, dimension: int = 128, *, power: float = 0.25):
        self.dimension = dimension
        self.power = power

    def fit(self, patches: np.ndarray) -> "PatchWhitening":
        """Learn from good patches (n, d) float32."""
        some = patches[:: -(-len(patches) // _ENOUGH)]
        self.mean_ = some.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = some - self.mean_
        covariance = (centred.T @ centred).astype(np.float64) / len(centred)
        variances, directions = np.linalg.eigh(covariance)
        widest = np.argsort(-variances)[: self.dimension]
        variances = np.maximum(variances, 0)
        # Equal patches have no variance at all, and stay equal.
        evened = np.maximum(variances + _FLOOR * variances.mean(), 1e-12) ** -self.power
        self.matrix_ = np.ascontiguousarray((directions * evened)[:, widest], np.float32)
        return self

    def transform(self, patches: np.ndarray) -> np.ndarray:
        """Patches (..., d) as float32 (..., dimension)."""
        return (patches - self.mean_) @ self.matrix_
