"""manage.py measure: what it prints and writes, and what it says to a wrong question."""

import json

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from tests import factories
from tests.measuring import measuring_folder
from vision.engine.synthesis.gallery import draw_fault_image
from vision.services.embedding import images_embed

FAULTS = ("scratch", "stain", "none")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Six pictures of each of three categories, and one of them a second time, mirrored."""
    folder = tmp_path_factory.mktemp("drawn")
    for kind in FAULTS:
        (folder / kind).mkdir()
        for seed in range(6):
            pixels, _ = draw_fault_image(kind, seed, 96, material="steel_sheet")
            Image.fromarray(pixels).save(folder / kind / f"{seed}.png")
    with Image.open(folder / "stain" / "0.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "stain" / "mirrored.png")
    return folder


@pytest.fixture
def measured(drawn, tmp_path):
    def measure(protocol, *options):
        report = tmp_path / "report.json"
        call_command("measure", protocol, str(drawn), "--partitions", "2", "--json", str(report), *options)
        return json.loads(report.read_text())

    return measure


def test_classification_with_wrong_labels_and_near_duplicates_together(measured, capsys):
    report = measured("classification", "--grouped", "--label-noise", "0.2")
    assert report["protocol"] == "classification"
    assert report["categories"] == {"none": 6, "scratch": 6, "stain": 7}
    assert report["split"] == {"train": 0.5, "labels": None, "partitions": 2, "seed": 0, "label_noise": 0.2}
    assert report["near_duplicates"] == {"groups": 18, "largest": 2, "single": 17}
    assert list(report["results"]) == ["faultnet", "random weights", "LBP+HOG"]
    for row in report["results"].values():
        keys = {
            "top1",
            "top1_by_piece",
            "macro_f1",
            "ece",
            "brier",
            "aurc",
            "coverage",
            "set_size",
            "top1_fall",
        }
        assert keys <= set(row)
        assert all(set(row[key]) == {"mean", "sd"} for key in keys)
        assert set(row["methods"]) == {"5nn", "logistic_regression"}
    said = capsys.readouterr().out
    assert "18 groups, the largest 2" in said
    assert "by piece %" in said
    assert "20% of these labels wrong" in said


def test_openset_names_the_hidden_categories(measured, capsys):
    report = measured("openset", "--labels", "2")
    row = report["results"]["faultnet"]
    assert set(row["by_category"]) == set(FAULTS)
    assert 0 <= row["fpr_at_95"]["mean"] <= 1
    assert "scratch unknown" in capsys.readouterr().out


def test_retrieval_over_all_pictures_and_over_held_out_ones(measured):
    report = measured("retrieval")
    row = report["results"]["faultnet"]
    assert row["queries"] == {"mean": 19, "sd": 0}
    assert {"precision_at_1", "precision_at_5", "precision_at_10", "recall_at_5", "map_at_r"} <= set(row)
    assert report["split"] is None
    held_out = measured("retrieval", "--split", "0.5")
    assert held_out["results"]["faultnet"]["queries"]["mean"] == pytest.approx(9.5, abs=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "either a folder or --library"),
        (["retrieval", "/x", "--library"], "either a folder or --library"),
        (["--library", "--limit", "3"], "leave out --backbone and --limit"),
        (["openset", "/nowhere"], "is no folder"),
        (["classification", "/x", "--split", "1.5"], "between 0 and 1"),
        (["classification", "/x", "--split", "0.5", "--labels", "3"], "either --split or --labels"),
        (["retrieval", "/x", "--label-noise", "0.2"], "belongs to classification"),
        (["openset", "/x", "--adapt"], "belongs to retrieval"),
        (["openset", "/x", "--json", "/nowhere/report.json"], "/nowhere is no folder"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("measure", *arguments)


@pytest.mark.django_db
def test_an_empty_library_says_so():
    with pytest.raises(CommandError, match="0 labelled pictures"):
        call_command("measure", "--library")


@pytest.mark.django_db
def test_the_library_is_split_by_case(tmp_path):
    for code in ("DENT", "RUST"):
        row = factories.category(code)
        for _ in range(4):
            case = factories.case(pictures=2, labelled=row)
            images_embed(case.images.values_list("pk", flat=True))
    report = tmp_path / "report.json"
    call_command("measure", "classification", "--library", "--partitions", "1", "--json", str(report))
    written = json.loads(report.read_text())
    assert written["source"] == "library"
    assert written["categories"] == {"DENT": 8, "RUST": 8}
    figures = written["results"]["faultnet"]
    assert figures["train_images"]["mean"] == figures["test_images"]["mean"] == 8


@pytest.mark.slow
def test_the_default_backbone_beats_random_weights_on_real_pictures(tmp_path, capsys):
    report = tmp_path / "report.json"
    source = str(measuring_folder("neu_surface"))
    call_command("measure", "retrieval", source, "--limit", "25", "--json", str(report))
    results = json.loads(report.read_text())["results"]
    assert results["faultnet"]["top1"]["mean"] > results["random weights"]["top1"]["mean"]
    assert results["faultnet"]["map_at_r"]["mean"] > results["random weights"]["map_at_r"]["mean"] + 0.1
