"""The projection that ends FaultNet: directions in which drawn scenes differ, scaled by how reliably they do.

Pictures of one scene differ by what does not matter (place, light, focus, the piece of material); pictures of
different scenes differ by what does. A linear discriminant analysis over scenes (Fisher 1936; within-class
whitening as in Hatch et al., "Within-class covariance normalization", 2006) ranks directions by the ratio of
the two. Its statistics come from drawn pictures only, so the projection belongs to the weights, and nothing
is fitted on a user's library.
"""

import numpy as np
from scipy.linalg import eigh

#: Share of the mean variance that is added to every direction within scenes: what few samples can't tell.
SHRINKAGE = 0.05
#: Exponent that evens out the spread between directions: 0 keeps it, 0.5 makes all of them equal.
EVENING = 0.4


def scene_projection(
    features: np.ndarray, dimension: int, *, shrinkage: float = SHRINKAGE, evening: float = EVENING
) -> tuple[np.ndarray, np.ndarray]:
    """The projection from (scenes, views, d) features, at least two views of each scene.

    Returns matrix (d, dimension) and offset (dimension,), float32; embeddings are features @ matrix + offset.
    With fewer scenes than dimensions the last directions are arbitrary, and weighed lightly.
    Raises ValueError for fewer than two scenes or views, or for fewer numbers than dimensions.
    """
    scenes, views, width = features.shape
    if scenes < 2 or views < 2 or width < dimension:
        raise ValueError(
            f"{scenes} scenes with {views} views of {width} numbers give no projection to {dimension}."
        )
    features = np.asarray(features, np.float64)
    mean = features.mean((0, 1))
    within = (features - features.mean(1, keepdims=True)).reshape(-1, width)
    within = within.T @ within / (scenes * (views - 1))
    everything = (features - mean).reshape(-1, width)
    everything = everything.T @ everything / (scenes * views)
    within += shrinkage * np.trace(within) / width * np.eye(width)
    ratios, directions = eigh(everything, within)
    best = np.argsort(-ratios)[:dimension]
    matrix = directions[:, best] * np.maximum(ratios[best], 1e-3) ** -evening
    return matrix.astype(np.float32), (-mean @ matrix).astype(np.float32)
