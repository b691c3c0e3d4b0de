"""The sample of patches: bounded, even over pictures, with true origins."""

import numpy as np
import pytest

from vision.engine.patch_sample import PatchSample


def grid(picture: int, height: int = 6, width: int = 5) -> np.ndarray:
    """Patches that say where they come from."""
    row, column = np.divmod(np.arange(height * width), width)
    flat = np.stack([np.full(height * width, picture), row, column], axis=1)
    return flat.reshape(height, width, 3).astype(np.float32)


def test_few_patches_are_all_kept_in_order():
    sample = PatchSample(1000)
    for picture in range(4):
        sample.add(grid(picture), (50, 60))
    patches, places = sample.taken()
    assert len(patches) == 120
    assert np.array_equal(patches, places)
    assert np.array_equal(places[:30], grid(0).reshape(-1, 3))


def test_many_are_cut_to_the_size_with_their_origins():
    sample = PatchSample(500, seed=1)
    for picture in range(200):
        sample.add(grid(picture), (50, 60))
    patches, places = sample.taken()
    assert patches.shape == (500, 3)
    assert places.dtype == np.int32
    assert np.array_equal(patches, places)
    assert len(np.unique(places, axis=0)) == 500
    # The first pictures are as likely as the last.
    assert np.sum(places[:, 0] < 100) == pytest.approx(250, abs=60)
    assert (sample.pictures, sample.seen) == (200, 6000)
    assert np.array_equal(sample.sizes, [(50, 60, 6, 5)] * 200)


def test_memory_stays_bounded():
    sample = PatchSample(100)
    for picture in range(300):
        sample.add(grid(picture), (50, 60))
        assert sample._held < 230


def test_is_repeatable():
    samples = [PatchSample(50, seed=4) for _ in range(2)]
    for sample in samples:
        for picture in range(20):
            sample.add(grid(picture), (50, 60))
    assert np.array_equal(samples[0].taken()[0], samples[1].taken()[0])


def test_nothing_and_no_room_are_refused():
    with pytest.raises(ValueError, match="no picture"):
        PatchSample(5).taken()
    with pytest.raises(ValueError, match="at least 1"):
        PatchSample(0)
