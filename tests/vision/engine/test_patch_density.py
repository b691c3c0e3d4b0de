"""What is usual between pictures: never within one, and what nothing resembles is lonely."""

import numpy as np
import pytest

from vision.engine.patch_density import lonely, picture_halves, usual_distances


def test_pictures_are_never_split():
    pictures = np.repeat(np.arange(11), 7)
    halves = picture_halves(pictures)
    assert set(halves) == {0, 1}
    for picture in range(11):
        assert len(set(halves[pictures == picture])) == 1
    assert set(picture_halves(np.zeros(5, int))) == {0}


def test_a_patch_is_compared_with_other_pictures_only():
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(10), 20)
    patches = rng.normal(size=(200, 4)).astype(np.float32)
    patches[pictures == 3] = 30 + 0.01 * rng.normal(size=(20, 4))  # alike, but only among themselves
    usual = usual_distances(patches, picture_halves(pictures))
    assert usual[pictures == 3].min() > 10 * usual[pictures != 3].max()


def test_the_usual_distance_is_larger_where_patches_lie_far_apart():
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(20), 20)
    spread = np.where(np.arange(400) % 2, 5.0, 0.5)
    centre = np.where(np.arange(400) % 2, 100.0, 0.0)
    patches = (centre[:, None] + spread[:, None] * rng.normal(size=(400, 3))).astype(np.float32)
    usual = usual_distances(patches, picture_halves(pictures))
    assert np.median(usual[1::2]) == pytest.approx(10 * np.median(usual[::2]), rel=0.3)


def test_a_single_picture_is_compared_with_itself():
    usual = usual_distances(np.eye(12, dtype=np.float32), np.zeros(12, int))
    assert np.isfinite(usual).all()


def test_lonely_patches_are_few_and_far():
    usual = np.random.default_rng(0).lognormal(0, 0.2, 10_000)
    usual[:30] *= 10
    found = lonely(usual, 4.0)
    assert found[:30].all()
    assert found[30:].sum() < 10


def test_up_to_half_may_be_bad():
    usual = np.random.default_rng(0).lognormal(0, 0.2, 1000)
    usual[:400] *= 50
    assert lonely(usual, 3.0)[:400].all()
    assert not lonely(usual, 3.0)[400:].any()


def test_equal_distances_are_not_lonely():
    assert not lonely(np.ones(10), 3.0).any()
