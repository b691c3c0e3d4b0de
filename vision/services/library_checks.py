"""Whether the library that searches see is the library of the database, row by row."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cases.models import CaseImage
from vision.engine.images import load_image
from vision.engine.index import as_rows
from vision.engine.snapshots import SnapshotError
from vision.models import EmbeddingSpace
from vision.services.embedding import embedder_for, pictures_embed
from vision.services.library import Library
from vision.services.snapshots import library_members, members_chunks, snapshots_quarantined

#: Vectors differ between machines in the last digits; another picture or network gives far less.
_SAME_PICTURE = 0.999
_QUERIES = 100
_NAMED = 5


@dataclass
class LibraryReport:
    """What a check found. `problems` are sentences; without any the library is as in the database."""

    rows: int = 0
    embedded_again: int = 0
    recall: float | None = None
    problems: list[str] = field(default_factory=list)


def library_verify(
    space: EmbeddingSpace,
    *,
    sample: int = 20,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> LibraryReport:
    """Hash the snapshot, compare every id and vector with the database, and embed some pictures again.

    `recall` is the share of the true ten nearest that searches find, over a sample of the library.
    """
    report = LibraryReport()
    library = Library(space)
    library.refresh()
    if library.snapshot:
        progress("hash", 0, 1)
        try:
            library.snapshot.verify()
        except SnapshotError as error:
            report.problems.append(str(error))
    for folder in snapshots_quarantined(space):
        report.problems.append(f"{folder} was put aside: see the log. Delete it when you have seen it.")
    known = library.ids()
    in_database = _compare(library, known, report, progress)
    extra = np.setdiff1d(known, in_database)
    if len(extra):
        report.problems.append(_sentence(len(extra), extra, "found by searches, but not in the database"))
    rng = np.random.default_rng(seed)
    _embed_again(space, rng.permutation(in_database)[:sample], report, progress)
    report.recall = _recall(library, rng.permutation(in_database)[:_QUERIES])
    return report


def _compare(library, known, report, progress) -> np.ndarray:
    members = library_members(library.space)
    total = members.count()
    seen, missing, different = [], [], []
    for ids, vectors in members_chunks(members, library.space.dimension):
        seen.append(ids)
        missing.extend(np.setdiff1d(ids, known).tolist())
        rows = as_rows(vectors, library.space.dimension, "l2")
        for image_id, row in zip(ids.tolist(), rows, strict=True):
            here = library.vector(image_id)
            if here is not None and not np.allclose(here, row, atol=1e-3):
                different.append(image_id)
        report.rows += len(ids)
        progress("compare", report.rows, total)
    if missing:
        report.problems.append(_sentence(len(missing), missing, "in the database, but found by no search"))
    if different:
        report.problems.append(_sentence(len(different), different, "searched by another vector than stored"))
    return np.concatenate(seen) if seen else np.empty(0, np.int64)


def _embed_again(space, ids, report, progress):
    images = CaseImage.objects.filter(pk__in=ids.tolist()).select_related("file")
    for done, image in enumerate(images):
        progress("embed", done, len(ids))
        with image.file.original.open("rb") as original:
            picture = load_image(original.read(), fit=embedder_for(space).spec.input_size)
        fresh = pictures_embed([picture], space)
        _, stored = next(members_chunks(library_members(space).filter(image=image), space.dimension))
        if float(fresh[0] @ stored[0]) < _SAME_PICTURE:
            report.problems.append(f"Image {image.pk}: embedding it again gives another vector than stored.")
        report.embedded_again += 1


def _recall(library, ids) -> float | None:
    shares = []
    for image_id in ids.tolist():
        vector = library.vector(image_id)
        if vector is None:
            continue
        exclude = np.array([image_id], np.int64)
        found, true = (
            library.search(vector, 10, exclude=exclude, exactly=exactly).image_ids
            for exactly in (False, True)
        )
        if len(true):
            shares.append(len(np.intersect1d(found, true)) / len(true))
    return float(np.mean(shares)) if shares else None


def _sentence(count, ids, what) -> str:
    named = ", ".join(str(image_id) for image_id in list(ids)[:_NAMED])
    return f"{count} images are {what}: {named}{', …' if count > _NAMED else ''}."
