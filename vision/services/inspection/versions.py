"""Versions of inspectors: where they lie, which one serves, and opening it in this process."""

import shutil
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from vision.engine.array_folder import FolderError
from vision.engine.backbones import get_backbone
from vision.models import Inspector, InspectorVersion
from vision.services.weights import weights_of

if TYPE_CHECKING:
    from vision.engine.mapped_pictures import PictureMapper
    from vision.engine.part_inspector import PartInspector

State = InspectorVersion.State
_opening = Lock()
#: Versions of this process by their row: opened in milliseconds, and their pages are shared.
_opened: dict[int, "PartInspector"] = {}
_OPENED = 16


class InspectorUnusable(Exception):
    """An inspector can't inspect now; the sentence says why, and what to do."""


def version_folder(inspector: Inspector, number: int) -> Path:
    """Where what a version learned lies."""
    return settings.FAULTDIAG_DATA / "inspectors" / str(inspector.pk) / str(number)


def version_number_next(inspector: Inspector) -> int:
    """The number of the next version, for whom a folder of an unfinished training is cleared away."""
    last = inspector.versions.aggregate(last=Max("number"))["last"] or 0
    shutil.rmtree(version_folder(inspector, last + 1), ignore_errors=True)
    return last + 1


def version_active(inspector: Inspector) -> InspectorVersion:
    """The version that serves, as the database says now. Raises InspectorUnusable when there is none."""
    version = inspector.versions.filter(state=State.ACTIVE).select_related("inspector").first()
    if version is None:
        trained = inspector.versions.exists()
        raise InspectorUnusable(
            f"No version of {inspector} is active: activate one on its page."
            if trained
            else f"{inspector} has not been trained yet: give it pictures of good parts and train it."
        )
    return version


def version_open(version: InspectorVersion) -> "PartInspector":
    """What a version learned, opened once in a process. Raises InspectorUnusable, WeightsError."""
    # It brings torch, which must not be there before a fork.
    from vision.engine.part_inspector import PartInspector

    with _opening:
        if version.pk not in _opened:
            folder = version_folder(version.inspector, version.number)
            mapper = mapper_of(version.backbone, version.weights_sha256, version.resolution)
            try:
                opened = PartInspector.open(folder, mapper, threads=settings.THREADS or 1)
            except FolderError as error:
                raise InspectorUnusable(
                    f"{version} can't be opened: {error} Train the inspector again, or activate another"
                    " version."
                ) from error
            while len(_opened) >= _OPENED:
                _opened.pop(next(iter(_opened)))
            _opened[version.pk] = opened
        return _opened[version.pk]


def versions_forget() -> int:
    """Have every version opened again at its next use; returns how many were open in this process."""
    with _opening:
        count = len(_opened)
        _opened.clear()
    return count


def version_activate(version: InspectorVersion, *, user=None) -> InspectorVersion:
    """Have a version serve instead of the present one. Raises InspectorUnusable when it can't be opened."""
    version_open(version)
    with transaction.atomic():
        Inspector.objects.select_for_update(no_key=True).get(pk=version.inspector_id)
        InspectorVersion.objects.filter(inspector=version.inspector_id, state=State.ACTIVE).update(
            state=State.RETIRED
        )
        InspectorVersion.objects.filter(pk=version.pk).update(
            state=State.ACTIVE, activated_by=user, activated_at=timezone.now()
        )
    version.refresh_from_db()
    return version


def mapper_of(
    backbone: str, weights_sha256: str, resolution: int | None, device: str | None = None
) -> "PictureMapper":
    """What maps pictures by a network, built once in a process. Raises WeightsError.

    `resolution` in pixels, None for the network's own.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return _mapper(backbone, weights_sha256, resolution or get_backbone(backbone).input_size, device)


@lru_cache(maxsize=4)
def _mapper(backbone: str, weights_sha256: str, resolution: int, device: str) -> "PictureMapper":
    from vision.engine.mapped_pictures import PictureMapper

    path = weights_of(backbone, weights_sha256)
    return PictureMapper(backbone, path, resolution=resolution, device=device)
