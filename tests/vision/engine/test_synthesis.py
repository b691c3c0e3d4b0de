"""Drawn pictures: repeatable, in range, and with faults where the masks say."""

import numpy as np
import pytest

from vision.engine.synthesis import marks
from vision.engine.synthesis.colours import GREY_SHARE, LUMA, draw_palette
from vision.engine.synthesis.faults import FAULT_KINDS, draw_fault
from vision.engine.synthesis.forms import draw_form
from vision.engine.synthesis.gallery import MATERIALS, NO_FAULT, draw_fault_image
from vision.engine.synthesis.objects import OBJECT_KINDS, draw_outline
from vision.engine.synthesis.placing import place_fault
from vision.engine.synthesis.pool import PoolPlan, make_pool
from vision.engine.synthesis.scenes import (
    MASK_SIZE,
    VIEW_SIZE,
    Canvas,
    draw_canvas,
    draw_scene,
    draw_view,
)
from vision.engine.synthesis.sources import FieldBank, FreshFields
from vision.engine.synthesis.textures import FAMILIES, FAMILY_CYCLE, draw_material, material_family


@pytest.fixture(scope="module")
def bank() -> FieldBank:
    return FieldBank.draw(materials=len(FAMILY_CYCLE), pieces=1, seed=1)


@pytest.mark.parametrize("material", range(len(FAMILIES)))
def test_every_family_draws_the_same_pieces_again_and_pieces_differ(material):
    first, again = draw_material(material, 2), draw_material(material, 2)
    assert first.shape == (2, 256, 256)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert first.std() > 1


def test_every_family_comes_up_in_one_cycle():
    assert {material_family(number) for number in range(len(FAMILY_CYCLE))} == set(range(len(FAMILIES)))


def test_banks_of_other_seeds_keep_the_family_of_each_row(bank):
    first = 10_000 * len(FAMILY_CYCLE)
    for row in (0, 5, len(FAMILY_CYCLE) - 1):
        assert np.array_equal(bank.surfaces[row], draw_material(first + row, 1))
        assert material_family(first + row) == material_family(row)


def test_a_saved_bank_draws_the_same_canvases(bank, tmp_path):
    bank.save(tmp_path)
    loaded = FieldBank.load(tmp_path)
    scene = draw_scene(np.random.default_rng(2), bank)
    drawn, again = (draw_canvas(np.random.default_rng(3), b, scene) for b in (bank, loaded))
    assert np.array_equal(drawn.image, again.image)
    assert np.array_equal(drawn.mask, again.mask)


def test_easy_scenes_have_no_faint_faults(bank):
    rng = np.random.default_rng(0)
    faintest = {
        difficulty: min(abs(a) for _ in range(200) for a in draw_scene(rng, bank, difficulty).amplitudes)
        for difficulty in (0.0, 1.0)
    }
    assert faintest[0.0] > 40 > 20 > faintest[1.0]


def test_colour_is_laid_over_without_changing_the_brightness():
    grey = draw_material(3, 1)[0].astype(np.float32)
    rng = np.random.default_rng(0)
    palettes = [draw_palette(rng, 1) for _ in range(200)]
    coloured = [palette for palette in palettes if palette.base.any()]
    assert len(coloured) / len(palettes) == pytest.approx(1 - GREY_SHARE, abs=0.1)
    image = coloured[0].lay_over(grey)
    assert np.ptp(image, axis=2).max() > 2
    assert np.allclose(image @ LUMA, grey, atol=0.01)
    assert any(palette.faults[0].any() for palette in coloured)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_changes_the_picture_most_where_its_mask_is(kind, bank):
    plain = np.full((160, 160), 120, np.float32)
    changed_inside = changed_outside = 0.0
    for seed in range(4):
        image, mask = draw_fault(kind, plain, np.random.default_rng([seed, 8]), bank)
        assert image.shape == mask.shape == (160, 160)
        assert mask.dtype == image.dtype == np.float32
        assert 0 <= mask.min() <= mask.max() <= 1
        assert mask.max() > 0.1
        change = np.abs(image - plain)
        changed_inside += change[mask > mask.max() / 2].mean()
        changed_outside += change[mask < 0.01].mean() if (mask < 0.01).any() else 0
    assert changed_inside > 3 * changed_outside
    assert np.all(plain == 120), "the picture that was given stays as it is"


