"""Rarity within a picture: what repeats is common however odd it is, what stands alone is rare."""

import numpy as np

from vision.engine.own_rarity import own_rarity


def noise(shape=(24, 30), depth=5) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (*shape, depth)).astype(np.float32)


def test_what_stands_alone_is_rare_and_what_is_everywhere_is_not():
    patches = noise()
    patches += 7  # odd, but all over
    patches[10:12, 20:22, 0] += 3
    rarity = own_rarity(patches)
    assert rarity.shape == (24, 30)
    assert rarity.dtype == np.float32
    assert rarity[10:12, 20:22].min() > 5 * np.median(rarity)
    rarity[10:12, 20:22] = 0
    assert rarity.max() < 3 * np.median(rarity)


def test_the_neighbours_of_a_fault_do_not_speak_for_it():
    """A fault of several patches is like itself, and that says nothing."""
    patches = noise()
    patches[8:12, 8:12] += 3
    assert own_rarity(patches)[8:12, 8:12].min() > 3


def test_the_same_fault_twice_is_common():
    patches = noise()
    for row, column in ((4, 4), (4, 24), (18, 14), (18, 24)):
        patches[row : row + 2, column : column + 2] += 3
    assert own_rarity(patches)[4:6, 4:6].max() < 1


def test_distances_are_those_of_a_plain_loop():
    patches = noise((14, 15))
    rarity = own_rarity(patches)
    for row, column in ((0, 0), (7, 7), (13, 3)):
        apart = sorted(
            np.linalg.norm(patches[row, column] - patches[y, x])
            for y in range(0, 14, 2)
            for x in range(0, 15, 2)
            if max(abs(y - row), abs(x - column)) > 4
        )
        assert np.isclose(rarity[row, column], np.mean(apart[:3]), rtol=1e-3)


def test_on_a_small_grid_all_is_equally_rare():
    assert (own_rarity(noise((6, 9))) == 1).all()
