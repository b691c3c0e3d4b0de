"""Inspecting pictures of parts: verdict, where, how sure, and what was compared."""

import time
from collections.abc import Sequence

import numpy as np
from django.core.exceptions import ValidationError
from PIL import Image

from cases.models import ImageFile
from cases.services.intake import Picture, image_file_store, picture_check
from vision.engine.images import is_grey, load_image
from vision.engine.patchcore import GoodPatch, anomaly_map
from vision.engine.rejection import p_values
from vision.models import Evaluation, Inspection, Inspector, InspectorVersion
from vision.services.inspection.pictures import picture_load
from vision.services.inspection.versions import version_active, version_open

Verdict = Inspection.Verdict


def pictures_inspect(
    inspector: Inspector, pictures: Sequence[Picture], *, serial_number: str = "", user=None
) -> list[Inspection]:
    """Inspect uploaded pictures with the active version; each gets a row. All are stored, or none.

    Raises ValidationError (key "images"), InspectorUnusable, WeightsError, StorageAway.
    """
    version = version_active(inspector)
    version_open(version)  # before anything is stored
    infos = _pictures_check(pictures)
    files = [image_file_store(picture, info) for picture, info in zip(pictures, infos, strict=True)]
    rows = []
    for picture, file in zip(pictures, files, strict=True):
        row = image_inspect(version, file, load_image(picture.data), name=picture.name)
        row.serial_number, row.created_by = serial_number, user
        rows.append(row)
    return Inspection.objects.bulk_create(rows)


def _pictures_check(pictures: Sequence[Picture]):
    if not pictures:
        raise ValidationError({"images": "No picture was sent."}, code="no_files")
    infos, problems = [], []
    for picture in pictures:
        try:
            infos.append(picture_check(picture))
        except ValidationError as error:
            problems += error.messages
    if problems:
        raise ValidationError({"images": problems})
    return infos


def image_inspect(
    version: InspectorVersion,
    file: ImageFile,
    image: Image.Image | None = None,
    *,
    name: str = "",
    evaluation: Evaluation | None = None,
    truth: str = "",
) -> Inspection:
    """What a version says of one picture, as a row that is not saved yet.

    `image` is the decoded original, read from the storage when it is not given. Raises InspectorUnusable,
    WeightsError, PictureUnreadable, StorageAway.
    """
    started = time.perf_counter()
    model = version_open(version)
    image = image or picture_load(file)
    notes = []
    if version.is_grey and not is_grey(image):
        image = image.convert("L").convert("RGB")
        notes.append("The good parts are grey and this picture is not: it was compared without its colour.")
    seen = model.inspect([image])[0]
    is_foreign = version.foreign_from is not None and seen.typical > version.foreign_from
    if is_foreign:
        notes.insert(0, f"Nothing in it is like the good parts of {version.inspector}: is it the right part?")
    if version.threshold is None:
        notes.append(version.reason)
    verdict = _verdict(version, seen.score, is_foreign)
    regions = seen.regions
    if verdict == Verdict.FAIL and not regions:
        regions = (seen.hottest,)
        notes.append("No place of it stands out alone: the region is the most suspicious one.")
    return Inspection(
        version=version,
        file=file,
        name=name[-200:],
        verdict=verdict,
        score=seen.score,
        threshold=version.threshold,
        p_value=float(p_values(np.array(version.good_scores), seen.score)),
        is_foreign=is_foreign,
        notes=notes,
        regions=[_region(suspicion, version) for suspicion in regions],
        nearest=[_good_patch(patch, version) for patch in seen.hottest.nearest],
        grid=seen.grid.astype("<f2").tobytes(),
        grid_rows=seen.grid.shape[0],
        grid_columns=seen.grid.shape[1],
        milliseconds=round((time.perf_counter() - started) * 1000, 1),
        evaluation=evaluation,
        truth=truth,
    )


def _verdict(version: InspectorVersion, score: float, is_foreign: bool) -> str:
    if is_foreign:
        return Verdict.FAIL
    if version.threshold is None:
        return Verdict.UNDECIDED
    return Verdict.FAIL if score > version.threshold else Verdict.PASS


def _region(suspicion, version: InspectorVersion) -> dict:
    region = suspicion.region
    return {
        "box": list(region.box),
        "area": region.area,
        "peak": round(region.peak, 4),
        "peak_at": list(region.peak_at),
        "outline": [list(point) for point in region.outline],
        "nearest": [_good_patch(patch, version) for patch in suspicion.nearest],
    }


def _good_patch(patch: GoodPatch, version: InspectorVersion) -> dict:
    return {
        "sha256": version.learned_from[patch.picture],
        "box": list(patch.box),
        "distance": round(patch.distance, 4),
    }


def inspection_grid(inspection: Inspection) -> np.ndarray:
    """The anomaly of each place, float32 (rows, columns)."""
    flat = np.frombuffer(bytes(inspection.grid), "<f2").astype(np.float32)
    return flat.reshape(inspection.grid_rows, inspection.grid_columns)


def inspection_map(inspection: Inspection, *, longest: int | None = None) -> np.ndarray:
    """The anomaly at the size of the picture, float32 (height, width), `longest` at most."""
    file = inspection.file
    scale = min(1.0, longest / max(file.width, file.height)) if longest else 1.0
    size = (max(1, round(file.width * scale)), max(1, round(file.height * scale)))
    return anomaly_map(inspection_grid(inspection), size)
