"""How well a version tells test pictures apart: the figures agree with a plain computation."""

import numpy as np
import pytest
from django.db import Error, transaction
from PIL import Image
from sklearn.metrics import roc_auc_score

from cases.models import ImageFile, Job
from cases.services.intake import Picture
from cases.services.jobs import JobProgress, job_run
from tests.hostile import saved
from tests.vision.inspected import HEIGHT, WIDTH, mask_picture, plate_picture
from vision.models import Evaluation, Inspection
from vision.services.inspection.charts import roc_chart, scores_chart
from vision.services.inspection.evaluation import (
    EvaluationRefused,
    measures_of,
    version_evaluate,
    version_evaluate_start,
)
from vision.services.inspection.inspecting import inspection_map, pictures_inspect
from vision.services.inspection.pictures import inspector_picture_add
from vision.services.inspection.versions import version_active
from vision.tasks import evaluate_inspector

pytestmark = pytest.mark.django_db
FAULTS = [(20, 10), (70, 80), (120, 40)]


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path


def add_test(inspector, picture, defect="", mask=None):
    return inspector_picture_add(inspector, picture, purpose="test", defect=defect, mask=mask)[0]


@pytest.fixture
def tests(inspector):
    """Four good parts, three with a blot and its mask, one with colour and without a mask."""
    for seed in range(4):
        add_test(inspector, plate_picture(200 + seed))
    for seed, fault in enumerate(FAULTS):
        add_test(inspector, plate_picture(300 + seed, fault), "blot", mask_picture(fault))
    add_test(inspector, plate_picture(400, (90, 90)), "dirt")
    return inspector


def evaluate(inspector) -> Evaluation:
    job = version_evaluate_start(version_active(inspector), enqueue=False)
    with job_run(job.pk) as progress:
        return version_evaluate(progress)


def test_measures_agree_with_a_plain_computation(tests):
    evaluation = evaluate(tests)
    measures, rows = evaluation.measures, list(evaluation.inspections.select_related("file").order_by("pk"))
    assert [row.truth for row in rows] == [""] * 4 + ["blot"] * 3 + ["dirt"]
    assert measures["counts"] == {"good": 4, "defective": 4}
    good = [row.score for row in rows if not row.truth]
    bad = [row.score for row in rows if row.truth]
    right = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    assert measures["image_auroc"]["value"] == pytest.approx(right / 16)
    assert measures["image_auroc"]["low"] <= right / 16 <= measures["image_auroc"]["high"]
    threshold = version_active(tests).threshold
    found, false = sum(s > threshold for s in bad), sum(s > threshold for s in good)
    assert measures["confusion"] == {
        "true_fail": found, "false_pass": 4 - found, "false_fail": false, "true_pass": 4 - false
    }  # fmt: skip
    assert measures["recall"] == found / 4
    assert measures["false_reject_rate"] == false / 4
    assert measures["precision"] == pytest.approx(found / (found + false))
    assert measures["f1"] == pytest.approx(2 * found / (found + false + 4))
    assert measures["by_defect"]["dirt"]["count"] == 1
    assert measures["by_defect"]["blot"]["recall"] == np.mean([s > threshold for s in bad[:3]])
    assert measures["by_defect"]["blot"]["median_score"] == pytest.approx(np.median(bad[:3]))
    histogram = measures["histogram"]
    assert (sum(histogram["good"]), sum(histogram["defective"])) == (4, 4)
    assert "1 of the defective test pictures" in measures["notes"][0]
    assert Job.objects.get().message.startswith("Plate v1 on 4 good and 4 defective pictures, image AUROC")
    for chart in (roc_chart(measures), scores_chart(measures)):
        assert chart.startswith(b"\x89PNG")


