"""The figures are right on data whose answer is known, and no split lets a picture see itself."""

import numpy as np
import pytest

from tests import factories
from vision.engine.descriptors import describe
from vision.engine.images import load_image
from vision.services.measurement.classification import classification_measure, labels_with_noise
from vision.services.measurement.openset import openset_measure
from vision.services.measurement.pictures import MeasureError, folder_sources
from vision.services.measurement.retrieval import retrieval_measure
from vision.services.measurement.seeing import Seen, pictures_see
from vision.services.measurement.splits import Split, partitions
from vision.services.measurement.summary import figures_summarise

ROW = "row"


def watch(items, what, total):
    return items


def seen(vectors, labels, digests=None, together=None):
    vectors = np.asarray(vectors, np.float32)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alone = np.arange(len(labels))
    return Seen(
        labels=np.array(labels),
        digests=np.array(digests if digests is not None else alone.astype(str)),
        together=np.array(together if together is not None else alone),
        vectors={ROW: vectors},
    )


def clouds(count, *centres, spread=1.0, dimension=8):
    """Vectors around the ends of axes, `count` a category, and their labels."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(count, dimension)) * spread + np.eye(dimension)[axis] * 6 for axis in centres]
    return np.concatenate(parts), np.repeat([f"c{axis}" for axis in centres], count)


class TestPartitions:
    LABELS = np.repeat(["a", "b"], [40, 20])

    def test_a_share_of_every_category_trains_and_the_rest_tests(self):
        sides = list(partitions(self.LABELS, np.arange(60), Split(train=0.25, partitions=3)))
        for train, test in sides:
            assert sorted([*train, *test]) == list(range(60))
            assert [np.sum(self.LABELS[train] == label) for label in "ab"] == [10, 5]
        assert not np.array_equal(sides[0][0], sides[1][0])
        again = list(partitions(self.LABELS, np.arange(60), Split(train=0.25, partitions=3)))
        assert all(np.array_equal(one[0], other[0]) for one, other in zip(sides, again, strict=True))

    def test_groups_stay_whole(self):
        together = np.arange(60) // 4
        for train, test in partitions(self.LABELS, together, Split(partitions=5)):
            assert not set(together[train]) & set(together[test])
            assert [np.sum(self.LABELS[train] == label) for label in "ab"] == [20, pytest.approx(10, abs=2)]

    def test_one_giant_group_still_leaves_something_to_train_and_to_test(self):
        together = np.array([0] * 39 + [1] + [2] * 19 + [3])
        for train, test in partitions(self.LABELS, together, Split(partitions=5)):
            assert set(self.LABELS[train]) == set(self.LABELS[test]) == {"a", "b"}

    def test_a_number_of_labels_comes_from_many_groups_whose_rest_is_not_used(self):
        together = np.arange(60) // 5
        for train, test in partitions(self.LABELS, together, Split(labels=4, partitions=5)):
            assert [np.sum(self.LABELS[train] == label) for label in "ab"] == [4, 4]
            assert len(set(together[train[self.LABELS[train] == "a"]])) == 4
            assert not set(together[train]) & set(together[test])
            assert len(test) == 60 - 5 * len(set(together[train]))

    def test_what_cannot_be_split_is_said(self):
        with pytest.raises(MeasureError, match="b has 20 pictures"):
            list(partitions(self.LABELS, np.arange(60), Split(labels=20)))
        with pytest.raises(MeasureError, match="Nothing is left to test"):
            list(partitions(self.LABELS, np.repeat([0, 1], [40, 20]), Split()))


class TestClassification:
    def test_separate_clouds_are_told_apart_and_noise_is_not(self):
        measured = classification_measure(seen(*clouds(30, 0, 1)), ROW, Split(partitions=2), watch)
        for method, figures in measured.items():
            assert figures["top1"]["mean"] == figures["macro_f1"]["mean"] == 1, method
            assert figures["aurc"]["mean"] == 0
        assert measured["product"]["coverage"]["mean"] == 1
        assert measured["product"]["test_images"] == {"mean": 30, "sd": 0}
        same_place = clouds(30, 0, 0)[0]
        nothing_to_learn = seen(same_place, np.repeat(["a", "b"], 30))
        for method, figures in classification_measure(
            nothing_to_learn, ROW, Split(partitions=2), watch
        ).items():
            assert figures["top1"]["mean"] < 0.8, method
            assert figures["brier"]["mean"] > 0.3

    def test_exact_duplicates_count_once(self):
        vectors, labels = clouds(20, 0, 1)
        twice = seen(np.tile(vectors, (2, 1)), np.tile(labels, 2), digests=np.tile(np.arange(40), 2))
        measured = classification_measure(twice, ROW, Split(partitions=1), watch)["product"]
        assert measured["train_images"]["mean"] + measured["test_images"]["mean"] == 40

    def test_a_piece_of_many_pictures_counts_as_one(self):
        vectors, labels = clouds(20, 0, 1)
        many = np.repeat(vectors[-1:], 15, axis=0)  # looks like the others, and is not
        together = np.r_[np.arange(40), np.full(15, 99)]
        data = seen(np.vstack([vectors, many]), [*labels, *["c0"] * 15], together=together)
        measured = classification_measure(data, ROW, Split(0.4, partitions=8), watch)["5nn"]
        assert measured["top1"]["mean"] < measured["top1_by_piece"]["mean"] - 0.05

    def test_wrong_labels_are_measured_beside_right_ones(self):
        data = seen(*clouds(40, 0, 1, 2))
        measured = classification_measure(data, ROW, Split(partitions=2), watch, label_noise=0.9)["product"]
        assert measured["top1_without_noise"]["mean"] == 1
        assert measured["top1"]["mean"] < 0.5
        assert measured["top1_fall"]["mean"] == pytest.approx(1 - measured["top1"]["mean"])

    def test_noise_changes_the_share_asked_for_and_always_to_another_category(self):
        labels = np.repeat(["a", "b", "c"], 100)
        noisy = labels_with_noise(labels, 0.2, np.random.default_rng(0))
        assert (noisy != labels).sum() == 60
        assert set(noisy) == {"a", "b", "c"}


class TestOpenSet:
    def test_a_far_category_is_unknown_and_a_twin_is_not(self):
        vectors, labels = clouds(30, 0, 1, 2, 2, spread=0.5)
        labels = labels.copy()
        labels[90:] = "tw"
        measured = openset_measure(seen(vectors, labels), ROW, Split(partitions=2), watch)
        categories = measured["by_category"]
        assert categories["c0"]["auroc"]["mean"] == 1
        assert categories["c0"]["fpr_at_95"]["mean"] == 0
        assert categories["tw"]["auroc"]["mean"] < 0.75
        assert categories["tw"]["fpr_at_95"]["mean"] > 0.6
        assert measured["auroc"]["mean"] == pytest.approx(
            np.mean([one["auroc"]["mean"] for one in categories.values()])
        )

    def test_two_categories_are_too_few(self):
        with pytest.raises(MeasureError, match="three categories"):
            openset_measure(seen(*clouds(5, 0, 1)), ROW, Split(), watch)


class TestRetrieval:
    VECTORS = [[1, 0], [1, 0.02], [0, 1], [0.02, 1]]

    def test_duplicates_and_what_belongs_together_are_not_found(self):
        figures = retrieval_measure(seen(self.VECTORS, ["a", "a", "b", "b"]), ROW, None, watch)
        assert figures["top1"] == {"mean": 1, "sd": 0}
        bytes_alike = seen(self.VECTORS, ["a", "a", "b", "b"], digests=["x", "x", "y", "z"])
        assert retrieval_measure(bytes_alike, ROW, None, watch)["queries"]["mean"] == 2
        with pytest.raises(ValueError, match="nothing to measure"):
            retrieval_measure(
                seen(self.VECTORS, ["a", "a", "b", "b"], together=[1, 1, 2, 2]), ROW, None, watch
            )

    def test_a_split_asks_held_out_pictures_only_and_learns_from_the_others(self):
        vectors, labels = clouds(20, 0, 1, spread=4)
        data = seen(vectors, labels)
        learned = []

        def fit(taught, taught_labels, together):
            learned.append(taught)
            # A look-up that puts every category on an axis of its own: only the transformed are so good.
            return lambda asked: np.eye(2, dtype=np.float32)[
                [int(labels[np.abs(data.vectors[ROW] - one).sum(1).argmin()] == "c1") for one in asked]
            ]

        split = Split(train=0.5, partitions=3)
        plain = retrieval_measure(data, ROW, split, watch)
        tuned = retrieval_measure(data, ROW, split, watch, fit=fit)
        assert plain["queries"]["mean"] == 20
        assert plain["map_at_r"]["mean"] < tuned["map_at_r"]["mean"] == 1
        assert [len(one) for one in learned] == [20, 20, 20]


def test_mean_and_sample_deviation():
    runs = [{"top1": 0.5}, {"top1": 0.7}]
    assert figures_summarise(runs) == {"top1": {"mean": pytest.approx(0.6), "sd": pytest.approx(0.02**0.5)}}
    assert figures_summarise(runs[:1]) == {"top1": {"mean": 0.5, "sd": 0}}


def mean_colour(images):
    vectors = np.array([np.asarray(image.resize((4, 4))).mean((0, 1)) for image in images], np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_folder_is_looked_at_once_and_its_bad_files_are_named(tmp_path):
    for category, seeds in {"a": range(9), "b": (20, 21)}.items():
        (tmp_path / category).mkdir()
        for seed in seeds:
            (tmp_path / category / f"{seed}.png").write_bytes(factories.image_bytes(seed))
    (tmp_path / "a" / "5.png").write_bytes(b"nothing")
    (tmp_path / "b" / "same.png").write_bytes(factories.image_bytes(20))
    sources = folder_sources(tmp_path)
    looked = pictures_see(
        sources, {"x": mean_colour, "y": mean_colour}, watch, backbone="faultnet", grouped=True
    )
    assert looked.labels.tolist() == ["a"] * 8 + ["b"] * 3
    assert [len(vectors) for vectors in looked.vectors.values()] == [11, 11]
    assert len(looked.unreadable) == 1
    assert "5.png" in looked.unreadable[0]
    assert looked.digests[8] == looked.digests[10] != looked.digests[9]
    assert looked.together[8] == looked.together[10] != looked.together[9]
    assert len(folder_sources(tmp_path, limit=2)) == 4
    with pytest.raises(MeasureError, match="two such categories"):
        folder_sources(tmp_path / "a")


def test_the_descriptor_sees_texture_and_not_brightness_alone():
    noise = load_image(factories.image_bytes(1, size=(96, 96)))
    other_noise = load_image(factories.image_bytes(2, size=(96, 96)))
    smooth = noise.resize((8, 8)).resize((96, 96))
    one, other, different = describe(noise), describe(other_noise), describe(smooth)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ other > one @ different
