"""Linear discriminant analysis with a shrunk covariance, from sums that folds can be taken out of.

With one covariance for all categories the best classifier is linear, and its coefficients are the solution of
one system of equations (Fisher, 1936; Friedman, "Regularized Discriminant Analysis", 1989). On embeddings of
a few hundred images it beat logistic regression, it needs no iterations, and the same covariance tells how
unusual a picture is in the directions that vary little within a category.
"""

from dataclasses import dataclass

import numpy as np

#: Shares of the mean variance that are added to every direction: from hardly any to nearly the nearest mean.
#: The first ones only for libraries with many images a dimension. Where there are about as many images as
#: dimensions, the scale of weakly shrunk scores changes with every image, and no calibration would hold.
SHRINKAGES = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
_STRONG = 0.1
_MANY_IMAGES = 4
#: Below this variance of unit vectors directions are numerical noise.
_LEAST_VARIANCE = 1e-9


def shrinkages_for(images: int, dimension: int) -> tuple[float, ...]:
    """The strengths worth trying for so many images of so many dimensions."""
    many = images >= _MANY_IMAGES * dimension
    return tuple(strength for strength in SHRINKAGES if many or strength >= _STRONG)


@dataclass(frozen=True)
class Moments:
    """Sums over labelled vectors: `counts` (C,), `sums` (C, d) and `squares` (d, d), all float64."""

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.counts - other.counts, self.sums - other.sums, self.squares - other.squares)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.counts + other.counts, self.sums + other.sums, self.squares + other.squares)


def moments_of(vectors: np.ndarray, positions: np.ndarray, categories: int) -> Moments:
    """Moments of (n, d) vectors whose categories are at (n,) `positions` of `categories`."""
    # In float32 the squares would lose what directions of little variance are worth.
    vectors = np.asarray(vectors, np.float64)
    belongs = (positions[:, None] == np.arange(categories)).astype(np.float64)
    return Moments(belongs.sum(axis=0), belongs.T @ vectors, vectors.T @ vectors)


@dataclass(frozen=True)
class Discriminant:
    """Scores and angles of pictures towards the categories that it was fitted to.

    `weights` (d, C) and `biases` (C,) give the scores; `centre` (d,) is the mean of the categories' means;
    `lengths` (C,) are the whitened distances of those means from it, 0 for a category without any image;
    `whitening` (d, d) float32 turns what varies within categories into a ball of radius 1 (None when it was
    not asked for).
    """

    weights: np.ndarray
    biases: np.ndarray
    centre: np.ndarray
    lengths: np.ndarray
    whitening: np.ndarray | None

    @classmethod
    def fit(cls, moments: Moments, shrinkage: float, *, whiten: bool = True) -> "Discriminant":
        """Fit to sums; in the scores categories weigh the same whatever their number of images."""
        from scipy.linalg import cholesky, solve_triangular

        known = moments.counts > 0
        means = moments.sums / np.maximum(moments.counts, 1)[:, None]
        centre = means[known].mean(axis=0)
        within = moments.squares - means.T @ moments.sums
        within /= max(moments.counts.sum() - known.sum(), 1)
        dimension = len(centre)
        extra = max(shrinkage * np.trace(within) / dimension, _LEAST_VARIANCE)
        within[np.diag_indices(dimension)] += extra
        lower = cholesky(within, lower=True, check_finite=False)
        offsets = np.where(known[:, None], means - centre, 0)
        whitened = solve_triangular(lower, offsets.T, lower=True, check_finite=False)
        weights = solve_triangular(lower, whitened, lower=True, trans="T", check_finite=False)
        squares = (whitened**2).sum(axis=0)
        biases = np.where(known, -squares / 2 - centre @ weights, -np.inf)
        whitening = None
        if whiten:
            inverse = solve_triangular(lower, np.eye(dimension), lower=True, check_finite=False)
            whitening = inverse.astype(np.float32)
        return cls(weights, biases, centre, np.sqrt(squares), whitening)

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """Log of each category's density, up to what all share: float64 (m, C), -inf for an empty one."""
        return np.asarray(vectors, np.float64) @ self.weights + self.biases

    def angles(self, vectors: np.ndarray) -> np.ndarray:
        """1 - cosine, float64 (m,), between each whitened picture and the nearest category's mean.

        Seen from the centre of all categories: 0 is the direction of a category, 1 that of none. A picture of
        something new points elsewhere even where it is no further away than others.
        """
        offsets = np.asarray(vectors, np.float64) - self.centre
        whitened = np.asarray(offsets, np.float32) @ self.whitening.T
        lengths = np.linalg.norm(whitened, axis=1).astype(np.float64)[:, None] * self.lengths
        cosines = np.where(self.lengths > 0, offsets @ self.weights / np.maximum(lengths, 1e-12), -1)
        return 1 - np.clip(cosines.max(axis=1), -1, 1)
