"""Inspectors for tests: rows made by hand, and a small one that is really trained on drawn parts."""

import io

import numpy as np
from PIL import Image

from cases.models import ImageFile, Job
from cases.services.intake import Picture, image_file_store, picture_check
from cases.services.jobs import JobProgress
from vision.engine.synthesis.gallery import draw_fault_image
from vision.models import Evaluation, Inspection, Inspector, InspectorPicture, InspectorVersion
from vision.services.inspection.evaluation import measures_of
from vision.services.inspection.inspectors import inspector_create
from vision.services.inspection.pictures import inspector_picture_add
from vision.services.inspection.training import inspector_train, inspector_train_start
from vision.services.inspection.versions import versions_forget

MATERIAL, SIZE = "steel_sheet", 256


def drawn_part(kind: str, seed: int) -> tuple[bytes, np.ndarray]:
    """A photograph as PNG bytes, of a good part for the kind "none", and where its fault is."""
    pixels, mask = draw_fault_image(kind, seed, SIZE, material=MATERIAL)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), mask


def stored(seed: int = 0) -> ImageFile:
    """A stored picture of a good part."""
    picture = Picture(f"part{seed}.png", drawn_part("none", seed)[0])
    return image_file_store(picture, picture_check(picture))


def made_version(name: str = "Sheet 17", **fields) -> InspectorVersion:
    """An active version that was never trained: its rows can be read, but it can't inspect."""
    inspector, _ = Inspector.objects.get_or_create(name=name)
    good = stored()
    InspectorPicture.objects.get_or_create(inspector=inspector, file=good, defaults={"name": "good.png"})
    values = {
        "inspector": inspector,
        "number": inspector.versions.count() + 1,
        "state": "active",
        "backbone": "faultnet",
        "weights_sha256": "a" * 64,
        "learned_from": [good.sha256],
        "held_out": [],
        "data_sha256": "b" * 64,
        "good_scores": [1.0, 1.1, 1.2],
        "rule": "deviations",
        "alpha": 0.01,
        "threshold": 2.0,
        "reason": "Threshold 2.000: mean + 3 standard deviations of 3 good parts, held out in turns.",
        "level": 1.2,
    }
    return InspectorVersion.objects.create(**(values | fields))


def made_inspection(version: InspectorVersion | None = None, seed: int = 1, **fields) -> Inspection:
    """A failed inspection with two regions, as a version would write it."""
    version = version or InspectorVersion.objects.filter(state="active").first() or made_version()
    grid = np.ones((16, 16), "<f2")
    grid[4:7, 4:8] = 4
    good = {"sha256": version.learned_from[0], "box": [64, 64, 16, 16], "distance": 2.5}
    values = {
        "version": version,
        "file": stored(seed),
        "name": f"part{seed}.png",
        "verdict": "fail",
        "score": 3.0,
        "threshold": version.threshold,
        "p_value": 0.25,
        "regions": [
            {
                "box": [64, 60, 64, 52],
                "area": 3000,
                "peak": 4.0,
                "peak_at": [90, 80],
                "outline": [[64, 60], [127, 60], [127, 111], [64, 111]],
                "nearest": [good, good],
            },
            {
                "box": [0, 200, 10, 8],
                "area": 60,
                "peak": 1.5,
                "peak_at": [3, 203],
                "outline": [[0, 200], [9, 200], [9, 207]],
                "nearest": [good],
            },
        ],
        "nearest": [good],
        "grid": grid.tobytes(),
        "grid_rows": 16,
        "grid_columns": 16,
    }
    return Inspection.objects.create(**(values | fields))


def made_evaluation(version: InspectorVersion) -> Evaluation:
    """An evaluation with a false pass and a false fail, and measures as they are written."""
    scores = {"": [1.0, 1.2, 2.5], "crack": [3.0, 1.5], "pit <b>": [4.0]}
    rows = [
        Inspection(truth=truth, score=score, verdict="fail" if score > version.threshold else "pass")
        for truth, some in scores.items()
        for score in some
    ]
    measures = measures_of(rows, version.threshold) | {"notes": ["One picture has no mask."]}
    evaluation = Evaluation.objects.create(version=version, measures=measures)
    for seed, row in enumerate(rows):
        made_inspection(
            version, seed % 3, score=row.score, verdict=row.verdict, truth=row.truth, evaluation=evaluation,
            name=f"test{seed}.png",
        )  # fmt: skip
    return evaluation


def trained_inspector(name: str = "steel", parts: int = 10) -> Inspector:
    """An inspector that has learned from drawn good parts: some seconds. `forget` takes it away."""
    inspector = inspector_create(name, rule="deviations")
    for seed in range(parts):
        inspector_picture_add(inspector, Picture(f"good{seed}.png", drawn_part("none", seed)[0]))
    job = inspector_train_start(inspector, enqueue=False)
    inspector_train(JobProgress(job))
    return inspector


def forget(inspector: Inspector) -> None:
    """Take away what `trained_inspector` stored, where no transaction is undone."""
    files = list(inspector.pictures.values_list("file", flat=True))
    inspector.delete()
    ImageFile.objects.filter(pk__in=files).delete()
    Job.objects.all().delete()
    versions_forget()
