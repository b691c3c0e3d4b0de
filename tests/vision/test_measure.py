"""The figures are right on data whose answer is known, and the default backbone beats random weights."""

import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from tests import factories
from tests.measuring import measuring_folder
from vision.engine.descriptors import describe
from vision.engine.images import load_image
from vision.services.embedding import images_embed
from vision.services.measurement import (
    LabelledPictures,
    MeasureError,
    classification_figures,
    folder_pictures,
    retrieval_figures,
)


def labelled(labels, digests=None, groups=None):
    digests = digests or [str(number) for number in range(len(labels))]
    return LabelledPictures([], np.array(labels), np.array(digests), groups and np.array(groups))


def unit(rows):
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_neighbours_of_the_same_kind_are_hits():
    vectors = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.05]])
    figures = retrieval_figures(vectors, labelled(["a", "a", "b", "b", "b"]))
    assert figures["top1"] == pytest.approx(2 / 5)
    assert figures["precision_at_5"] == pytest.approx((1 + 1 + 2 + 2 + 2) / 25)


def test_duplicates_and_the_own_case_are_not_found():
    vectors = unit([[1, 0], [1, 0], [0, 1], [0, 1]])
    labels = ["a", "a", "b", "b"]
    assert retrieval_figures(vectors, labelled(labels))["top1"] == 1
    with pytest.raises(ValueError, match="nothing to measure"):
        retrieval_figures(vectors, labelled(labels, groups=[1, 1, 2, 2]))
    half = retrieval_figures(vectors, labelled(labels, digests=["x", "x", "y", "z"]))
    assert half["top1"] == pytest.approx(1 / 2)


def test_classification_tells_separate_clouds_apart_and_not_noise():
    random = np.random.default_rng(0)
    labels = ["a"] * 40 + ["b"] * 40
    apart = unit(np.concatenate([random.normal(size=(40, 8)) + 4, random.normal(size=(40, 8)) - 4]))
    noise = unit(random.normal(size=(80, 8)))
    for method, figures in classification_figures(apart, labelled(labels), partitions=2).items():
        assert figures["top1"] == 1, method
    for method, figures in classification_figures(noise, labelled(labels), partitions=2).items():
        assert figures["top1"] < 0.8, method


def test_a_folder_needs_two_categories_and_its_bad_files_are_named(tmp_path):
    for category, seeds in {"a": (1, 2), "b": (3, 4)}.items():
        (tmp_path / category).mkdir()
        for seed in seeds:
            (tmp_path / category / f"{seed}.png").write_bytes(factories.image_bytes(seed))
    (tmp_path / "a" / "bad.png").write_bytes(b"nothing")
    pictures = folder_pictures(tmp_path)
    assert pictures.labels.tolist() == ["a", "a", "b", "b"]
    assert "bad.png" in pictures.unreadable[0]
    with pytest.raises(MeasureError, match="two such categories"):
        folder_pictures(tmp_path / "a")


def test_the_descriptor_sees_texture_and_not_brightness_alone():
    noise = load_image(factories.image_bytes(1, size=(96, 96)))
    other_noise = load_image(factories.image_bytes(2, size=(96, 96)))
    smooth = noise.resize((8, 8)).resize((96, 96))
    one, other, different = describe(noise), describe(other_noise), describe(smooth)
    assert one.shape == (185,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ other > one @ different


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments",
    [[], ["classification", "--library"], ["retrieval", "/x", "--library"], ["--library", "--limit", "3"]],
)
def test_wrong_arguments_get_a_sentence(arguments):
    with pytest.raises(CommandError, match=r"\.$"):
        call_command("measure", *arguments)


@pytest.mark.django_db
def test_an_empty_library_says_so():
    with pytest.raises(CommandError, match="0 labelled pictures"):
        call_command("measure", "--library")


@pytest.mark.slow
@pytest.mark.django_db
def test_the_library_with_the_default_backbone_beats_random_weights(tmp_path, capsys):
    """Leave-one-out over real pictures, through the product's own library."""
    source = measuring_folder("neu_surface")
    for category in sorted(path for path in source.iterdir() if path.is_dir()):
        row = factories.category(category.name.upper())
        for path in sorted(category.iterdir())[:25]:
            case = factories.case_create(
                pictures=[factories.Picture(path.name, path.read_bytes())], bulk=True
            )
            factories.images_label(case.images.all(), verdict="fault", category=row)
            images_embed(case.images.values_list("pk", flat=True))
    report = tmp_path / "report.json"
    call_command("measure", "--library", "--json", str(report))
    results = json.loads(report.read_text())["results"]
    assert results["faultnet"]["top1"] > results["random weights"]["top1"]
    assert results["faultnet"]["map_at_r"] > results["random weights"]["map_at_r"] + 0.1
    assert "random weights" in capsys.readouterr().out
