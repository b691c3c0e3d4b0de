"""From the nearest images to category probabilities, and from those to an outcome with its reason.

Soft votes of the nearest neighbours: a new label counts from the next query on, nothing is trained, and
every probability can be traced to pictures that a person can look at.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vision.engine.index import Metric, similarity_of_cosine
from vision.engine.neighbours import leave_one_out_neighbours

TEMPERATURES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
BALANCES = (0.0, 0.5, 1.0)
#: Below this many images nothing is picked by cross-validation: the defaults hold.
_ENOUGH_TO_FIT = 20


class Outcome(StrEnum):
    CONFIDENT = "confident"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Thresholds:
    """Where an outcome turns: probability and margin 0 to 1, similarity in the index's own scale."""

    min_similarity: float = 0.0
    min_probability: float = 0.7
    min_margin: float = 0.3
    min_examples: int = 5
    min_alike: int = 3


@dataclass(frozen=True)
class Verdict:
    """An outcome, its reason as a sentence, and the position of the leading category (None if unknown)."""

    outcome: Outcome
    reason: str
    best: int | None


class NeighbourClassifier:
    """Similarity-weighted votes of the k nearest labelled images.

    A neighbour with similarity s votes exp((s - s_nearest) / temperature) / count ** balance for its
    category, where count is that category's number of images: with balance above 0 a large category no
    longer wins by filling the list. `prior` votes are spread evenly over all categories, so that no
    probability is 0 and a single neighbour is never certainty.

    `temperature` and `balance` given as None are picked by `fit`: the pair with the lowest log-loss, averaged
    over categories, when each image of the library is classified by the others.

    `metric` is that of the index which the similarities come from.

    Learned: `classes_` (C,), `class_counts_` (C,), `temperature_`, `balance_`, `log_loss_` (None when nothing
    was picked), and `novelty_similarity_`, the similarity to their nearest neighbour that all but 1 % of the
    library's images reach (-1 for a library too small to say).
    """

    def __init__(
        self,
        k: int = 15,
        temperature: float | None = None,
        balance: float | None = None,
        prior: float = 0.1,
        max_queries: int = 2000,
        metric: Metric = "cosine",
    ):
        self.k = k
        self.temperature = temperature
        self.balance = balance
        self.prior = prior
        self.max_queries = max_queries
        self.metric = metric

    def fit(
        self, vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None
    ) -> "NeighbourClassifier":
        """Learn from a library of (n, d) unit vectors with (n,) labels.

        Images with equal `groups` (a case) never vote for each other. Above `max_queries` images a fixed
        random part of them is classified, always by the whole library. Empty libraries and single categories
        are fine.
        """
        labels = np.asarray(labels)
        self.classes_, self.class_counts_ = np.unique(labels, return_counts=True)
        self.temperature_ = 0.05 if self.temperature is None else self.temperature
        self.balance_ = 0.5 if self.balance is None else self.balance
        self.log_loss_ = None
        self.novelty_similarity_ = -1.0
        if len(labels) < _ENOUGH_TO_FIT or len(self.classes_) < 2:
            return self
        similarities, positions, queries = leave_one_out_neighbours(
            vectors, self.k, groups=groups, max_queries=self.max_queries
        )
        similarities = np.where(positions >= 0, similarity_of_cosine(similarities, self.metric), -np.inf)
        neighbour_labels = np.where(positions >= 0, np.searchsorted(self.classes_, labels)[positions], -1)
        truth = np.searchsorted(self.classes_, labels[queries])
        nearest = similarities[:, 0]
        if np.isfinite(nearest).any():
            self.novelty_similarity_ = float(np.quantile(nearest[np.isfinite(nearest)], 0.01))
        self._pick(similarities, neighbour_labels, truth)
        return self

    def learned(self) -> dict[str, float]:
        """What `fit` picked, as plain numbers; `restore` takes it back."""
        return {
            "k": self.k,
            "temperature": self.temperature_,
            "balance": self.balance_,
            "novelty_similarity": self.novelty_similarity_,
        }

    @classmethod
    def restore(cls, learned: dict[str, float], metric: Metric = "cosine") -> "NeighbourClassifier":
        """A classifier as it was fitted; give it the library's counts of the moment by `with_counts`."""
        classifier = cls(learned["k"], learned["temperature"], learned["balance"], metric=metric)
        classifier.temperature_, classifier.balance_ = learned["temperature"], learned["balance"]
        classifier.novelty_similarity_ = learned["novelty_similarity"]
        return classifier

    def with_counts(self, classes: np.ndarray, counts: np.ndarray) -> "NeighbourClassifier":
        """A copy that knows the (C,) labels and their (C,) numbers of images of this moment.

        So a new category counts at once, while what `fit` picked by cross-validation stays. `classes` ascend.
        """
        current = copy(self)
        current.classes_, current.class_counts_ = np.asarray(classes), np.asarray(counts)
        return current

    def predict_proba(self, similarities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Probabilities (m, C) in the order of `classes_` from (m, k) neighbours' similarities and labels.

        Places without a neighbour hold -inf; their labels are ignored. Every row sums to 1; a row without any
        neighbour is even over all categories. Raises ValueError for a label that `fit` has not seen.
        """
        if not hasattr(self, "classes_"):
            raise ValueError("The classifier knows no library yet. Call fit first.")
        similarities = np.atleast_2d(np.asarray(similarities, np.float64))[:, : self.k]
        labels = np.atleast_2d(np.asarray(labels))[:, : self.k]
        present = np.isfinite(similarities)
        positions = np.searchsorted(self.classes_, labels)
        if not np.isin(labels[present], self.classes_).all():
            raise ValueError("A neighbour has a label that the classifier was not fitted with. Fit it again.")
        return self._votes(similarities, np.where(present, positions, -1), self.temperature_, self.balance_)

    def predict(self, similarities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The most probable label of each row, (m,)."""
        return self.classes_[self.predict_proba(similarities, labels).argmax(axis=1)]

    def _pick(self, similarities: np.ndarray, neighbours: np.ndarray, truth: np.ndarray) -> None:
        temperatures = TEMPERATURES if self.temperature is None else (self.temperature,)
        balances = BALANCES if self.balance is None else (self.balance,)
        # Rare categories weigh as much as common ones: their faults are no less faults.
        weights = 1 / np.bincount(truth, minlength=len(self.classes_))[truth]
        best = np.inf
        for temperature in temperatures:
            for balance in balances:
                chances = self._votes(similarities, neighbours, temperature, balance)
                loss = np.average(-np.log(chances[np.arange(len(truth)), truth]), weights=weights)
                if loss < best - 1e-9:
                    best, self.temperature_, self.balance_ = loss, temperature, balance
        self.log_loss_ = float(best)

    def _votes(
        self, similarities: np.ndarray, positions: np.ndarray, temperature: float, balance: float
    ) -> np.ndarray:
        if not len(self.classes_):
            return np.zeros((len(positions), 0))
        present = positions >= 0
        nearest = np.max(similarities, axis=1, keepdims=True, initial=-np.inf, where=present)
        with np.errstate(invalid="ignore"):
            strength = np.where(present, np.exp((similarities - nearest) / temperature), 0)
        counts = self.class_counts_ / self.class_counts_.max()
        strength = strength / counts[positions] ** balance
        votes = np.zeros((len(positions), len(self.classes_)))
        rows = np.repeat(np.arange(len(positions)), positions.shape[1])
        np.add.at(votes, (rows[present.ravel()], positions[present]), strength[present])
        votes += self.prior / len(self.classes_)
        return votes / votes.sum(axis=1, keepdims=True)


def decide(
    probabilities: np.ndarray,
    similarities: np.ndarray,
    thresholds: Thresholds,
    *,
    examples: Sequence[int],
    alike: Sequence[int],
    names: Sequence[str],
) -> Verdict:
    """What may be claimed from (C,) probabilities and the (k,) similarities of the neighbours.

    `examples` are the confirmed images of each category, `alike` its cases among the neighbours that reach
    the least similarity, and `names` its name, all in the order of the probabilities. A category with few
    examples, or few that look like this, is never confident, however high its probability.
    """
    near = np.asarray(similarities, np.float64)
    near = near[np.isfinite(near)]
    if not len(near) or not len(probabilities):
        return Verdict(Outcome.UNKNOWN, "There is no confirmed image to compare with yet.", None)
    if near.max() < thresholds.min_similarity:
        return Verdict(
            Outcome.UNKNOWN,
            f"Nothing like it is known: the most similar confirmed image reaches {near.max():.2f}, "
            f"and {thresholds.min_similarity:.2f} is needed.",
            None,
        )
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    best = int(order[0])
    leader, chance = names[best], float(probabilities[best])
    if examples[best] < thresholds.min_examples:
        plural = "" if examples[best] == 1 else "s"
        return Verdict(
            Outcome.AMBIGUOUS,
            f"{leader} has few examples: {examples[best]} confirmed image{plural}, "
            f"and {thresholds.min_examples} are needed to be sure.",
            best,
        )
    if alike[best] < thresholds.min_alike:
        cases = "one past case" if alike[best] == 1 else f"{alike[best]} past cases"
        return Verdict(
            Outcome.AMBIGUOUS,
            f"This looks like {cases} of {leader} only, and {thresholds.min_alike} are needed to be sure.",
            best,
        )
    if len(order) > 1 and chance - float(probabilities[order[1]]) < thresholds.min_margin:
        second = int(order[1])
        return Verdict(
            Outcome.AMBIGUOUS,
            f"{leader} ({_percent(chance)}) and {names[second]} ({_percent(float(probabilities[second]))}) "
            "are too close to tell apart.",
            best,
        )
    if chance < thresholds.min_probability:
        return Verdict(
            Outcome.AMBIGUOUS,
            f"{leader} leads with {_percent(chance)}, and {_percent(thresholds.min_probability)} is needed.",
            best,
        )
    return Verdict(
        Outcome.CONFIDENT,
        f"{leader} is {_percent(chance)} probable, judged by similar confirmed images.",
        best,
    )


def _percent(share: float) -> str:
    return "over 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")
