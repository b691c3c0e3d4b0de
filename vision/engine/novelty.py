"""Is a picture one of the known categories at all? A p-value from its distance to the confirmed images.

Two distances that fail in different places: that to the nearest confirmed image, in units of what is usual
around it, which needs few images and sees what is far from everything; and the angle to the nearest category
in the whitened space of the discriminant, which sees what lies between the categories. Each becomes a
surprise, -log of the share of confirmed images that are as far when they are held out; their mean is judged
the same way again (Fisher, "Statistical Methods for Research Workers", 1932, but without independence).
"""

from dataclasses import dataclass

import numpy as np

from vision.engine.index import Metric

#: Fewer held-out distances than these tell nothing.
_ENOUGH = 8
#: Images that the usual distance of all categories counts for, against a category's own.
_SHRINK = 5
#: Points that the counted part of a curve is kept with.
_POINTS = 200
#: Distances under which images are the same but for rounding, and so excesses over the usual.
_LEAST_DISTANCE = 1e-3
_LEAST_EXCESS = 0.01
#: How many times the surprise of the distance that of the angle may be, because whatever the angle, a picture
#: right beside a confirmed image is not new.
_ANGLE_OVER_NEAR = 10
#: Surprise of a picture that has nothing to be compared with.
NOTHING_NEAR = 690.0


