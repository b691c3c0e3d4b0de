"""manage.py inspector, as an operator types it."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from cases.models import Job
from tests import factories
from tests.vision.inspected import mask_picture, plate_picture
from vision.models import Inspection, Inspector
from vision.services.inspection.versions import version_active, version_folder, versions_forget

pytestmark = pytest.mark.django_db
FAULT = (70, 80)


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path / "data"


@pytest.fixture
def folder(tmp_path):
    """Pictures in the layout of MVTec AD, with the same names in its folders."""
    made = tmp_path / "pictures" / "plate"
    for seed in range(3):
        write(made / f"train/good/{seed:03}.png", plate_picture(seed))
    for seed in range(2):
        write(made / f"test/good/{seed:03}.png", plate_picture(200 + seed))
        write(made / f"test/blot/{seed:03}.png", plate_picture(300 + seed, FAULT))
        write(made / f"ground_truth/blot/{seed:03}_mask.png", mask_picture(FAULT))
    return made


def write(path: Path, picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture.data)


def inspector(*arguments, err=None) -> str:
    printed = StringIO()
    call_command("inspector", *map(str, arguments), stdout=printed, stderr=err or StringIO())
    return printed.getvalue()


def test_train_evaluate_inspect(folder, tmp_path):
    report = tmp_path / "report.json"
    options = ("--part", "plate", "--data", folder, "--json", report)
    told = inspector("train", *options, "--rule", "deviations", "--alpha", "0.25")
    assert "plate knows 3 pictures, 3 of them new." in told
    assert "plate v1 is trained. Threshold" in told
    trained = json.loads(report.read_text())
    assert (trained["version"], trained["rule"], trained["alpha"]) == (1, "deviations", 0.25)
    assert trained["learned_from"] == 3
    assert Job.objects.get().state == Job.State.DONE

    output = tmp_path / "evaluated"
    told = inspector("evaluate", *options, "--output", output)
    assert "plate knows 7 pictures, 4 of them new." in told
    assert "image_auroc" in told
    assert "aupro" in told
    measures = json.loads(report.read_text())
    assert measures["counts"] == {"good": 2, "defective": 2}
    assert measures["version"] == 1
    for name in ("roc_curve.png", "score_distribution.png", "blot/001_overlay.png", "good/000_heatmap.png"):
        assert Image.open(output / name).format == "PNG"
    assert "plate knows 7 pictures, 0 of them new." in inspector("evaluate", *options)

    output = tmp_path / "inspected"
    told = inspector("inspect", *options, "--output", output)
    assert "FAIL" in told.splitlines()[0], "the faulty ones come first by their folder"
    seen = json.loads(report.read_text())
    assert [one["picture"] for one in seen["inspections"]][:2] == ["test/blot/000.png", "test/blot/001.png"]
    assert [one["verdict"] for one in seen["inspections"]][:2] == ["fail", "fail"]
    assert seen["counts"]["fail"] >= 2
    assert sum(seen["counts"].values()) == 7
    assert (output / "test/blot/000_overlay.png").is_file()
    assert Inspection.objects.of_parts().count() == 7

    told = inspector("train", "--part", "PLATE", "--data", folder)
    assert "Another version serves: --activate" in told
    known = Inspector.objects.get()
    assert (known.rule, known.alpha) == ("deviations", 0.25), "what is not given stays"
    assert version_active(known).number == 1
    more = ("--hold-out", "pictures", "--resolution", "300")
    inspector("train", "--part", "plate", "--data", folder, "--activate", *more)
    known.refresh_from_db()
    assert (version_active(known).number, version_active(known).resolution) == (3, 300)
    assert known.hold_out == "pictures"
    inspector("train", "--part", "plate", "--data", folder, "--resolution", "own")
    known.refresh_from_db()
    assert known.resolution is None


def test_every_folder_with_the_inspector_of_its_name(folder, tmp_path):
    part = factories.part("plate")
    (folder.parent / "notes").mkdir()
    report = tmp_path / "report.json"
    told = inspector("train", "--all", "--data", folder.parent, "--json", report)
    assert "No verdicts: A false-reject rate of 0.01 needs 99" in told
    assert list(json.loads(report.read_text())) == ["plate"]
    assert Inspector.objects.get().part == part


def test_a_picture_that_is_none_stops_nothing(folder, trained):
    trained.restore("plate")
    write(folder / "test/blot/torn.png", plate_picture(1))
    (folder / "test/blot/torn.png").write_bytes(b"torn")
    for action, said in (("inspect", "2 fail"), ("evaluate", "image_auroc")):
        err = StringIO()
        assert said in inspector(action, "--part", "plate", "--data", folder, err=err)
        assert "torn.png" in err.getvalue()


def test_a_defect_can_t_name_a_folder_elsewhere(folder, trained, tmp_path):
    plate = trained.restore("plate")
    inspector("evaluate", "--part", "plate", "--data", folder)
    plate.pictures.filter(defect="blot").update(defect="../../x")
    inspector("evaluate", "--part", "plate", "--data", folder, "--output", tmp_path / "a" / "b")
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "a/b/_x/000_overlay.png").is_file()


def test_mistakes_are_said_with_what_to_do(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, said in (
        (("train", "--data", folder), "--part P, or take every folder with --all"),
        (("train", "--part", "x", "--all", "--data", folder), "--part P, or"),
        (("train", "--part", "x", "--data", tmp_path / "none"), "is no folder"),
        (("train", "--part", "x", "--data", empty), "has no pictures in train/good"),
        (("train", "--all", "--data", empty), "has no folder with train/good"),
        (("train", "--part", "x", "--data", folder, "--json", empty / "a" / "b.json"), "--json can't write"),
        (("train", "--part", "x", "--data", folder, "--alpha", "2"), "less than or equal to 0.5"),
        (("train", "--part", "x", "--data", folder, "--alpha", "nan"), "is violated"),
        (
            ("train", "--part", "x", "--data", folder, "--resolution", "64"),
            "faultnet needs 256 pixels or more",
        ),
        (("train", "--part", "x", "--data", folder, "--backbone", "none"), "none is no backbone"),
        (("train", "--part", "x", "--data", folder, "--backbone", "vgg16"), "fetch_weights vgg16"),
        (("evaluate", "--part", "nobody", "--data", folder), "no inspector nobody. Train it first"),
        (("inspect", "--part", "x", "--data", folder), "has not been trained yet"),
    ):
        with pytest.raises(CommandError, match=said):
            inspector(*arguments)
    assert Inspector.objects.get().name == "x"


def test_what_can_t_be_opened_or_written_is_said(folder, trained, tmp_path):
    plate = trained.restore("plate")
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(CommandError, match="file"):
        inspector("inspect", "--part", "plate", "--data", folder, "--output", occupied)
    versions_forget()
    (version_folder(plate, 1) / "coarse" / "bank.npy").unlink()
    with pytest.raises(CommandError, match="Train the inspector again"):
        inspector("inspect", "--part", "plate", "--data", folder)


def test_an_evaluation_without_tests_is_refused(folder, trained):
    trained.restore("plate")
    for kind in ("blot", "good"):
        for path in (folder / "test" / kind).iterdir():
            path.unlink()
    with pytest.raises(CommandError, match="plate has no test pictures"):
        inspector("evaluate", "--part", "plate", "--data", folder)