def test_faults_grow_with_the_picture():
    shares = []
    for size in (160, 320):
        picture = np.full((size, size), 120, np.float32)
        _, mask = draw_fault("dent", picture, np.random.default_rng(4), FreshFields())
        shares.append(mask.mean())
    assert shares[0] == pytest.approx(shares[1], rel=0.02)


def test_an_unknown_fault_is_refused_with_the_known_ones(bank):
    with pytest.raises(ValueError, match=r"no fault kind 'hole'.*scratch, crack"):
        draw_fault("hole", np.zeros((64, 64), np.float32), np.random.default_rng(0), bank)


@pytest.mark.parametrize("kind", OBJECT_KINDS)
def test_an_outline_has_an_inside_and_an_outside(kind):
    outline = draw_outline(kind, np.random.default_rng(2), 160)
    assert outline.min() == 0
    assert outline.max() == pytest.approx(1, abs=0.01)
    assert 0.02 < outline.mean() < 0.95


@pytest.fixture
def canvas(bank) -> Canvas:
    return draw_canvas(np.random.default_rng(5), bank, draw_scene(np.random.default_rng(5), bank))


def test_views_of_one_canvas_differ_but_are_repeatable(canvas):
    rng, same = np.random.default_rng(6), np.random.default_rng(6)
    first, mask, place = draw_view(rng, canvas)
    second, _, _ = draw_view(rng, canvas)
    assert first.shape == (VIEW_SIZE, VIEW_SIZE, 3)
    assert first.dtype == mask.dtype == np.uint8
    assert mask.shape == (MASK_SIZE, MASK_SIZE)
    assert place.shape == (2, 3)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, draw_view(same, canvas)[0])


def test_a_mask_moves_with_its_view():
    """A bright square as the fault: the view must be bright where the moved mask is."""
    rng = np.random.default_rng(7)
    mask = np.zeros((160, 160), np.float32)
    mask[30:70, 50:100] = 1
    marked = Canvas(np.repeat(40 + 160 * mask[..., None], 3, axis=2), mask)
    for _ in range(5):
        view, seen, _ = draw_view(rng, marked)
        small = view.reshape(MASK_SIZE, 4, MASK_SIZE, 4, 3).mean((1, 3, 4))
        inside, outside = small[seen > 250], small[seen == 0]
        assert abs(inside.mean() - outside.mean()) > 3 * outside.std() / 2


