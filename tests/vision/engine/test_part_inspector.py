"""Inspection by all opinions: learned from good pictures, chosen by drawn faults, opened as saved."""

from copy import copy
from functools import partial

import numpy as np
import pytest
from PIL import Image

from vision.engine.array_folder import FolderError
from vision.engine.drawn_faults import draw_examples
from vision.engine.fault_head import FaultHead
from vision.engine.mapped_pictures import PictureMapper
from vision.engine.opinions import OPINIONS, Choice, Surprise
from vision.engine.part_inspector import PartInspector
from vision.engine.patchcore import PatchCore
from vision.engine.weight_files import SHIPPED

PICTURES = 12


def part(seed: int, fault: tuple[int, int] | None = None) -> Image.Image:
    """A grained plate; `fault` is where a bright blot lies (x, y)."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 12, (96, 128))
    if fault:
        x, y = fault
        pixels[y : y + 16, x : x + 16] += 90
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def mapper() -> PictureMapper:
    return PictureMapper("faultnet", SHIPPED["faultnet"], resolution=96)


@pytest.fixture(scope="module")
def fitted(mapper):
    told = []
    model = PartInspector(
        mapper,
        banks={
            "coarse": partial(PatchCore, bank_size=300, dimension=32),
            "fine": partial(PatchCore, bank_size=300, dimension=32, selection="random"),
        },
        make_head=partial(FaultHead, hidden=16),
    )
    groups = np.arange(PICTURES) // 2
    model.fit([part(seed) for seed in range(PICTURES)], groups, progress=lambda *step: told.append(step))
    return model, told


@pytest.fixture(scope="module")
def head(mapper) -> FaultHead:
    pictures = [part(seed) for seed in range(PICTURES)]
    mapped = [mapper(picture) for picture in pictures]
    examples = list(draw_examples(pictures, mapped, mapper, range(PICTURES)))
    return FaultHead(mapper.spaces, hidden=16).fit(examples)


def hearing(model: PartInspector, opinion: str, head: FaultHead) -> PartInspector:
    """The same with another choice."""
    model = copy(model)
    model.choice_ = Choice(opinion, model.choice_.auroc)
    model.head_ = head if opinion != "patches" else None
    logits = np.concatenate([head.grid(model.mapper(part(seed))).ravel() for seed in range(200, 204)])
    model.surprises_ = model.surprises_ | {"head": Surprise().fit(logits)}
    return model


def test_it_tells_faults_from_good_parts_it_has_never_seen(fitted):
    model, _ = fitted
    good = model.score([part(seed) for seed in range(100, 106)])
    faulty = model.score([part(seed, (40, 50)) for seed in range(110, 114)])
    assert min(faulty) > 1.5 * max(good)


def test_good_scores_are_held_out(fitted):
    model, _ = fitted
    assert model.good_scores_.shape == model.good_typical_.shape == (PICTURES,)
    # A picture of the bank is nearer to it than when it is held out.
    again = model.inspect([part(seed) for seed in range(PICTURES)])
    assert np.median([one.score for one in again]) < np.median(model.good_scores_)
    assert np.median([one.typical for one in again]) < np.median(model.good_typical_)
    fresh = model.score([part(seed) for seed in range(500, 512)])
    assert np.median(fresh) == pytest.approx(np.median(model.good_scores_), rel=0.35)


def test_the_choice_knows_each_opinion(fitted):
    model, _ = fitted
    assert set(model.choice_.auroc) == set(OPINIONS)
    assert model.settings()["choice"] == {"opinion": model.choice_.opinion, "auroc": model.choice_.auroc}


def test_every_step_is_reported_to_its_end(fitted):
    steps = {}
    for step, done, total in fitted[1]:
        assert done >= steps.get(step, (0, 0))[0] or step in ("compare", "select")
        steps[step] = (done, total)
    assert steps["look"] == steps["draw"] == (PICTURES, PICTURES)
    assert steps["turns"][0] >= 0.9 * steps["turns"][1]


@pytest.mark.parametrize("opinion", OPINIONS)
def test_the_map_points_at_the_fault(fitted, head, opinion):
    seen = hearing(fitted[0], opinion, head).inspect([part(300, (64, 40))])[0]
    assert seen.map.shape == (96, 128)
    row, column = np.unravel_index(seen.map.argmax(), seen.map.shape)
    assert 32 <= row <= 64
    assert 56 <= column <= 88


def test_regions_box_the_fault_and_name_good_patches(fitted):
    model, _ = fitted
    suspicion = model.inspect([part(300, (64, 40))])[0].regions[0]
    x, y, width, height = suspicion.region.box
    assert x <= 72 <= x + width
    assert y <= 48 <= y + height
    assert [patch.distance for patch in suspicion.nearest] == sorted(p.distance for p in suspicion.nearest)
    for patch in suspicion.nearest:
        assert 0 <= patch.picture < PICTURES
        x, y, width, height = patch.box
        assert 0 <= x < x + width <= 128
        assert 0 <= y < y + height <= 96
    good = np.mean([(one.grid > model.level_).mean() for one in model.inspect(map(part, range(400, 406)))])
    assert good < 0.06


def test_inspecting_side_by_side_says_the_same(fitted):
    pictures = [part(seed, (30, 30)) for seed in range(600, 603)]
    together = copy(fitted[0])
    together.threads = 2
    assert np.array_equal(together.score(pictures), fitted[0].score(pictures))


@pytest.mark.parametrize("opinion", OPINIONS)
def test_what_was_saved_opens_and_says_the_same(fitted, mapper, head, tmp_path, opinion):
    model = hearing(fitted[0], opinion, head)
    model.save(tmp_path / "model")
    opened = PartInspector.open(tmp_path / "model", mapper)
    before, after = (one.inspect([part(300, (20, 20))])[0] for one in (model, opened))
    assert opened.choice_ == model.choice_
    assert np.array_equal(opened.good_scores_, model.good_scores_)
    assert after.score == pytest.approx(before.score, rel=1e-6)
    assert np.allclose(after.grid, before.grid, rtol=1e-4, atol=1e-4)
    assert [one.region.box for one in after.regions] == [one.region.box for one in before.regions]
    with pytest.raises(FolderError):
        PartInspector.open(tmp_path / "model", PictureMapper("faultnet", None, resolution=96))


def test_one_part_alone_is_refused(mapper):
    with pytest.raises(ValueError, match="two parts"):
        PartInspector(mapper).fit([part(1), part(1)], np.zeros(2, int))
