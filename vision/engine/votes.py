"""Soft votes of the nearest labelled images.

A new label counts from the next query on, nothing is trained, and every vote can be traced to a picture that
a person can look at.
"""

from collections.abc import Sequence

import numpy as np

TEMPERATURES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
BALANCES = (0.0, 0.5, 1.0)


class NeighbourVotes:
    """Similarity-weighted votes of the k nearest.

    A neighbour with similarity s votes exp((s - s_nearest) / temperature) / count ** balance for its
    category, where count is that category's number of images: with balance above 0 a large category no
    longer wins by filling the list. `prior` votes are spread evenly over all categories, so that no share
    is 0 and a single neighbour is never certainty.

    `temperature` and `balance` are those given until `fit` picks others.
    """

    def __init__(self, temperature: float = 0.05, balance: float = 0.5, prior: float = 0.1):
        self.temperature = temperature
        self.balance = balance
        self.prior = prior

    def fit(
        self, similarities: np.ndarray, positions: np.ndarray, truth: np.ndarray, counts: np.ndarray
    ) -> "NeighbourVotes":
        """Pick the pair with the lowest log-loss, averaged over categories, and keep the shares it gives.

        (m, k) similarities and category positions of the neighbours, -1 where there is none, of m images
        whose categories are at (m,) `truth`; (C,) images a category.
        """
        weights = 1 / np.bincount(truth, minlength=len(counts))[truth]
        best = np.inf
        for temperature in TEMPERATURES:
            for balance in BALANCES:
                trial = NeighbourVotes(temperature, balance, self.prior)
                shares = trial.shares(similarities, positions, counts)
                loss = np.average(-np.log(shares[np.arange(len(truth)), truth]), weights=weights)
                if loss < best - 1e-9:
                    best, self.temperature, self.balance = loss, temperature, balance
        return self

    def shares(
        self, similarities: np.ndarray, positions: np.ndarray, counts: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """Shares (m, C) of the votes; rows sum to 1, and one without any neighbour is even."""
        categories = len(counts)
        if not categories:
            return np.zeros((len(positions), 0))
        present = positions >= 0
        nearest = np.max(similarities, axis=1, keepdims=True, initial=-np.inf, where=present)
        with np.errstate(invalid="ignore"):
            strength = np.where(present, np.exp((similarities - nearest) / self.temperature), 0)
        relative = np.maximum(counts, 1) / max(np.max(counts), 1)
        strength = strength / relative[positions] ** self.balance
        votes = np.zeros((len(positions), categories))
        rows = np.repeat(np.arange(len(positions)), positions.shape[1])
        np.add.at(votes, (rows[present.ravel()], positions[present]), strength[present])
        votes += self.prior / categories
        return votes / votes.sum(axis=1, keepdims=True)
