"""The similarity library of this process: a snapshot, kept up to date by the change log of the database."""

from dataclasses import dataclass
from threading import RLock

import numpy as np
from django.conf import settings

from vision.engine.index import ExactIndex
from vision.engine.snapshot_generations import generations
from vision.engine.snapshots import Snapshot, SnapshotError
from vision.models import EmbeddingSpace, LibraryChange
from vision.services.embedding import space_current, vectors_unpack
from vision.services.snapshots import (
    CHUNK,
    change_mark,
    library_members,
    members_chunks,
    snapshot_open,
    snapshot_refuse,
    snapshots_folder,
)


@dataclass(frozen=True)
class Neighbours:
    """The answer to one query vector: image ids and similarities, nearest first, at one watermark."""

    image_ids: np.ndarray
    similarities: np.ndarray
    watermark: int
    library_size: int


class Library:
    """All labelled images of one embedding space, as of the last committed change at each search.

    What was labelled up to a snapshot is read from there, what came since from a small exact index beside it.
    Without a snapshot everything is in the latter.
    """

    def __init__(self, space: EmbeddingSpace):
        self.space = space
        self.watermark = 0
        self.snapshot: Snapshot | None = None
        self._loaded = False
        self._lock = RLock()

    def refresh(self) -> None:
        """Apply every change since the last call: at first the whole library, then a small delta."""
        with self._lock:
            if not self._loaded or (self._renewal_is_due() and self._newer_snapshot()):
                self._load()
            if not self._apply_changes():
                # The database was put back to an older state, so nothing that is known here holds.
                self._load()
                self._apply_changes()

    def search(
        self,
        vector: np.ndarray,
        top_k: int,
        *,
        exclude: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
        exactly: bool = False,
    ) -> Neighbours:
        """The `top_k` most similar images to a float32 (d,) unit vector.

        `exclude` and `allowed` are int64 arrays of image ids. Fewer come back when the library has fewer.
        Similarities are exact; with an approximate snapshot one in a hundred neighbours may be missed, unless
        `exactly` is asked for.
        """
        while True:
            with self._lock:
                self.refresh()
                snapshot, watermark, size = self.snapshot, self.watermark, len(self)
                depth = min(top_k, max(size, 1))
                without = self._hidden_ids
                found = [self._delta.search(vector[None, :], depth, exclude=exclude, allowed=allowed)]
            # A snapshot never changes, so many threads may search it at once.
            if snapshot:
                if exclude is not None:
                    without = np.concatenate([without, exclude])
                try:
                    found.append(
                        snapshot.search(
                            vector[None, :], depth, without=without, allowed=allowed, exactly=exactly
                        )
                    )
                except SnapshotError as error:
                    self._give_up(snapshot, error)
                    continue
            similarities = np.concatenate([scores[0] for scores, _ in found])
            ids = np.concatenate([ids[0] for _, ids in found])
            order = np.lexsort((ids, -similarities))[:depth]
            order = order[ids[order] >= 0]
            return Neighbours(ids[order], similarities[order], watermark, size)

    def vectors(self, newest: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Image ids (int64) and their vectors, float32 (n, d), from the database: all, or the newest."""
        members = library_members(self.space).order_by("-image_id")
        stored = list(members.values_list("image_id", "vector")[:newest])
        ids = np.array([image_id for image_id, _ in stored], dtype=np.int64)
        return ids, vectors_unpack([vector for _, vector in stored], self.space.dimension)

    def __len__(self):
        return len(self._delta) + (len(self.snapshot) - len(self._hidden) if self.snapshot else 0)

    @property
    def changed(self) -> int:
        """Images that are looked up beside the snapshot, or hidden in it."""
        return len(self._delta) + len(self._hidden)

    def ids(self) -> np.ndarray:
        """Ids of all images that a search can find, int64, ascending."""
        with self._lock:
            self.refresh()
            kept = np.asarray(self.snapshot.ids) if self.snapshot else np.empty(0, np.int64)
            return np.union1d(np.setdiff1d(kept, self._hidden_ids), self._delta.ids())

    def vector(self, image_id: int) -> np.ndarray | None:
        """The vector by which searches compare an image, float32 (d,); None when they don't know it."""
        with self._lock:
            if image_id in self._delta:
                return self._delta.vector(image_id)
            if self.snapshot is None or image_id in self._hidden:
                return None
            positions = self.snapshot.positions(np.array([image_id], np.int64))
            return self.snapshot.vectors(positions)[0] if len(positions) else None

    def _give_up(self, snapshot: Snapshot, error: SnapshotError) -> None:
        with self._lock:
            if self.snapshot is snapshot:
                snapshot_refuse(snapshot.folder, error)
                self._load()

    def _renewal_is_due(self) -> bool:
        # The collection of an older snapshot is dropped with it, whoever still searches that one.
        return self.changed >= settings.SNAPSHOT_CHANGES or bool(self.snapshot and self.snapshot.problem)

    def _newer_snapshot(self) -> bool:
        names = [folder.name for folder in generations(snapshots_folder(self.space))[:1]]
        return bool(names) and (self.snapshot is None or names[0] > self.snapshot.folder.name)

    def _load(self):
        self._delta = ExactIndex(self.space.dimension, metric=settings.METRIC)
        # Images of the snapshot that went out or came in anew since.
        self._hidden: set[int] = set()
        self._hidden_ids = np.empty(0, np.int64)
        self.snapshot = snapshot_open(self.space)
        if self.snapshot:
            self.watermark, self._mark = self.snapshot.manifest.watermark, self.snapshot.manifest.mark
        else:
            # The watermark is read first: what is committed meanwhile comes twice, which is harmless.
            last = LibraryChange.objects.filter(space=self.space).last()
            self.watermark, self._mark = (last.pk, change_mark(last)) if last else (0, "")
            self._add(library_members(self.space))
        self._loaded = True

    def _apply_changes(self) -> bool:
        """False when the database no longer knows the change up to which this library is."""
        changes = list(LibraryChange.objects.filter(space=self.space, pk__gte=self.watermark).order_by("pk"))
        if self.watermark:
            if not changes or changes[0].pk != self.watermark or change_mark(changes[0]) != self._mark:
                return False
            changes = changes[1:]
        if not changes:
            return True
        last_operation = {change.image_id: change.operation for change in changes}
        added = [i for i, operation in last_operation.items() if operation == LibraryChange.Operation.ADD]
        self._delta.remove(np.array(list(last_operation), dtype=np.int64))
        if self.snapshot:
            self._hidden.update(i for i in last_operation if i in self.snapshot)
            self._hidden_ids = np.fromiter(self._hidden, np.int64, len(self._hidden))
        for start in range(0, len(added), CHUNK):
            self._add(library_members(self.space).filter(image_id__in=added[start : start + CHUNK]))
        self.watermark, self._mark = changes[-1].pk, change_mark(changes[-1])
        return True

    def _add(self, members):
        for ids, vectors in members_chunks(members, self.space.dimension):
            self._delta.add(ids, vectors)


_libraries: dict[int, Library] = {}
_opening = RLock()


def library_current() -> Library:
    """The library of the active space in this process."""
    space = space_current()
    with _opening:
        if space.pk not in _libraries:
            _libraries.clear()
            _libraries[space.pk] = Library(space)
        return _libraries[space.pk]
