"""Snapshots of the library on this machine's disk: built by a worker, opened by every process."""

import errno
import fcntl
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from django.conf import settings
from django.db.models import QuerySet

from cases.models import CaseImage, Job
from cases.services.jobs import JobProgress, job_create
from cases.services.moments import is_recent, long_ago
from vision.engine.candidates import RECALL_AIMED
from vision.engine.snapshot_generations import (
    generation_next,
    generations,
    snapshot_publish,
    snapshot_quarantine,
    snapshots_prune,
)
from vision.engine.snapshots import Manifest, Snapshot, SnapshotError, snapshot_write
from vision.models import Embedding, EmbeddingSpace, LibraryChange
from vision.services.embedding import space_current, vectors_unpack
from vision.services.milvus import collection_lost, collection_plan, collections_clear, milvus_current

logger = logging.getLogger(__name__)

BUILD_KIND = "vision.tasks.build_snapshot"
#: Generations that stay: the one that serves, and one to fall back on.
_KEPT = 2
#: Rows that travel from the database at a time.
CHUNK = 5_000
_RETRY_AFTER = timedelta(hours=1)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: What a snapshot takes on the disk: id, checksum and place in a cell; each number as float16 and as a code.
_BYTES_A_ROW, _BYTES_A_NUMBER = 20, 3


class SnapshotBusy(Exception):
    """Another process builds a snapshot of this space."""


class SnapshotUnwritten(Exception):
    """The disk took no snapshot, or not all of it; the text says why, and what to do."""


def library_members(space: EmbeddingSpace) -> QuerySet:
    """The embeddings that belong to the library: of diagnostic images with a confirmed category."""
    return Embedding.objects.filter(space=space, image__in=CaseImage.objects.diagnostic().labelled())


