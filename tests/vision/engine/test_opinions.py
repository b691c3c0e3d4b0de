"""Two opinions made one: surprise is a p-value, and the head is heard only where it helps."""

import numpy as np
import pytest

from vision.engine.opinions import Scores, Surprise, Trial, choose, joined_scores


def trial(seed: int, *, patches: float, head: float) -> Trial:
    """Of 100 drawn faults each is seen by either opinion alone, lifted by so many standard deviations."""
    rng = np.random.default_rng(seed)
    good = Scores(rng.normal(0, 1, 200), rng.normal(50, 9, 200))
    lifted = np.arange(100) % 2
    return Trial(
        good,
        Scores(rng.normal(patches * lifted, 1), rng.normal(50 + 9 * head * (1 - lifted), 9)),
    )


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


def test_both_are_heard_where_they_complement_each_other():
    choice = choose([trial(seed, patches=3, head=3) for seed in range(4)])
    assert choice.opinion == "both"
    assert choice.auroc["both"] > max(choice.auroc["patches"], choice.auroc["head"]) + 0.05


def test_a_head_that_knows_nothing_is_not_heard():
    choice = choose([trial(seed, patches=5, head=0) for seed in range(4)])
    assert choice.opinion == "patches"


def test_the_head_alone_only_where_the_patches_disturb_much():
    rng = np.random.default_rng(0)
    good = Scores(rng.normal(0, 1, 200), rng.normal(0, 1, 200))
    drawn = Scores(rng.normal(-3, 1, 100), rng.normal(2, 1, 100))
    assert choose([Trial(good, drawn)]).opinion == "head"
    drawn = Scores(rng.normal(1, 1, 100), rng.normal(1.8, 1, 100))
    choice = choose([Trial(good, drawn)])
    assert choice.opinion == "both"
    assert choice.auroc["head"] > choice.auroc["patches"]


def test_a_gain_below_what_is_asked_for_does_not_pay():
    trials = [trial(seed, patches=3, head=3) for seed in range(4)]
    assert choose(trials, gain=0.5).opinion == "patches"
    with pytest.raises(ValueError, match="no trial"):
        choose([])


def test_joined_scores_are_each_opinions_own_or_the_sum_of_surprises():
    scores = Scores(np.array([1.0, 5.0]), np.array([70.0, 20.0]))
    patches, head = Surprise().fit(np.arange(10.0)), Surprise().fit(np.arange(100.0))
    assert (joined_scores("patches", scores, patches, head) == scores.patches).all()
    assert (joined_scores("head", scores, patches, head) == scores.head).all()
    both = joined_scores("both", scores, patches, head)
    assert both == pytest.approx(patches(scores.patches) + 0.5 * head(scores.head))