@dataclass(frozen=True)
class Surprise:
    """-log of the share of held-out values that are as large: counted in the body, a curve in the tail.

    Beyond the largest tenth there is too little to count. There the excess is taken as exponential (peaks
    over threshold: Pickands, 1975) with the scale that its m values leave uncertain, which gives
    (1 + excess / (m * mean excess)) ** -m: a tail that is the heavier the fewer values there were.

    `values` ascending and their `surprises` are the body; `excess` is the mean excess of `beyond` values.
    """

    values: np.ndarray
    surprises: np.ndarray
    excess: float
    beyond: int

    @classmethod
    def fit(cls, values: np.ndarray) -> "Surprise | None":
        """Learn from (n,) held-out values; None when they are too few."""
        values = np.sort(values[np.isfinite(values)])
        count = len(values)
        if count < _ENOUGH:
            return None
        beyond = max(count // 10, min(count // 2, 10))
        # Of equal values the first: all of them are as large.
        body, ranks = np.unique(values[: count - beyond], return_index=True)
        some = np.unique(np.linspace(0, len(body) - 1, _POINTS).astype(int))
        shares = (count - ranks[some] + 1) / (count + 1)
        excess = max(float((values[count - beyond :] - body[-1]).mean()), _LEAST_EXCESS)
        return cls(body[some], -np.log(shares), excess, beyond)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Surprise (m,), 0 and above, of (m,) values; infinite ones surprise as NOTHING_NEAR."""
        values = np.asarray(values, np.float64)
        counted = np.interp(values, self.values, self.surprises)
        over = np.maximum(values - self.values[-1], 0)
        with np.errstate(over="ignore"):
            tail = self.beyond * np.log1p(over / (self.beyond * self.excess))
        return np.minimum(counted + tail, NOTHING_NEAR)

    def numbers(self) -> dict:
        """As plain numbers for JSON; `Surprise.restore` takes them back."""
        return {
            "values": self.values.tolist(),
            "surprises": self.surprises.tolist(),
            "excess": self.excess,
            "beyond": self.beyond,
        }

    @classmethod
    def restore(cls, numbers: dict) -> "Surprise":
        return cls(
            np.array(numbers["values"]), np.array(numbers["surprises"]), numbers["excess"], numbers["beyond"]
        )


class Novelty:
    """Learned: `usual_` (C,) distances to the nearest image by category and `usual_of_all_`; the surprises
    `near_`, `angle_` (None without a discriminant) and `joint_` (all None when the library is too small).
    """

    def __init__(self, metric: Metric = "cosine"):
        self.metric = metric
        self.usual_, self.usual_of_all_ = np.zeros(0), 0.0
        self.near_ = self.angle_ = self.joint_ = None

    def fit(
        self,
        nearest: np.ndarray,
        neighbours: np.ndarray,
        truth: np.ndarray,
        angles: np.ndarray | None,
        categories: int,
    ) -> "Novelty":
        """Learn from n held-out images of known categories.

        Similarity (n,) to the nearest image of another group, that image's category position (n,), the own
        position (n,), and the held-out angle (n,) if there is a discriminant. Images with nothing to be
        compared with (-inf, or NaN as angle) are left out.
        """
        there = np.isfinite(nearest) & (np.isfinite(angles) if angles is not None else True)
        nearest, neighbours, truth = nearest[there], neighbours[there], truth[there]
        distances = distance_of(nearest, self.metric)
        self.usual_of_all_ = max(float(np.median(distances)), _LEAST_DISTANCE) if len(distances) else 0.0
        self.usual_ = np.full(categories, self.usual_of_all_)
        for category in range(categories):
            own = distances[truth == category]
            if len(own):
                middle = max(float(np.median(own)), 0.05 * self.usual_of_all_)
                logs = len(own) * np.log(middle) + _SHRINK * np.log(self.usual_of_all_)
                self.usual_[category] = np.exp(logs / (len(own) + _SHRINK))
        self.near_ = Surprise.fit(distances / self.usual_[neighbours])
        if self.near_ is None:
            return self
        if angles is not None:
            self.angle_ = Surprise.fit(angles[there])
        self.joint_ = Surprise.fit(self._mean(nearest, neighbours, angles[there] if self.angle_ else None))
        return self

    def score(
        self, nearest: np.ndarray, neighbours: np.ndarray, angles: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score (m,), higher for more unknown, and p-value (m,) of pictures by their nearest image.

        `neighbours` is the position of that image's category, -1 for one that came after the fit: then only
        the distance counts, because the discriminant can't know it. A library too small to tell says 1.
        """
        if self.joint_ is None:
            score = distance_of(nearest, self.metric)
            return np.minimum(score, NOTHING_NEAR), np.where(np.isfinite(nearest), 1.0, 0.0)
        score = self._mean(nearest, neighbours, angles if self.angle_ else None)
        return score, np.where(np.isfinite(nearest), np.exp(-self.joint_(score)), 0.0)

    def nearness(self, similarities: np.ndarray, positions: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """P-values (m, C) of the distance to each category's nearest image among (m, k) neighbours.

        `positions` (m, k) of the neighbours' categories, -1 for none, and `fitted` (C,) as in `_mean`. A
        category that is not among the neighbours is as near as the furthest of them at most.
        """
        values = np.ones((len(positions), len(fitted)))
        if self.near_ is None:
            return values
        least = np.min(similarities, axis=1, initial=np.inf, where=positions >= 0)
        for category, place in enumerate(fitted):
            there = positions == category
            nearest = np.max(similarities, axis=1, initial=-np.inf, where=there)
            nearest = np.where(there.any(axis=1), nearest, np.where(np.isfinite(least), least, -np.inf))
            usual = self.usual_[place] if place >= 0 else self.usual_of_all_
            values[:, category] = np.exp(-self.near_(distance_of(nearest, self.metric) / usual))
        return values

    def _mean(self, nearest, neighbours, angles) -> np.ndarray:
        usual = np.where(neighbours >= 0, self.usual_[neighbours], self.usual_of_all_)
        near = self.near_(distance_of(nearest, self.metric) / usual)
        if angles is None:
            return near
        angle = np.minimum(self.angle_(angles), _ANGLE_OVER_NEAR * near + 1)
        return np.where(neighbours >= 0, (near + angle) / 2, near)

    def numbers(self) -> dict:
        """As plain numbers for JSON; `restore` takes them back."""
        parts = {"near": self.near_, "angle": self.angle_, "joint": self.joint_}
        return {
            "usual": self.usual_.tolist(),
            "usual_of_all": self.usual_of_all_,
            **{name: part and part.numbers() for name, part in parts.items()},
        }

    @classmethod
    def restore(cls, numbers: dict, metric: Metric = "cosine") -> "Novelty":
        novelty = cls(metric)
        novelty.usual_ = np.array(numbers["usual"])
        novelty.usual_of_all_ = numbers["usual_of_all"]
        novelty.near_, novelty.angle_, novelty.joint_ = (
            Surprise.restore(numbers[name]) if numbers[name] else None for name in ("near", "angle", "joint")
        )
        return novelty


def distance_of(similarity: np.ndarray, metric: Metric) -> np.ndarray:
    """Distance (0 for the same, infinite for none) from an index's similarity."""
    similarity = np.asarray(similarity, np.float64)
    if metric == "cosine":
        return np.maximum(1 - similarity, 0)
    return np.where(np.isfinite(similarity), 1 / np.maximum(similarity, 1e-12) - 1, np.inf)