def members_chunks(members: QuerySet, dimension: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image ids (int64) and vectors (float32) of embeddings, in ascending order of id."""
    ids, vectors = [], []
    rows = members.order_by("image_id").values_list("image_id", "vector")
    for image_id, vector in rows.iterator(CHUNK):
        ids.append(image_id)
        vectors.append(vector)
        if len(ids) == CHUNK:
            yield np.array(ids, np.int64), vectors_unpack(vectors, dimension)
            ids, vectors = [], []
    if ids:
        yield np.array(ids, np.int64), vectors_unpack(vectors, dimension)


def change_mark(change: LibraryChange | None) -> str:
    """What tells this change from one that got the same number after the database was put back."""
    if change is None:
        return ""
    return f"{change.image_id} {change.operation} {change.made_at.isoformat()}"


def snapshots_folder(space: EmbeddingSpace) -> Path:
    """Where the snapshots of a space lie; each metric has its own."""
    return settings.FAULTDIAG_DATA / "library" / space.slug / settings.METRIC


def snapshot_open(space: EmbeddingSpace) -> Snapshot | None:
    """The newest good snapshot; those that are damaged or not of this database are put aside and reported."""
    for folder in generations(snapshots_folder(space)):
        try:
            snapshot = Snapshot.open(
                folder, space=space.slug, metric=settings.METRIC, milvus=milvus_current()
            )
            _belongs_check(snapshot.manifest, space, folder)
            return snapshot
        except SnapshotError as error:
            snapshot_refuse(folder, error)
    return None


def _belongs_check(manifest: Manifest, space: EmbeddingSpace, folder: Path) -> None:
    change = LibraryChange.objects.filter(space=space, pk=manifest.watermark).first()
    if change_mark(change) != manifest.mark:
        raise SnapshotError(
            f"{folder} was made from another state of the database: its change {manifest.watermark} is not "
            "there. Was a backup restored?"
        )


def snapshot_refuse(folder: Path, error: SnapshotError) -> None:
    """Report a snapshot that can't be used and put it aside; the library is served without it."""
    logger.error("A snapshot of the library is put aside: %s", error)
    try:
        snapshot_quarantine(folder)
    except OSError as problem:
        logger.error("%s could not be renamed: %s", folder, problem)


def snapshot_newest(space: EmbeddingSpace) -> tuple[Path, Manifest] | None:
    """Folder and manifest of the newest snapshot, which is not opened."""
    for folder in generations(snapshots_folder(space)):
        try:
            return folder, Manifest.read(folder)
        except SnapshotError:
            continue
    return None


def snapshots_quarantined(space: EmbeddingSpace) -> list[Path]:
    """Snapshots of a space that were put aside."""
    return sorted(snapshots_folder(space).glob("*.quarantined"))


def snapshot_write_current(
    space: EmbeddingSpace,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
    *,
    recall_aimed: float = RECALL_AIMED,
) -> Path:
    """Write a snapshot of the library as the database has it, and make it the newest.

    Raises SnapshotBusy when another process does so, SnapshotUnwritten when the disk is full; then nothing
    has changed.
    """
    parent = snapshots_folder(space)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _only_builder(parent):
            return _write(space, parent, progress, recall_aimed)
    except OSError as error:
        raise SnapshotUnwritten(_unwritten(space, parent, error)) from error


def _unwritten(space: EmbeddingSpace, parent: Path, error: OSError) -> str:
    needed = library_members(space).count() * (_BYTES_A_ROW + _BYTES_A_NUMBER * space.dimension)
    free = shutil.disk_usage(parent if parent.exists() else settings.FAULTDIAG_DATA).free
    what_to_do = "Make room there" if error.errno in _NO_ROOM else "See to that"
    return (
        f"No snapshot was written into {parent}, and the library is served as before: "
        f"{error.strerror or error}. The disk has {_megabytes(free)} left; a snapshot takes about "
        f"{_megabytes(needed)}. {what_to_do}; a worker tries again in an hour, and at once does: "
        "manage.py library rebuild"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _write(space, parent, progress, recall_aimed) -> Path:
    for leftover in parent.glob(".unfinished-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    collections_clear(parent, space.slug)
    # The watermark is read first: what is committed meanwhile comes twice, which is harmless.
    last = LibraryChange.objects.filter(space=space).last()
    members = library_members(space)
    unfinished = Path(mkdtemp(prefix=".unfinished-", dir=parent))
    try:
        unfinished.chmod(0o755)
        manifest = snapshot_write(
            unfinished,
            space=space.slug,
            dimension=space.dimension,
            metric=settings.METRIC,
            count=members.count(),
            watermark=last.pk if last else 0,
            mark=change_mark(last),
            chunks=members_chunks(members, space.dimension),
            engine=None if settings.INDEX == "auto" else settings.INDEX,
            collection=collection_plan(parent, space.slug, generation_next(parent)),
            recall_aimed=recall_aimed,
            progress=progress,
        )
        folder = snapshot_publish(parent, unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if settings.INDEX == "milvus" and manifest.engine != "milvus":
        logger.warning("Snapshot %s: %s", folder.name, manifest.reason)
    snapshots_prune(parent, _KEPT)
    collections_clear(parent, space.slug)
    return folder


@contextmanager
def _only_builder(parent: Path):
    # The system gives the lock back when a process ends, however it ends.
    with (parent / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotBusy(f"Another process is writing a snapshot into {parent}.") from None
        yield


def snapshot_build(progress: JobProgress) -> None:
    """Write a snapshot of the active space, as a job."""
    space = space_current()
    told = 0.0
    rows = 0

    def tell(step: str, done: int, total: int) -> None:
        nonlocal told, rows
        rows = max(rows, total)
        if time.monotonic() - told > 1:
            told = time.monotonic()
            progress.start(total, f"Snapshot of the library: {step}", done=done)

    try:
        aimed = progress.job.parameters.get("recall_aimed", RECALL_AIMED)
        # FAISS trains cells for minutes without a word.
        with progress.alive():
            folder = snapshot_write_current(space, tell, recall_aimed=aimed)
    except SnapshotBusy as busy:
        progress.result = {"skipped": str(busy)}
        return
    progress.start(rows, f"Snapshot {folder.name} of the library is written", done=rows)
    progress.result = {"space": space.slug, "generation": folder.name}


def snapshot_keep(space: EmbeddingSpace) -> Job | None:
    """Have a worker write a snapshot once enough has changed since the newest; None when nothing is due.

    It is due as well when Milvus answers and has lost the newest one's collection, or never had it.
    """
    newest = snapshot_newest(space)
    since = newest[1].watermark if newest else 0
    if newest and collection_lost(newest[1]) and not _built_lately():
        return _build_start({})
    changes = LibraryChange.objects.filter(space=space, pk__gt=since)
    if changes.order_by("pk")[: settings.SNAPSHOT_CHANGES].count() < settings.SNAPSHOT_CHANGES:
        return None
    return _build_start({})


def snapshot_improve(manifest: Manifest) -> Job | None:
    """Have a worker write a snapshot that looks into more cells than this one, which found too little."""
    aimed = manifest.parameters.get("aimed", RECALL_AIMED)
    return _build_start({"recall_aimed": round((1 + aimed) / 2, 5)})


def _built_lately() -> bool:
    over = Job.objects.filter(kind=BUILD_KIND, finished_at__isnull=False)
    return over.exclude(long_ago("finished_at", _RETRY_AFTER)).exists()


def _build_start(parameters: dict) -> Job | None:
    """A job, unless one is at work or has just failed."""
    last = Job.objects.filter(kind=BUILD_KIND).first()
    if last and not last.is_over:
        return None
    if last and last.state == Job.State.FAILED and is_recent(last.finished_at, _RETRY_AFTER):
        return None
    return job_create(BUILD_KIND, parameters)