def test_measures_of_pixels_agree_with_a_plain_computation(tests):
    evaluation = evaluate(tests)
    rows = [
        row for row in evaluation.inspections.select_related("file").order_by("pk") if row.truth != "dirt"
    ]
    maps = np.stack([inspection_map(row) for row in rows])
    masks = np.zeros(maps.shape, bool)
    for place, (x, y) in enumerate(FAULTS):
        masks[4 + place, y : y + 24, x : x + 24] = True
    measures = evaluation.measures
    assert measures["masks"] == 3
    assert measures["pixel_auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-4)
    limits = np.unique(maps)[::-1]
    limits = limits[:: max(1, len(limits) // 2000)]
    rates = np.array([(maps[~masks] >= limit).mean() for limit in limits])
    inside = [one[mask] for one, mask in zip(maps[4:], masks[4:], strict=True)]
    shares = np.array([np.mean([(one >= limit).mean() for one in inside]) for limit in limits])
    grid = np.linspace(0, 0.3, 3001)
    assert measures["aupro"] == pytest.approx(np.interp(grid, rates, shares).mean(), abs=0.01)
    centres = 0
    for (x, y), row in zip(FAULTS, rows[4:], strict=True):
        left, top, width, height = row.regions[0]["box"]
        centres += left <= x + 11.5 < left + width and top <= y + 11.5 < top + height
    assert measures["centre_in_top_box"] == centres / 3


def test_without_defects_there_are_only_the_measures_of_good_parts(inspector):
    for seed in range(3):
        add_test(inspector, plate_picture(200 + seed))
    measures = evaluate(inspector).measures
    assert measures["counts"] == {"good": 3, "defective": 0}
    assert not {"image_auroc", "roc", "pixel_auroc", "aupro"} & set(measures)
    assert measures["by_defect"] == {}
    assert 0 <= measures["false_reject_rate"] <= 1
    assert "recall" not in Job.objects.get().message


def test_without_good_parts_recall_is_measured_all_the_same(inspector):
    white = Picture("mask.png", saved(Image.new("L", (WIDTH, HEIGHT), 255), "PNG"))
    add_test(inspector, plate_picture(300, FAULTS[0]), "blot", white)
    measures = evaluate(inspector).measures
    assert measures["recall"] == 1
    assert "image_auroc" not in measures
    assert "pixel_auroc" not in measures, "no pixel is good"
    assert measures["centre_in_top_box"] in (0, 1)


def test_without_a_threshold_nothing_is_said_of_rejection(tests):
    rows = list(evaluate(tests).inspections.all())
    measures = measures_of(rows, None)
    assert "image_auroc" in measures
    assert not {"confusion", "recall", "precision", "false_reject_rate"} & set(measures)
    assert "recall" not in measures["by_defect"]["blot"]


def test_nothing_to_evaluate_on_is_refused(inspector):
    with pytest.raises(EvaluationRefused, match="Plate has no test pictures: add good and defective ones"):
        version_evaluate_start(version_active(inspector))
    assert not Job.objects.exists()


def test_what_the_version_has_learned_from_is_no_test(inspector):
    inspector.pictures.filter(name__in=["plate0.png", "plate1.png"]).update(purpose="test")
    with pytest.raises(EvaluationRefused, match="has learned from all 2 test pictures"):
        evaluate(inspector)
    assert Job.objects.get().state == Job.State.FAILED
    Job.objects.all().delete()
    add_test(inspector, plate_picture(200))
    measures = evaluate(inspector).measures
    assert measures["counts"] == {"good": 1, "defective": 0}
    assert measures["notes"][0] == "Plate v1 has learned from 2 of the test pictures: they are left out."


def _spoil(file: ImageFile) -> None:
    with file.original.storage.open(file.original.name, "wb") as torn:
        torn.write(b"gone")


def test_pictures_and_masks_that_are_damaged_are_noted(tests):
    mask = tests.pictures.filter(mask__isnull=False).first().mask
    picture = tests.pictures.tested().filter(defect="").first().file
    _spoil(mask), _spoil(picture)
    measures = evaluate(tests).measures
    assert measures["counts"] == {"good": 3, "defective": 4}
    assert measures["masks"] == 2
    for file in (mask, picture):
        assert sum(str(file) in note and "can't be read" in note for note in measures["notes"]) == 1


def test_a_job_that_two_workers_have_makes_one_evaluation(inspector):
    add_test(inspector, plate_picture(200))
    job = version_evaluate_start(version_active(inspector), enqueue=False)
    made = []

    def second_worker(done, total, message):
        if not made:
            made.append(None)
            made[0] = version_evaluate(JobProgress(job))

    assert version_evaluate(JobProgress(job, second_worker)) == made[0]
    assert (Evaluation.objects.count(), Inspection.objects.count()) == (1, 1)


def test_the_task_ends_the_job_and_its_inspections_stand_apart(inspector):
    add_test(inspector, plate_picture(200))
    job = version_evaluate_start(version_active(inspector), enqueue=False)
    evaluate_inspector(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert job.result["evaluation"] == Evaluation.objects.get().pk
    (row,) = pictures_inspect(inspector, [plate_picture(200)])
    assert list(Inspection.objects.of_parts()) == [row]
    with pytest.raises(Error, match="Cannot update"), transaction.atomic():
        Inspection.objects.update(evaluation=None)


def test_equal_good_scores_of_nothing_do_not_break_the_maps(inspector):
    version = version_active(inspector)
    version.delete()
    version.pk, version.good_scores = None, [0.0, 0.0]
    version.save()
    add_test(inspector, plate_picture(300, FAULTS[0]), "blot", mask_picture(FAULTS[0]))
    assert evaluate(inspector).measures["pixel_auroc"] > 0.5
