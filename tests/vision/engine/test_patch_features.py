"""Local features: the grid of the finest layer, places and proportions kept, on every backbone."""

import numpy as np
import pytest
from PIL import Image

from vision.engine import patch_features
from vision.engine.backbones import get_backbone
from vision.engine.patch_features import PatchFeatures


def spotted(x: int, y: int, size: tuple[int, int] = (224, 224)) -> Image.Image:
    """A dim noise with a bright spot."""
    pixels = np.random.default_rng(0).normal(100, 5, (size[1], size[0], 3))
    pixels[y : y + 24, x : x + 24] = 240
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("backbone", "grid"), [("faultnet", 16), ("resnet50", 28), ("vit_b_16", 14)])
def test_every_kind_of_backbone_gives_a_grid_of_vectors(backbone, grid):
    features = PatchFeatures(backbone, None)
    patches = features(spotted(20, 20))
    assert patches.shape == (grid, grid, features.dimension)
    assert patches.dtype == np.float32
    assert np.isfinite(patches).all()


def test_what_changes_in_the_picture_changes_in_the_same_place_of_the_grid():
    features = PatchFeatures("faultnet", None)
    assert features.spec == get_backbone("faultnet")
    plain, right, below = (features(spotted(*place)) for place in ((0, 0), (160, 0), (0, 160)))
    for changed, (row, column) in ((right, (0, 1)), (below, (1, 0))):
        difference = np.linalg.norm(changed - plain, axis=2)
        difference[:5, :5] = 0  # where the spot went from
        where = np.unravel_index(difference.argmax(), difference.shape)
        assert (where[0] > 7, where[1] > 7) == (bool(row), bool(column))


def test_both_layers_weigh_the_same():
    patches = PatchFeatures("faultnet", None)(spotted(50, 90))
    finer, coarser = (np.linalg.norm(part, axis=2) for part in (patches[..., :128], patches[..., 128:]))
    assert np.sqrt(np.mean(finer**2)) == pytest.approx(np.sqrt(np.mean(coarser**2)), rel=0.2)


def test_a_picture_keeps_its_proportions_and_its_area():
    features = PatchFeatures("faultnet", None, resolution=256)
    assert features.working_size((1000, 1000)) == (256, 256)
    assert features.working_size((4000, 1000)) == (512, 128)
    assert features(spotted(20, 20, (200, 50))).shape[:2] == (8, 32)
    assert features.working_size((5000, 16)) == (1024, 64)


def test_layers_can_be_chosen():
    features = PatchFeatures("faultnet", None, layers=("stages.1", "stages.2", "stages.3"))
    assert features(spotted(20, 20)).shape == (32, 32, 64 + 128 + 256)
    assert features.space.layers == ("stages.1", "stages.2", "stages.3")


def test_tiles_give_what_the_whole_picture_gives_away_from_their_edges(monkeypatch):
    picture = spotted(300, 100, (640, 256))
    # With few layers a patch sees little, so both ways must agree but for what lies next to a cut.
    whole = PatchFeatures("faultnet", None, layers=("stages.0", "stages.1"), resolution=405)(picture)
    monkeypatch.setattr(patch_features, "_TILE", 256)
    tiled = PatchFeatures("faultnet", None, layers=("stages.0", "stages.1"), resolution=405)(picture)
    assert tiled.shape == whole.shape == (64, 160, 96)
    error = np.linalg.norm(tiled - whole, axis=2) / np.linalg.norm(whole, axis=2)
    assert np.median(error) < 1e-4
    assert error.max() < 0.1


def test_a_transformer_sees_a_wide_picture_in_tiles_of_its_own_size():
    assert PatchFeatures("vit_b_16", None, resolution=320)(spotted(20, 20, (448, 224))).shape[:2] == (14, 28)


def test_a_space_tells_weights_layers_and_resolution_apart():
    spaces = {
        PatchFeatures("faultnet", None, random_seed=seed, resolution=resolution).space
        for seed in (0, 1)
        for resolution in (128, 256)
    }
    assert len(spaces) == 4


def test_a_resolution_that_leaves_no_positions_is_refused():
    with pytest.raises(ValueError, match="least"):
        PatchFeatures("faultnet", None, resolution=32)
