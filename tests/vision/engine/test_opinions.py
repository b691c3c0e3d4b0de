"""Opinions made one: surprise is a p-value, and the head is heard only where it helps."""

import numpy as np
import pytest

from vision.engine.opinions import Grids, Surprise, Trial, choose, joined_grid, surprises_of

TOP = 0.05


def grids(rng: np.random.Generator, *, patches: float = 0, head: float = 0) -> Grids:
    """Noise of a picture, with a fault in the middle that lifts each by so many standard deviations."""
    made = {name: rng.normal(1, 0.2, (6, 6)) for name in ("coarse", "fine", "rarity")}
    made = {name: np.kron(grid, np.ones((2, 2))) if name != "coarse" else grid for name, grid in made.items()}
    made["head"] = rng.normal(-5, 2, (12, 12))
    for name, grid in made.items():
        middle = slice(len(grid) // 3, -len(grid) // 3)
        grid[middle, middle] += 2 * head if name == "head" else 0.2 * patches
    return made


def trial(seed: int, *, patches: float, head: float) -> Trial:
    rng = np.random.default_rng(seed)
    return Trial([grids(rng) for _ in range(40)], [grids(rng, patches=patches, head=head) for _ in range(40)])


def test_surprise_is_a_p_value_that_goes_on_beyond_the_worst_good_part():
    good = np.random.default_rng(0).exponential(3, 100_000) + 7
    surprise = Surprise().fit(good)
    for p in (0.5, 0.1, 0.01):
        assert surprise(np.quantile(good, 1 - p)) == pytest.approx(np.log10(1 / p), abs=0.05)
    assert surprise(200.0) > surprise(100.0) > 10
    assert surprise(np.array([[6.0, 7.0]])).shape == (1, 2)


def test_scores_that_all_sank_a_little_keep_their_order():
    surprise = Surprise().fit(np.linspace(1, 2, 50))
    assert (np.diff(surprise(np.linspace(0.2, 2.2, 60))) > 0.01).all()


def test_equal_and_too_few_scores():
    assert np.isfinite(Surprise().fit(np.ones(5))(np.array([0.0, 1.0, 2.0]))).all()
    for bad in (np.ones(1), np.array([1.0, np.nan, 2.0])):
        with pytest.raises(ValueError, match="good parts"):
            Surprise().fit(bad)


def test_both_are_heard_where_the_head_knows_more():
    choice = choose([trial(seed, patches=0.7, head=2) for seed in range(2)], TOP)
    assert choice.opinion == "both"
    assert choice.auroc["head"] > choice.auroc["patches"] > 0.6


def test_a_head_that_knows_less_is_not_heard():
    choice = choose([trial(seed, patches=2, head=0.5) for seed in range(2)], TOP)
    assert choice.opinion == "patches"
    assert choice.auroc["head"] > 0.6


def test_the_head_alone_where_the_patches_disturb_much():
    assert choose([trial(seed, patches=-4, head=2) for seed in range(2)], TOP).opinion == "head"


def test_without_a_trial_the_patches_are_heard():
    assert choose([], TOP).opinion == "patches"


def test_a_joined_grid_is_the_mean_surprise_on_the_finest_grid():
    good = [grids(np.random.default_rng(seed)) for seed in range(30)]
    surprises = surprises_of(good)
    flat = {name: np.full(grid.shape, surprises[name].middle) for name, grid in good[0].items()}
    for opinion in ("patches", "head", "both"):
        joined = joined_grid(opinion, flat, surprises)
        assert joined.shape == (12, 12)
        assert joined.dtype == np.float32
        assert joined == pytest.approx(np.log10(2), abs=1e-5)
    seen = grids(np.random.default_rng(99), patches=3, head=3)
    for opinion in ("patches", "head", "both"):
        joined = joined_grid(opinion, seen, surprises)
        assert joined[4:8, 4:8].mean() > 1 + joined[[0, -1]].mean()
