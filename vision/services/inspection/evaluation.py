"""How well a version of an inspector tells its test pictures apart."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from django.db import transaction

from cases.models import Job
from cases.services.jobs import JobProgress, job_create
from vision.engine.inspection_measures import (
    PixelMeasures,
    at_threshold,
    bootstrap,
    box_holds,
    image_auroc,
    roc_points,
)
from vision.models import Evaluation, Inspection, Inspector, InspectorPicture, InspectorVersion
from vision.services.inspection.good_pictures import GoodPictureError, picture_load
from vision.services.inspection.inspecting import image_inspect, inspection_map

EVALUATE_KIND = "vision.tasks.evaluate_inspector"
#: Maps are rounded between 0 and so many times the score of the worst good part.
_MAP_CEILING = 20.0
_CURVE_POINTS = 200
_BINS = 40


class EvaluationRefused(Exception):
    """A version can't be evaluated; the sentence says what is missing."""


def version_evaluate_start(version: InspectorVersion, *, user=None, enqueue: bool = True) -> Job:
    """A job that evaluates a version on the test pictures of its inspector.

    Without `enqueue` no worker is told: the caller runs the job itself. Raises EvaluationRefused when there
    is nothing to evaluate on.
    """
    if not version.inspector.pictures.tested().exists():
        raise EvaluationRefused(_no_tests(version.inspector))
    parameters = {"version": version.pk}
    if enqueue:
        return job_create(EVALUATE_KIND, parameters, user=user)
    return Job.objects.create(kind=EVALUATE_KIND, parameters=parameters, created_by=user)


def version_evaluate(progress: JobProgress) -> Evaluation:
    """Inspect every test picture and keep the results and measures, all at once or nothing.

    Raises InspectorUnusable, WeightsError, EvaluationRefused, StorageAway.
    """
    known = Evaluation.objects.filter(job=progress.job).first()
    if known:
        return known
    version = InspectorVersion.objects.select_related("inspector").get(pk=progress.job.parameters["version"])
    tests, notes = _tests_of(version)
    progress.start(len(tests), "Inspecting test pictures")
    rows = []
    # Good parts may all be equal to the last pixel, and then their scores are nothing.
    pixels = PixelMeasures(0, _MAP_CEILING * (max(version.good_scores) or 1))
    hits: list[bool] = []
    for at, test in enumerate(tests):
        try:
            rows.append(image_inspect(version, test.file, name=test.name, truth=test.defect))
            _pixels_add(pixels, hits, rows[-1], test)
        except GoodPictureError as error:  # without its mask, a picture still counts as a whole
            notes.append(str(error))
        progress.advance(at + 1)
    if not rows:
        raise EvaluationRefused(f"None of the {len(tests)} test pictures can be read.")
    without_mask = sum(1 for test in tests if test.defect and not test.mask_id)
    if without_mask:
        notes.append(
            f"Without a mask, {without_mask} of the defective test pictures say nothing of where it is."
        )
    measures = measures_of(rows, version.threshold) | _pixel_measures(pixels, hits) | {"notes": notes}
    evaluation = _evaluation_store(version, measures, rows, progress.job)
    progress.advance(len(tests), _sentence(evaluation))
    progress.result = {"evaluation": evaluation.pk, "version": version.pk}
    return evaluation


@transaction.atomic
def _evaluation_store(version, measures: dict, rows: list[Inspection], job: Job) -> Evaluation:
    InspectorVersion.objects.select_for_update(no_key=True).get(pk=version.pk)
    finished = Evaluation.objects.filter(job=job).first()
    if finished:  # a second worker took the job up when this one was silent for long
        return finished
    evaluation = Evaluation.objects.create(
        version=version, measures=measures, job=job, created_by=job.created_by
    )
    for row in rows:
        row.evaluation = evaluation
    Inspection.objects.bulk_create(rows, batch_size=200)
    return evaluation


def _tests_of(version: InspectorVersion) -> tuple[list[InspectorPicture], list[str]]:
    """The test pictures that a version has not learned from, and what to note about the others."""
    tests = list(version.inspector.pictures.tested().select_related("file", "mask"))
    known = {*version.learned_from, *version.held_out}
    fresh = [test for test in tests if test.file.sha256 not in known]
    if not tests:
        raise EvaluationRefused(_no_tests(version.inspector))
    if not fresh:
        raise EvaluationRefused(
            f"{version} has learned from all {len(tests)} test pictures: add some that it has not seen."
        )
    left_out = len(tests) - len(fresh)
    notes = [f"{version} has learned from {left_out} of the test pictures: they are left out."]
    return fresh, notes if left_out else []


