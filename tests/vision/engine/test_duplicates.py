"""Copies of a picture are found however they lie; other pieces of the same product are not."""

import io

import numpy as np
import pytest
from PIL import Image

from vision.engine.duplicates import fingerprint, near_duplicate_groups, same_picture, variant_hashes
from vision.engine.synthesis.gallery import draw_fault_image

MIRROR = Image.Transpose.FLIP_LEFT_RIGHT


def drawn(kind, seed, material):
    return Image.fromarray(draw_fault_image(kind, seed, 256, material=material)[0])


def saved_again(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


@pytest.fixture(scope="module")
def gears():
    """Six gears of one product, each with a fault of its own."""
    return [drawn("scratch", seed, "machined_gear") for seed in range(6)]


def test_pieces_of_one_product_stay_apart_and_their_copies_come_together(gears):
    copies = [
        gears[0].rotate(33, resample=Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)),
        gears[1].transpose(MIRROR).rotate(-71, resample=Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)),
        saved_again(gears[2].point(lambda value: int(value * 0.7))),
    ]
    prints = [fingerprint(picture) for picture in [*gears, *copies]]
    # Vectors that propose every pair: only the pixels can tell.
    groups = near_duplicate_groups(prints, np.ones((9, 4), np.float32) / 2)
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]


@pytest.mark.parametrize("material", ["plastic_housing", "ceramic_tile"])
def test_smooth_pictures_are_recognised_by_hash_and_pixels(material):
    pictures = [drawn("dent", seed, material) for seed in range(3)]
    copies = [pictures[0].transpose(Image.Transpose.ROTATE_90), pictures[1].transpose(MIRROR)]
    prints = [fingerprint(picture) for picture in [*pictures, *copies]]
    assert near_duplicate_groups(prints).tolist() == [0, 1, 2, 0, 1]


def test_a_chain_of_copies_is_one_group_and_black_pictures_another(gears):
    turned = [
        gears[0].rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=(120, 120, 120))
        for angle in (0, 20, 40)
    ]
    black = [Image.new("RGB", (64, 64))] * 12
    prints = [fingerprint(picture) for picture in [*black, *turned]]
    groups = near_duplicate_groups(prints, np.ones((15, 2), np.float32) / np.sqrt(2))
    assert groups.tolist() == [0] * 12 + [1] * 3


def test_noise_has_no_duplicates_and_an_empty_library_no_groups():
    noise = np.random.default_rng(0).integers(0, 255, (4, 96, 96), np.uint8)
    prints = [fingerprint(Image.fromarray(one)) for one in noise]
    assert near_duplicate_groups(prints).tolist() == [0, 1, 2, 3]
    assert not same_picture(prints[0], prints[1])
    assert near_duplicate_groups([]).tolist() == []


def test_an_equal_hash_alone_joins_nothing():
    blotches = np.random.default_rng(9).integers(40, 220, (8, 8), np.uint8)
    layout = np.asarray(Image.fromarray(blotches).resize((128, 128), Image.Resampling.BICUBIC), float)
    surfaces = [
        np.clip(layout + np.random.default_rng(seed).normal(0, 5, layout.shape), 0, 255).astype(np.uint8)
        for seed in range(2)
    ]
    prints = [fingerprint(Image.fromarray(surface)) for surface in surfaces]
    assert np.bitwise_count(prints[0].hashes[0] ^ prints[1].hashes[0]) <= 10
    assert near_duplicate_groups(prints).tolist() == [0, 1]


def test_the_eight_hashes_are_those_of_the_eight_variants(gears):
    grey = np.asarray(gears[0].convert("L"))
    hashes = variant_hashes(grey)
    for variant in (grey[:, ::-1], np.rot90(grey), np.rot90(grey, 2), grey.T):
        own = variant_hashes(np.ascontiguousarray(variant))
        assert np.bitwise_count(hashes ^ own[0]).min() <= 2
        assert sorted(own) == sorted(hashes) or np.bitwise_count(np.sort(own) ^ np.sort(hashes)).max() <= 4
