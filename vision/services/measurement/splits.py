"""Which pictures train and which test, over and over: groups stay whole, categories keep their share."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vision.services.measurement.pictures import MeasureError


@dataclass(frozen=True)
class Split:
    """`train` is the share of every category that trains; `labels`, where given, so many pictures instead."""

    train: float = 0.5
    labels: int | None = None
    partitions: int = 10
    seed: int = 0


def partitions(
    labels: np.ndarray, together: np.ndarray, split: Split
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions (train, test) of each partition, ascending, from (n,) labels and (n,) group numbers.

    By share: whole groups go to the training side, in random order, as long as each brings a category nearer
    to its share. By number: the training pictures come from as many groups as possible, at most half of a
    category's, and what is left over of these groups is not used at all. A group of several categories
    counts for its most frequent one. A category of a single group trains only. The same seed gives the same
    partitions. Raises MeasureError when a category has no more than `labels` pictures, or nothing is left to
    test.
    """
    groups = _groups_by_category(labels, together)
    for number in range(split.partitions):
        rng = np.random.default_rng([split.seed, number])
        train, test = [], []
        for category, members in groups.items():
            members = [members[place] for place in rng.permutation(len(members))]
            if split.labels is None:
                side = _by_share(members, split.train)
            else:
                side = _by_number(members, split.labels, category, rng)
            train += side[0]
            test += side[1]
        if not test:
            raise MeasureError(
                "Nothing is left to test: all pictures of each category are one case or near-duplicates."
            )
        yield np.sort(np.array(train)), np.sort(np.array(test))


def _groups_by_category(labels: np.ndarray, together: np.ndarray) -> dict[str, list[np.ndarray]]:
    """For each category its groups, each an array of positions."""
    categories, codes = np.unique(labels, return_inverse=True)
    groups = {category: [] for category in categories.tolist()}
    order = np.argsort(together, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(together[order])) + 1):
        groups[str(categories[np.bincount(codes[members]).argmax()])].append(members)
    return {category: members for category, members in groups.items() if members}


def _by_share(members: list[np.ndarray], share: float) -> tuple[list[int], list[int]]:
    if len(members) == 1:
        return members[0].tolist(), []
    wanted = round(share * sum(map(len, members)))
    train, test = [], []
    for group in members:
        nearer = len(train) + len(group) / 2 <= wanted
        (train if nearer else test).extend(group.tolist())
    # Both sides need something of every category.
    if not train:
        smallest = min(members, key=len)
        train = smallest.tolist()
        test = [position for group in members if group is not smallest for position in group.tolist()]
    if not test:
        test = members[-1].tolist()
        train = train[: -len(test)]
    return train, test


def _by_number(
    members: list[np.ndarray], number: int, category: str, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    pictures = sum(map(len, members))
    if pictures <= number:
        raise MeasureError(
            f"{category} has {pictures} pictures: {number} to train on leave none to test. Ask for fewer."
        )
    giving = members[: max(1, min(number, len(members) // 2))]
    shuffled = [rng.permutation(group).tolist() for group in giving]
    # One of each group, then the second of each: as varied as they allow.
    in_turn = [
        group[turn] for turn in range(max(map(len, shuffled))) for group in shuffled if turn < len(group)
    ]
    return in_turn[:number], [position for group in members[len(giving) :] for position in group.tolist()]
