"""The projection that ends FaultNet: what varies within scenes is turned down, the rest kept."""

import numpy as np
import pytest

from vision.engine.whitening import scene_projection


def drawn_features(scenes: int = 400, views: int = 3) -> np.ndarray:
    """Ten numbers: the first three tell scenes apart, the next three are loud and differ between views."""
    rng = np.random.default_rng(0)
    features = 0.1 * rng.normal(size=(scenes, views, 10)) + 5
    features[..., :3] += rng.normal(size=(scenes, 1, 3))
    features[..., 3:6] += 3 * rng.normal(size=(scenes, views, 3))
    return features


def test_what_tells_scenes_apart_leads_and_what_varies_within_them_is_turned_down():
    matrix, offset = scene_projection(drawn_features(), 6)
    assert matrix.shape == (10, 6)
    share = np.square(matrix[:, :3]).sum(1)
    assert share[:3].min() > 3 * share[3:6].max()
    assert np.allclose(drawn_features().mean((0, 1)) @ matrix + offset, 0, atol=1e-3)


def test_views_of_one_scene_find_each_other_better_than_before():
    features = drawn_features()
    matrix, offset = scene_projection(features[:200], 3)

    def found(vectors: np.ndarray) -> float:
        distances = np.square(vectors[:, None, 0] - vectors[None, :, 1]).sum(2)
        return float(np.mean(distances.argmin(1) == np.arange(len(vectors))))

    unseen = features[200:]
    assert found(unseen @ matrix + offset) > found(unseen) + 0.3


def test_fewer_scenes_than_dimensions_give_finite_numbers():
    matrix, offset = scene_projection(drawn_features(scenes=4), 8)
    assert np.isfinite(matrix).all()
    assert np.isfinite(offset).all()


@pytest.mark.parametrize(("shape", "dimension"), [((1, 3, 8), 4), ((9, 1, 8), 4), ((9, 3, 8), 9)])
def test_what_cannot_span_a_projection_is_refused(shape, dimension):
    with pytest.raises(ValueError, match="give no projection"):
        scene_projection(np.zeros(shape), dimension)
