"""Inspection from good parts: a fault stands out and is explained, and a bank survives the disk."""

import json

import numpy as np
import pytest
from PIL import Image

from vision.engine.array_folder import FolderError, folder_verify
from vision.engine.patch_features import PatchFeatures
from vision.engine.patchcore import PatchCore


def part(seed: int, fault: tuple[int, int] | None = None, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """A grained plate; `fault` is where a bright blot lies (x, y)."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 12, (size[1], size[0]))
    if fault:
        x, y = fault
        pixels[y : y + 32, x : x + 32] += 110
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def features() -> PatchFeatures:
    return PatchFeatures("faultnet", None)


@pytest.fixture(scope="module")
def model(features) -> PatchCore:
    return PatchCore(features, bank_size=300).fit([part(seed) for seed in range(8)])


def test_a_fault_scores_higher_than_any_good_part(model):
    scores = model.score([part(100), part(101), part(102, (60, 80))])
    assert scores.dtype == np.float64
    assert scores[2] > 1.3 * scores[:2].max()


def test_the_map_has_the_size_of_the_picture_and_points_at_the_fault(model):
    seen = model.inspect([part(100, (180, 40))])[0]
    assert seen.map.shape == (192, 256)
    assert seen.map.dtype == np.float32
    row, column = np.unravel_index(seen.map.argmax(), seen.map.shape)
    assert 164 <= column <= 228
    assert 24 <= row <= 88


def test_regions_box_the_fault_and_name_good_patches(model):
    suspicion = model.inspect([part(100, (180, 40))])[0].regions[0]
    x, y, width, height = suspicion.region.box
    assert x <= 196 <= x + width
    assert y <= 56 <= y + height
    assert [patch.distance for patch in suspicion.nearest] == sorted(p.distance for p in suspicion.nearest)
    for patch in suspicion.nearest:
        assert 0 <= patch.picture < 8
        x, y, width, height = patch.box
        assert 0 <= x < x + width <= 256
        assert 0 <= y < y + height <= 192


def test_a_picture_of_the_bank_is_its_own_evidence(features):
    model = PatchCore(features, lonely_from=None).fit([part(seed) for seed in range(3)])
    seen = model.inspect([part(1)])[0]
    assert seen.score == pytest.approx(0, abs=1e-2)
    assert seen.hottest.nearest[0].picture == 1


def test_pictures_of_other_sizes_are_seen_too(model):
    for size in ((100, 300), (640, 480)):
        assert model.inspect([part(5, size=size)])[0].map.shape == size[::-1]


def test_inspecting_side_by_side_says_the_same(features, model):
    pictures = [part(seed, (30, 30)) for seed in range(3)]
    alone = model.inspect(pictures)
    model.threads = 2
    together = model.inspect(pictures)
    model.threads = 1
    assert [one.score for one in alone] == [one.score for one in together]
    assert [one.score for one in alone] == pytest.approx(model.score(pictures))


def test_fitting_is_repeatable_and_bounded(features):
    pictures = [part(seed) for seed in range(4)]
    fits = [PatchCore(features, sample_size=200, bank_size=50, seed=3).fit(iter(pictures)) for _ in range(2)]
    assert fits[0].bank_.shape == (50, 128)
    assert np.array_equal(fits[0].bank_, fits[1].bank_)
    assert np.array_equal(fits[0].origins_, fits[1].origins_)
    assert fits[0].pictures_ == 4


def test_fitting_reports_its_steps(features):
    seen = []
    PatchCore(features, bank_size=50).fit([part(0), part(1)], progress=lambda *step: seen.append(step))
    assert seen == [("look", 1, 2), ("look", 2, 2), ("compare", 0, 1), ("compare", 1, 1), ("select", 50, 50)]


@pytest.mark.parametrize("settings", [{"selection": "random"}, {"scoring": "reweighted"}, {"smoothing": 0}])
def test_every_setting_finds_the_fault(features, settings):
    model = PatchCore(features, bank_size=300, **settings).fit([part(seed) for seed in range(6)])
    good, bad = model.score([part(100), part(101, (60, 80))])
    assert bad > good


def test_the_paper_s_weight_is_its_equation_7(features):
    model = PatchCore(features, bank_size=100, scoring="reweighted", neighbours=4)
    model.fit([part(seed) for seed in range(3)])
    patches = features(part(9, (60, 80)))
    flat = model.whitening_.transform(patches.reshape(-1, patches.shape[-1]))
    apart = np.linalg.norm(flat[:, None] - model.bank_[None], axis=2)
    nearest = apart.argmin(axis=1)
    apart /= model.usual_[nearest][:, None]
    worst = apart.min(axis=1).argmax()
    nearest = nearest[worst]
    around = np.linalg.norm(model.bank_ - model.bank_[nearest], axis=1).argsort()[:4]
    own = apart[worst, nearest]
    expected = (1 - np.exp(own) / np.exp(apart[worst, around]).sum()) * own
    assert model.score([part(9, (60, 80))])[0] == pytest.approx(expected, rel=1e-3)


def test_what_was_saved_says_the_same(model, features, tmp_path):
    model.save(tmp_path / "bank")
    opened = PatchCore.open(tmp_path / "bank", features)
    assert isinstance(opened.bank_, np.memmap)
    pictures = [part(50), part(51, (60, 80))]
    assert np.array_equal(opened.score(pictures), model.score(pictures))
    assert opened.inspect(pictures)[1].regions == model.inspect(pictures)[1].regions
    folder_verify(tmp_path / "bank")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "bank")


def test_a_bank_of_other_weights_is_refused(model, tmp_path):
    model.save(tmp_path / "bank")
    with pytest.raises(FolderError, match="another weights_sha256"):
        PatchCore.open(tmp_path / "bank", PatchFeatures("faultnet", None, random_seed=1))


def test_a_folder_that_is_no_bank_is_refused(features, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"hello": 1}))
    with pytest.raises(FolderError, match="can't be read"):
        PatchCore.open(tmp_path, features)


def test_no_good_picture_is_refused(features):
    with pytest.raises(ValueError, match="no picture"):
        PatchCore(features).fit([])


def test_impossible_settings_are_refused(features):
    with pytest.raises(ValueError, match="share"):
        PatchCore(features, top_share=0)
    with pytest.raises(ValueError, match="at least 1"):
        PatchCore(features, bank_size=0)
