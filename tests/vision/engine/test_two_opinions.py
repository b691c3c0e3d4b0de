"""Two opinions together: learned from good pictures, chosen by drawn faults, opened as saved."""

from copy import copy
from functools import partial

import numpy as np
import pytest
from PIL import Image

from vision.engine.array_folder import FolderError
from vision.engine.drawn_faults import draw_examples
from vision.engine.fault_head import FaultHead
from vision.engine.opinions import OPINIONS, Choice
from vision.engine.patch_features import PatchFeatures
from vision.engine.patchcore import PatchCore
from vision.engine.two_opinions import TwoOpinions
from vision.engine.weight_files import SHIPPED

LAYERS = ("stages.1", "stages.2", "stages.3")


def part(seed: int, fault: tuple[int, int] | None = None) -> Image.Image:
    """A grained plate; `fault` is where a bright blot lies (x, y)."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 12, (96, 128))
    if fault:
        x, y = fault
        pixels[y : y + 16, x : x + 16] += 90
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def features() -> PatchFeatures:
    return PatchFeatures("faultnet", SHIPPED["faultnet"], layers=LAYERS, resolution=96)


@pytest.fixture(scope="module")
def fitted(features):
    told = []
    model = TwoOpinions(
        features,
        most_drawn=20,
        make_patches=partial(PatchCore, bank_size=300),
        make_head=partial(FaultHead, rounds=0, hidden=16),
    )
    model.fit(
        [part(seed) for seed in range(16)], np.arange(16) // 2, progress=lambda *step: told.append(step)
    )
    return model, told


@pytest.fixture(scope="module")
def head(features) -> FaultHead:
    examples = list(draw_examples([part(seed) for seed in range(16)], features))
    return FaultHead(features.space, rounds=0, hidden=16).fit(examples)


def test_it_tells_faults_from_good_parts_it_has_never_seen(fitted):
    model, _ = fitted
    good = [one.score for one in model.inspect(part(seed) for seed in range(100, 110))]
    faulty = [one.score for one in model.inspect(part(seed, (40, 50)) for seed in range(110, 114))]
    assert min(faulty) > max(good)


def test_the_choice_knows_each_opinion_and_good_scores_are_held_out(fitted):
    model, told = fitted
    assert set(model.choice_.auroc) == set(OPINIONS)
    assert model.good_.patches.shape == model.good_.head.shape == (16,)
    # A picture of the bank is nearer to it than when it is held out.
    again = np.array([one.patches.score for one in model.inspect(part(seed) for seed in range(16))])
    assert np.median(again) < np.median(model.good_.patches)
    assert ("draw", 16, 16) in told


@pytest.mark.parametrize("opinion", OPINIONS)
def test_the_map_points_at_the_fault(fitted, head, opinion):
    model = copy(fitted[0])
    model.choice_, model.head_ = Choice(opinion, model.choice_.auroc), head
    seen = model.inspect([part(300, (64, 40))])[0]
    assert seen.map.shape == (96, 128)
    row, column = np.unravel_index(seen.map.argmax(), seen.map.shape)
    assert 32 <= row <= 64
    assert 56 <= column <= 88


def test_regions_of_a_fault_lie_above_nearly_all_that_good_parts_show(fitted):
    model, _ = fitted
    x, y, width, height = model.inspect([part(300, (64, 40))])[0].regions[0].box
    assert x <= 72 <= x + width
    assert y <= 48 <= y + height
    good = np.mean([(one.grid > model.level_).mean() for one in model.inspect(map(part, range(400, 410)))])
    assert good < 0.03


def test_patches_are_those_that_patchcore_alone_compares(fitted, features):
    alone = PatchFeatures("faultnet", SHIPPED["faultnet"], layers=LAYERS[1:], resolution=96)
    model, _ = fitted
    assert model.mapped.space == alone.space
    plain = PatchCore(alone, bank_size=300).fit([part(seed) for seed in range(16)])
    seen = model.inspect([part(200, (40, 50))])[0].patches
    assert seen.score == pytest.approx(plain.score([part(200, (40, 50))])[0], rel=0.05)


@pytest.mark.parametrize("opinion", OPINIONS)
def test_what_was_saved_opens_and_says_the_same(fitted, features, head, tmp_path, opinion):
    model = copy(fitted[0])
    model.choice_ = Choice(opinion, model.choice_.auroc)
    model.head_ = None if opinion == "patches" else head
    model.save(tmp_path / "model")
    good, faulty = model.inspect([part(300), part(300, (20, 20))])
    assert faulty.score > good.score
    opened = TwoOpinions.open(tmp_path / "model", features)
    seen = opened.inspect([part(300, (20, 20))])[0]
    assert opened.choice_ == model.choice_
    assert seen.score == pytest.approx(faulty.score, rel=1e-6)
    assert np.allclose(seen.map, faulty.map, rtol=1e-4, atol=1e-4)
    assert [one.box for one in seen.regions] == [one.box for one in faulty.regions]
    other = PatchFeatures("faultnet", None, layers=LAYERS, resolution=96)
    with pytest.raises(FolderError):
        TwoOpinions.open(tmp_path / "model", other)


def test_one_part_alone_is_refused(features):
    with pytest.raises(ValueError, match="two parts"):
        TwoOpinions(features).fit([part(1), part(1)], np.zeros(2, int))
