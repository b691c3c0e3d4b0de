"""Whitening of patches: what varies counts for less, few numbers keep most, equal patches stay equal."""

import numpy as np
import pytest

from vision.engine.patch_whitening import PatchWhitening


def patches(count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    return (3 + rng.normal(size=(count, 6)) * [10, 5, 2, 1, 0.5, 0.1] @ turned).astype(np.float32)


def test_full_power_gives_every_strong_direction_the_same_spread():
    spread = PatchWhitening(3, power=0.5).fit(patches()).transform(patches()).std(axis=0)
    assert spread == pytest.approx([1, 1, 1], rel=0.05)


def test_half_the_power_goes_half_the_way():
    spread = PatchWhitening(3).fit(patches()).transform(patches()).std(axis=0)
    assert spread == pytest.approx(np.sqrt([10, 5, 2]), rel=0.06)


def test_shape_dtype_and_mean():
    model = PatchWhitening(128).fit(patches())
    moved = model.transform(patches().reshape(40, 50, 6))
    assert moved.shape == (40, 50, 6)
    assert moved.dtype == np.float32
    assert moved.mean((0, 1)) == pytest.approx(np.zeros(6), abs=1e-3)


def test_equal_patches_stay_equal_and_finite():
    same = np.ones((50, 6), np.float32)
    assert np.all(PatchWhitening().fit(same).transform(same) == 0)
