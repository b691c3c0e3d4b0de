"""Batches of views: the places of pixels follow every mirroring and crop."""

import numpy as np
import pytest
import torch

from vision.engine import training_views
from vision.engine.synthesis.pool import Pool
from vision.engine.synthesis.scenes import CANVAS_SIZE, Canvas, draw_view
from vision.engine.training_views import SMALL_VIEW, draw_batch, match_points, sample_at


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Canvases whose red rises from left to right and green from top to bottom: colours tell the place."""
    y, x = np.mgrid[:CANVAS_SIZE, :CANVAS_SIZE].astype(np.float32)
    image = np.stack([x, y, np.full_like(x, 80)], axis=-1)
    mask = ((x > 60) & (x < 80) & (y > 60) & (y < 100)).astype(np.float32)
    canvas = Canvas(image, mask)
    rng = np.random.default_rng(4)
    drawn = [[draw_view(rng, canvas) for _ in range(3)] for _ in range(8)]
    plain = [[view for view, _, _ in views] for views in drawn]
    return Pool(
        views=np.array(plain),
        masks=np.array([[mask for _, mask, _ in views] for views in drawn]),
        places=np.array([[place for _, _, place in views[:2]] for views in drawn]),
        faults=np.array([[2, 5]] + [[2, -1]] * 7, np.int8),
        families=np.arange(8, dtype=np.int8),
    )


def draw(pool: Pool, size: int):
    return draw_batch(pool, np.arange(8), np.random.default_rng(1), size, torch.device("cpu"))


@pytest.mark.parametrize("size", [SMALL_VIEW, 128])
def test_matched_spots_show_the_same_place_of_the_canvas(pool, size, monkeypatch):
    monkeypatch.setattr(training_views, "_GREY_SHARE", 0)  # the colours of this canvas tell the place
    batch = draw(pool, size)
    spots = match_points(batch, 16, np.random.default_rng(2))
    assert spots.inside.float().mean() > 0.3
    back = [torch.linalg.inv(batch.transforms[:, view]) for view in (0, 1)]
    places = []
    for inverse, seen in zip(back, (spots.first, spots.second), strict=True):
        pixels = ((seen + 1) * size - 1) / 2
        places.append(pixels @ inverse[:, :2, :2].mT + inverse[:, None, :2, 2])
    torch.testing.assert_close(places[0], places[1], atol=0.01, rtol=0)
    # The picture itself agrees: of brightness only a gain and an offset are unknown, so order must match.
    for view in range(2):
        colour = batch.views[view::3]
        shown = torch.nn.functional.grid_sample(
            colour, (spots.first, spots.second)[view][:, None], align_corners=False
        )[:, :, 0]
        for scene in range(8):
            seen, true = shown[scene, 0], places[0][scene, :, 0]
            keep = spots.inside[scene] & (true > 8) & (true < CANVAS_SIZE - 8)
            if keep.sum() > 4:
                assert np.corrcoef(seen[keep], true[keep])[0, 1] > 0.9


def test_spots_lie_on_faults_more_often_than_chance(pool):
    batch = draw(pool, 128)
    spots = match_points(batch, 16, np.random.default_rng(2))
    assert spots.on_fault.mean() > 2 * batch.masks[::3].mean()


def test_a_grey_batch_has_three_equal_channels(pool, monkeypatch):
    monkeypatch.setattr(training_views, "_GREY_SHARE", 1)
    views = draw(pool, 128).views
    assert views[0, 0].std() > 0.1
    torch.testing.assert_close(views[:, 0], views[:, 2])
    monkeypatch.setattr(training_views, "_GREY_SHARE", 0)
    views = draw(pool, 128).views
    assert (views[:, 0] - views[:, 2]).abs().mean() > 0.1


def test_labels_follow_their_scenes(pool):
    batch = draw(pool, 128)
    assert batch.scenes.tolist() == [scene for scene in range(8) for _ in range(3)]
    assert batch.families.tolist() == batch.scenes.tolist()
    assert batch.kinds[0].nonzero().flatten().tolist() == [2, 5]
    assert batch.kinds[3].nonzero().flatten().tolist() == [2]


def test_samples_are_the_values_of_the_map():
    maps = torch.rand(2, 3, 4, 4)
    centre_of_cell = torch.tensor([[[2 * (1 + 0.5) / 4 - 1, 2 * (2 + 0.5) / 4 - 1]]] * 2)
    values = sample_at(maps, centre_of_cell)
    expected = torch.nn.functional.normalize(maps[:, :, 2, 1], dim=1)
    torch.testing.assert_close(values[:, 0], expected)
