"""The greedy coreset: the same choice as the plain definition, repeatable, each patch once."""

import numpy as np
import pytest

from vision.engine.coreset import greedy_coreset, sparse_projection


def blobs(count: int = 400, width: int = 24) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (
        rng.normal(size=(count, width)) + 5 * rng.normal(size=(8, width))[rng.integers(8, size=count)]
    ).astype(np.float32)


def plain_choice(patches: np.ndarray, first: int, size: int) -> list[int]:
    """The definition: the patch whose nearest chosen one is furthest."""
    chosen = [first]
    nearest = np.linalg.norm(patches - patches[first], axis=1)
    while len(chosen) < size:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(patches - patches[chosen[-1]], axis=1))
    return chosen


def test_chooses_what_the_plain_definition_chooses():
    patches = blobs()
    chosen = greedy_coreset(patches, 60, seed=1)
    assert chosen.tolist() == plain_choice(patches, chosen[0], 60)


def test_is_repeatable_and_depends_on_the_seed():
    patches = blobs()
    again = greedy_coreset(patches, 20, seed=1, projected_to=8)
    assert np.array_equal(greedy_coreset(patches, 20, seed=1, projected_to=8), again)
    assert not np.array_equal(greedy_coreset(patches, 20, seed=2, projected_to=8), again)


def test_never_takes_a_patch_twice_even_among_equal_ones():
    patches = np.repeat(blobs(10), 5, axis=0)
    chosen = greedy_coreset(patches, 50)
    assert sorted(chosen) == list(range(50))
    assert len(np.unique(chosen[:10] // 5)) == 10


def test_a_size_beyond_the_patches_takes_all():
    assert sorted(greedy_coreset(blobs(7), 100)) == list(range(7))


def test_a_projected_coreset_covers_the_patches_nearly_as_well():
    patches = blobs(800, 128)

    def radius(chosen):
        return np.linalg.norm(patches[:, None] - patches[chosen][None], axis=2).min(axis=1).max()

    full, projected = (greedy_coreset(patches, 80, projected_to=width) for width in (None, 64))
    assert radius(projected) < 1.25 * radius(full)


def test_the_projection_keeps_distances_on_average():
    patches = blobs(200, 256)
    moved = patches @ sparse_projection(256, 128, np.random.default_rng(0))
    assert np.mean(moved**2) * 128 == pytest.approx(np.mean(patches**2) * 256, rel=0.2)


def test_progress_ends_at_the_size():
    seen = []
    greedy_coreset(blobs(), 250, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(200, 250), (250, 250)]


@pytest.mark.parametrize(
    ("patches", "size", "message"),
    [
        (blobs(), 0, "at least 1"),
        (np.zeros((0, 4), np.float32), 3, "no matrix"),
        (np.full((5, 4), np.nan, np.float32), 3, "NaN"),
    ],
)
def test_what_can_not_be_chosen_from_is_refused(patches, size, message):
    with pytest.raises(ValueError, match=message):
        greedy_coreset(patches, size)
