"""Drawn parts to inspect, and an inspector that has learned from some of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.db import transaction
from django.forms import model_to_dict
from PIL import Image

from cases.services.intake import Picture
from cases.services.jobs import job_run
from tests.hostile import saved
from vision.models import Inspection, Inspector, InspectorVersion
from vision.models.inspection import HoldOut
from vision.services.inspection.inspecting import pictures_inspect
from vision.services.inspection.inspectors import inspector_create
from vision.services.inspection.pictures import inspector_picture_add
from vision.services.inspection.training import inspector_train, inspector_train_start
from vision.services.inspection.versions import version_folder

WIDTH, HEIGHT = 160, 120
#: Good parts that the shared inspector learns from.
GOOD = 12
#: Allows verdicts with so few.
ALPHA = 0.1


def plate(seed: int, fault: tuple[int, int] | None = None, colour: tuple[float, ...] = (1, 1, 1)):
    """A grained plate with a bright bar; `fault` is where a dark blot of 24 x 24 pixels lies (x, y)."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 10, (HEIGHT, WIDTH))
    pixels[50:62] += 60
    if fault:
        x, y = fault
        pixels[y : y + 24, x : x + 24] -= 90
    pixels = pixels[..., None] * np.array(colour)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def plate_picture(seed: int, fault=None, name: str | None = None, **how) -> Picture:
    return Picture(name or f"plate{seed}.png", saved(plate(seed, fault, **how), "PNG"))


def mask_picture(fault: tuple[int, int], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Picture:
    """White where `plate` paints the fault."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[fault[1] : fault[1] + 24, fault[0] : fault[0] + 24] = 255
    return Picture("mask.png", saved(Image.fromarray(mask), "PNG"))


def other_product() -> Picture:
    """Nothing in it is like a plate."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    board = np.where((rows // 10 + columns // 10) % 2, 255, 0).astype(np.uint8)
    return Picture("board.png", saved(Image.fromarray(board), "PNG"))


def new_inspector(name: str = "Plate", good: int = GOOD, **fields) -> Inspector:
    """An inspector with pictures of so many good parts that has not learned yet."""
    inspector = inspector_create(name, **{"alpha": ALPHA, "hold_out": HoldOut.PARTS, **fields})
    for seed in range(good):
        inspector_picture_add(inspector, plate_picture(seed))
    return inspector


def train(inspector: Inspector) -> InspectorVersion:
    """Learn at once, as a worker would."""
    job = inspector_train_start(inspector, enqueue=False)
    with job_run(job.pk) as progress:
        return inspector_train(progress)


def inspect(inspector: Inspector, *pictures: Picture, **how) -> list[Inspection]:
    return pictures_inspect(inspector, pictures, **how)


@dataclass(frozen=True)
class Trained:
    """What a training left behind: the columns of its version, and a copy of its folder."""

    columns: dict
    folder: Path

    def restore(self, name: str = "Plate", **fields) -> Inspector:
        """An inspector as it was after this training, in the data folder of this moment."""
        inspector = new_inspector(name, **fields)
        version = InspectorVersion.objects.create(inspector=inspector, **self.columns)
        shutil.copytree(self.folder, version_folder(inspector, version.number))
        return inspector


def trained_once(folder: Path) -> Trained:
    """Train for real and keep what came of it: rows are rolled back, so that no test sees them."""
    with transaction.atomic():
        version = train(new_inspector())
        shutil.copytree(version_folder(version.inspector, version.number), folder)
        columns = model_to_dict(version, exclude=["id", "inspector", "job", "created_by", "activated_by"])
        transaction.set_rollback(True)
    return Trained(columns, folder)
