"""Local features: the grid of the finer layer, the picture's places kept, for maps and for tokens alike."""

import numpy as np
import pytest
from PIL import Image

from vision.engine.backbones import get_backbone
from vision.engine.patch_features import PatchFeatures


def spotted(x: int, y: int) -> Image.Image:
    """A dim noise with a bright spot."""
    pixels = np.random.default_rng(0).normal(100, 5, (224, 224, 3))
    pixels[y : y + 24, x : x + 24] = 240
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("backbone", "grid"), [("faultnet", 16), ("resnet50", 28), ("vit_b_16", 14)])
def test_every_kind_of_backbone_gives_a_grid_of_vectors(backbone, grid):
    features = PatchFeatures(backbone, None)([spotted(20, 20)])
    assert features.shape[:3] == (1, grid, grid)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_what_changes_in_the_picture_changes_in_the_same_place_of_the_grid():
    features = PatchFeatures("faultnet", None)
    assert features.spec == get_backbone("faultnet")
    plain, right, below = features([spotted(0, 0), spotted(160, 0), spotted(0, 160)])
    for changed, (row, column) in ((right, (0, 1)), (below, (1, 0))):
        difference = np.linalg.norm(changed - plain, axis=2)
        difference[:5, :5] = 0  # where the spot went from
        where = np.unravel_index(difference.argmax(), difference.shape)
        assert (where[0] > 7, where[1] > 7) == (bool(row), bool(column))


def test_both_layers_weigh_the_same():
    patches = PatchFeatures("faultnet", None)([spotted(50, 90)])[0]
    finer, coarser = (np.linalg.norm(part, axis=2) for part in (patches[..., :128], patches[..., 128:]))
    assert np.sqrt(np.mean(finer**2)) == pytest.approx(np.sqrt(np.mean(coarser**2)), rel=0.2)
