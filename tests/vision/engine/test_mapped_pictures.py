"""Pictures as a network sees them at two scales, kept within bounds."""

import numpy as np
import pytest
from PIL import Image

from vision.engine.mapped_pictures import SCALES, KeptPictures, PictureMapper


def picture(seed: int, size=(200, 150)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def mapper() -> PictureMapper:
    return PictureMapper("faultnet", None, resolution=128)


def test_the_fine_scale_has_more_and_smaller_patches(mapper):
    mapped = mapper(picture(0))
    coarse, fine = (mapper.patches(scale)(mapped) for scale in SCALES)
    assert coarse.dtype == fine.dtype == np.float32
    assert fine.shape[0] >= 2.5 * coarse.shape[0]
    assert mapped.size == (200, 150)
    assert mapped.all_layers().shape[:2] == fine.shape[:2]
    assert mapped.all_layers().shape[2] > fine.shape[2]


def test_all_that_is_seen_is_the_working_picture(mapper):
    """So that a fault drawn into it is judged like one in the original."""
    original = picture(1)
    again = mapper(mapper.working_picture(original))
    for scale in SCALES:
        for one, other in zip(mapper(original).maps[scale], again.maps[scale], strict=True):
            assert np.array_equal(one, other)


def test_the_spaces_name_weights_layers_and_sizes(mapper):
    coarse, fine = mapper.spaces
    assert (coarse.resolution, fine.resolution) == (128, 192)
    assert coarse.layers[0] == fine.layers[1]
    assert PictureMapper("faultnet", None, random_seed=1).spaces[0] != coarse


def test_pictures_are_kept_up_to_a_limit(mapper):
    class Counted(list):
        read = 0

        def __getitem__(self, at):
            self.read += 1
            return super().__getitem__(at)

    pictures = Counted(picture(seed) for seed in range(3))
    one = mapper(picture(0)).nbytes
    kept = KeptPictures(pictures, mapper, limit=2 * one)
    for _ in range(2):
        assert [each.size for each in kept] == [(200, 150)] * 3
    assert pictures.read - 2 == 4, "two are kept, one is mapped again; the end is looked for twice"
