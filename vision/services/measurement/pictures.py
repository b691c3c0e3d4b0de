"""Labelled pictures to measure on: of a folder, or of the library."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cases.models import CaseImage
from vision.engine.images import EXTENSIONS
from vision.services.library import library_current


class MeasureError(Exception):
    """Why nothing can be measured, as a sentence."""


@dataclass(frozen=True)
class Source:
    """A picture that has not been opened yet. Pictures of equal `case` show one piece; None is its own."""

    name: str
    label: str
    read: Callable[[], bytes]
    case: int | None = None


def folder_sources(folder: Path, limit: int | None = None) -> list[Source]:
    """The pictures of a folder that holds one folder per category; `limit` takes so many of each category.

    Raises MeasureError when there are fewer than two categories with two pictures.
    """
    if not folder.is_dir():
        raise MeasureError(f"{folder} is no folder. Name one that holds a folder of pictures per category.")
    sources = []
    for category in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in category.rglob("*") if path.suffix.lower()[1:] in EXTENSIONS)
        sources += [Source(str(path), category.name, path.read_bytes) for path in files[:limit]]
    require_two_categories([source.label for source in sources])
    return sources


def library_sources() -> tuple[list[Source], np.ndarray]:
    """The confirmed pictures of the library and their stored vectors, float32 (n, d)."""
    ids, vectors = library_current().vectors()
    images = (
        CaseImage.objects.labelled()
        .select_related("file", "confirmed_category")
        .in_bulk([int(image_id) for image_id in ids])
    )
    keep = np.array([int(image_id) in images for image_id in ids], dtype=bool)
    rows = [images[int(image_id)] for image_id in ids[keep]]
    sources = [
        Source(f"image {row.pk}", row.confirmed_category.code, _original_reader(row), row.case_id)
        for row in rows
    ]
    require_two_categories([source.label for source in sources])
    return sources, vectors[keep]


def _original_reader(image: CaseImage) -> Callable[[], bytes]:
    def read() -> bytes:
        with image.file.original.open("rb") as original:
            return original.read()

    return read


def require_two_categories(labels: list[str]) -> None:
    """Raises MeasureError unless there are two categories with two pictures each."""
    enough = [label for label, number in Counter(labels).items() if number >= 2]
    if len(enough) < 2:
        raise MeasureError(
            f"There are {len(labels)} labelled pictures with {len(enough)} categories of two or more:"
            " at least two such categories are needed to measure anything."
        )