def _no_tests(inspector: Inspector) -> str:
    return f"{inspector} has no test pictures: add good and defective ones that it has not learned from."


def _pixels_add(pixels: PixelMeasures, hits: list[bool], row: Inspection, test: InspectorPicture) -> None:
    if not test.defect:
        pixels.add(inspection_map(row), None)
        return
    if not test.mask_id:
        return
    mask = np.asarray(picture_load(test.mask).convert("L")) > 127
    pixels.add(inspection_map(row), mask)
    if mask.any():
        hits.append(bool(row.regions) and box_holds(tuple(row.regions[0]["box"]), mask))


def measures_of(rows: Sequence[Inspection], threshold: float | None) -> dict:
    """Measures of pictures: see docs/inspection.md for the keys; those that need both kinds are left out."""
    scores = np.array([row.score for row in rows])
    truths = np.array([row.truth for row in rows])
    faulty = truths != ""
    measures: dict = {
        "counts": {"good": int((~faulty).sum()), "defective": int(faulty.sum())},
        "threshold": threshold,
        "histogram": _histogram(scores, faulty),
        "by_defect": {
            str(defect): _defect_measures(scores, truths, str(defect), threshold)
            for defect in np.unique(truths[faulty])
        },
    }
    if faulty.any() and not faulty.all():
        measures["image_auroc"] = asdict(bootstrap(image_auroc, scores, faulty))
        false, true = roc_points(scores, faulty)
        shown = np.unique(np.linspace(0, len(false) - 1, _CURVE_POINTS).astype(int))
        measures["roc"] = {
            "false_positive_rate": false[shown].round(5).tolist(),
            "true_positive_rate": true[shown].round(5).tolist(),
        }
    if threshold is not None:
        measures |= asdict(at_threshold(scores, faulty, threshold))
        rejected = scores > threshold
        measures["confusion"] = {
            "true_fail": int((rejected & faulty).sum()),
            "false_fail": int((rejected & ~faulty).sum()),
            "true_pass": int((~rejected & ~faulty).sum()),
            "false_pass": int((~rejected & faulty).sum()),
        }
    return measures


def _defect_measures(scores, truths, defect, threshold) -> dict:
    own, good = truths == defect, truths == ""
    found: dict = {"count": int(own.sum()), "median_score": float(np.median(scores[own]))}
    if good.any():
        found["image_auroc"] = image_auroc(scores[own | good], own[own | good])
    if threshold is not None:
        found["recall"] = float((scores[own] > threshold).mean())
    return found


def _histogram(scores: np.ndarray, faulty: np.ndarray) -> dict:
    # A few scores far out would leave the others in a single bar.
    edges = np.histogram_bin_edges(np.minimum(scores, np.quantile(scores, 0.99)), _BINS)
    shown = np.clip(scores, edges[0], edges[-1])
    return {
        "edges": edges.round(5).tolist(),
        "good": np.histogram(shown[~faulty], edges)[0].tolist(),
        "defective": np.histogram(shown[faulty], edges)[0].tolist(),
    }


def _pixel_measures(pixels: PixelMeasures, hits: list[bool]) -> dict:
    if not hits:
        return {}
    measures = {"centre_in_top_box": float(np.mean(hits)), "masks": len(hits)}
    try:
        return measures | {"pixel_auroc": pixels.auroc(), "aupro": pixels.aupro()}
    except ValueError:  # the masks leave no good pixel to compare with
        return measures


def _sentence(evaluation: Evaluation) -> str:
    measures = evaluation.measures
    counts = measures["counts"]
    parts = [f"{evaluation.version} on {counts['good']} good and {counts['defective']} defective pictures"]
    if "image_auroc" in measures:
        parts.append(f"image AUROC {100 * measures['image_auroc']['value']:.1f} %")
    if "recall" in measures and counts["defective"]:
        parts.append(f"recall {100 * measures['recall']:.1f} %")
    if "false_reject_rate" in measures and counts["good"]:
        parts.append(f"false-reject rate {100 * measures['false_reject_rate']:.1f} %")
    return ", ".join(parts) + "."
