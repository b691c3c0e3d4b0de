"""Drawn faults: one visible fault in a good picture, marked where it differs, the same for the same seed."""

import numpy as np
import pytest
from PIL import Image

from vision.engine.drawn_faults import KINDS, PASTED, draw_examples, draw_into, fault_fields
from vision.engine.mapped_pictures import PictureMapper
from vision.engine.opinions import FAMILIES


def surface(seed: int, shape: tuple[int, int] = (96, 160), *, coloured: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grey = rng.normal(110, 10, shape) + 40 * np.sin(np.arange(shape[1]) / 9)
    pixels = np.stack([grey, grey, grey], axis=2)
    if coloured:
        pixels = pixels * (1, 0.8, 0.6)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fields():
    return fault_fields(0)


@pytest.fixture(scope="module")
def drawn(fields):
    rng = np.random.default_rng(1)
    return [(surface(at), *draw_into(surface(at), surface(at + 500), rng, fields)) for at in range(120)]


def test_every_picture_shows_a_fault_and_only_where_it_is_marked(drawn):
    for before, after, mask, _ in drawn:
        assert after.dtype == np.uint8
        assert mask.dtype == bool
        assert after.shape == before.shape == (*mask.shape, 3)
        change = np.abs(after.astype(int) - before.astype(int)).max(axis=2)
        assert mask.any()
        assert change[mask].mean() > 5
        assert change[mask].mean() > 3 * change[~mask].mean()


def test_all_kinds_are_drawn_and_the_good_picture_stays(drawn, fields):
    assert len({kind for *_, kind in drawn}) >= len(KINDS) - 3
    picture = surface(3)
    draw_into(picture, surface(4), np.random.default_rng(0), fields)
    assert (picture == surface(3)).all()


def test_every_kind_is_in_one_family():
    assert sorted(kind for family in FAMILIES for kind in family) == sorted(KINDS)


def test_a_grey_picture_stays_grey_and_the_smallest_is_drawn_on(fields):
    rng = np.random.default_rng(0)
    for _ in range(20):
        after, mask, _ = draw_into(surface(1, (32, 90)), surface(2), rng, fields)
        assert (after[..., 0] == after[..., 2]).all()
        assert mask.shape == (32, 90)


def test_a_picture_with_nothing_to_paste_gets_a_mark_all_the_same(fields):
    white = np.full((64, 64, 3), 255, np.uint8)
    for seed in range(10):
        after, mask, kind = draw_into(white, white, np.random.default_rng(seed), fields)
        assert kind != PASTED
        assert (after[mask] < 255).any()


def test_examples_hold_maps_of_both_and_come_out_the_same_again():
    mapper = PictureMapper("faultnet", None, resolution=64)
    pictures = [Image.fromarray(surface(seed, coloured=True)) for seed in range(4)]
    mapped = [mapper(picture) for picture in pictures]
    first, again = (list(draw_examples(pictures, mapped, mapper, (0, 2, 3), seed=5)) for _ in range(2))
    assert [one.number for one in first] == [0, 2, 3]
    for one, same in zip(first, again, strict=True):
        assert one.good.size == (160, 96)
        assert len(one.faulty) == 2
        for drawn, twin in zip(one.faulty, same.faulty, strict=True):
            assert drawn.kind == twin.kind
            seen, twice, good = (one.maps["fine"][0] for one in (drawn.picture, twin.picture, one.good))
            assert drawn.covered.shape == seen.shape[:2]
            assert drawn.covered.max() > 0
            assert (seen == twice).all()
            changed = np.abs(seen - good).mean(axis=2)
            assert changed[drawn.covered > 0].mean() > changed[drawn.covered == 0].mean()