def test_a_pool_is_the_same_for_any_number_of_workers_and_is_drawn_once(tmp_path):
    plan = PoolPlan(scenes=500, materials=len(FAMILY_CYCLE), pieces=1, seed=2)
    seen = []

    def progress(stage, done, total):
        seen.append((stage, done, total))

    one = make_pool(plan, tmp_path / "one", workers=1, progress=progress)
    assert seen[-1] == ("Drawing views", 2, 2)
    two = make_pool(plan, tmp_path / "two", workers=2, progress=progress)
    for name in ("views", "masks", "places", "faults", "families"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert len(one) == 500
    assert set(np.unique(one.families)) <= set(range(len(FAMILIES)))
    assert one.faults.min() == -1
    assert one.faults.max() < len(FAULT_KINDS)
    flawless = (one.faults < 0).all(1)
    assert one.masks[flawless].max() == 0, "a scene without a fault has no mask"
    assert (one.masks[~flawless].max((1, 2, 3)) > 0).mean() > 0.9
    seen.clear()
    make_pool(plan, tmp_path / "one", workers=1, progress=progress)
    assert seen == []


def test_an_unfinished_pool_is_drawn_again(tmp_path):
    plan = PoolPlan(scenes=250, materials=2, pieces=1)
    make_pool(plan, tmp_path / "pool", workers=1, progress=lambda *_: None)
    (tmp_path / "pool" / "pool.json").unlink()
    (tmp_path / "pool" / "views.npy").write_bytes(b"half")
    pool = make_pool(plan, tmp_path / "pool", workers=1, progress=lambda *_: None)
    assert pool.views.std() > 1


def test_a_pool_counts_in_whole_chunks():
    with pytest.raises(ValueError, match="multiple of 250"):
        PoolPlan(scenes=300)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_photograph_shows_its_fault_inside_its_mask(kind):
    picture, mask = draw_fault_image(kind, 3, 128, material="painted_panel")
    again, _ = draw_fault_image(kind, 3, 128, material="painted_panel")
    assert picture.shape == (128, 128, 3)
    assert picture.dtype == np.uint8
    assert mask.shape == (128, 128)
    assert mask.dtype == np.float32
    assert np.array_equal(picture, again)
    assert 0 < (mask > 0.3).mean() < 0.5


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_of_a_photograph_shows_where_its_mask_is(kind, monkeypatch):
    """Against the same photograph without the mark: light and noise are the same."""
    marked, mask = draw_fault_image(kind, 5, material="ceramic_tile")
    monkeypatch.setitem(marks.MARKS, kind, lambda made: None)
    plain, _ = draw_fault_image(kind, 5, material="ceramic_tile")
    change = np.abs(marked.astype(np.float32) - plain).mean(2)
    assert change[mask > 0.5].mean() > 6
    assert change[mask > 0.5].mean() > 4 * change[mask < 0.01].mean()


@pytest.mark.parametrize("kind", ["scale", "stain", "missing"])
def test_a_slighter_fault_is_less_of_the_same(kind):
    drawn = [draw_fault_image(kind, 3, 128, material="machined_gear", strength=s) for s in (0, 0.4, 1)]
    without, slight, full = (picture.astype(np.float32) for picture, _ in drawn)
    assert 0 < np.abs(slight - without).mean() < 0.8 * np.abs(full - without).mean()
    assert drawn[0][1].max() == 0
    assert 0 < drawn[1][1].sum() < 0.7 * drawn[2][1].sum()


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_lies_on_its_part_or_at_the_outline(kind):
    inside, _ = draw_form("bracket", 4.0)
    for seed in range(3):
        mask = place_fault(kind, np.random.default_rng(seed), inside, FreshFields(), is_sheet=False)
        on_part = (mask * inside).sum() / mask.sum()
        assert mask.max() > 0.3
        assert 0.2 < on_part < 0.85 if kind in ("missing", "fray") else on_part > 0.85


@pytest.mark.parametrize("material", MATERIALS)
def test_photographs_of_one_material_are_alike_but_not_the_same(material):
    first, empty = draw_fault_image(NO_FAULT, 1, 96, material=material)
    second, _ = draw_fault_image(NO_FAULT, 2, 96, material=material)
    assert empty.max() == 0
    assert not np.array_equal(first, second)
    colours = [picture.reshape(-1, 3).mean(0) for picture in (first, second)]
    assert np.abs(colours[0] - colours[1]).max() < 40


def test_the_seed_chooses_the_material():
    pictures = [draw_fault_image(NO_FAULT, seed, 32)[0] for seed in range(6)]
    assert len({tuple(picture.reshape(-1, 3).mean(0).round() // 20) for picture in pictures}) > 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kind": "hole", "seed": 0}, "no fault kind 'hole'"),
        ({"kind": "crack", "seed": 0, "material": "cheese"}, "no material 'cheese'"),
        ({"kind": "crack", "seed": 0, "size": 8}, "at least 32 pixels"),
        ({"kind": "crack", "seed": 0, "strength": 2}, "from 0 to 1, not 2"),
    ],
)
def test_a_photograph_of_something_unknown_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw_fault_image(**arguments)
