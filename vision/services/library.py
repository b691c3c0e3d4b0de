"""The similarity library of this process: a FAISS index kept up to date by the change log of the database."""

from dataclasses import dataclass
from threading import RLock

import numpy as np
from django.conf import settings
from django.db.models import Max

from cases.models import CaseImage
from vision.engine.index import ExactIndex
from vision.models import Embedding, EmbeddingSpace, LibraryChange
from vision.services.embedding import space_current, vectors_unpack

#: Rows that travel from the database at a time.
_CHUNK = 5_000


@dataclass(frozen=True)
class Neighbours:
    """The answer to one query vector: image ids and similarities, nearest first, at one watermark."""

    image_ids: np.ndarray
    similarities: np.ndarray
    watermark: int
    library_size: int


class Library:
    """All labelled images of one embedding space, as of the last committed change at each search."""

    def __init__(self, space: EmbeddingSpace):
        self.space = space
        self.watermark = 0
        self._index = ExactIndex(space.dimension, metric=settings.METRIC)
        self._loaded = False
        self._lock = RLock()

    def refresh(self) -> None:
        """Apply every change since the last call: at first the whole library, then a small delta."""
        with self._lock:
            if not self._loaded:
                self._load()
            self._apply_changes()

    def search(
        self,
        vector: np.ndarray,
        top_k: int,
        *,
        exclude: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> Neighbours:
        """The `top_k` most similar images to a float32 (d,) unit vector, exactly.

        `exclude` and `allowed` are int64 arrays of image ids. Fewer come back when the library has fewer.
        """
        with self._lock:
            self.refresh()
            similarities, ids = self._index.search(
                vector[None, :], min(top_k, max(len(self._index), 1)), exclude=exclude, allowed=allowed
            )
            found = ids[0] >= 0
            return Neighbours(ids[0][found], similarities[0][found], self.watermark, len(self._index))

    def vectors(self, newest: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Image ids (int64) and their vectors, float32 (n, d), from the database: all, or the newest."""
        stored = list(_members(self.space).order_by("-image_id").values_list("image_id", "vector")[:newest])
        ids = np.array([image_id for image_id, _ in stored], dtype=np.int64)
        return ids, vectors_unpack([vector for _, vector in stored], self.space.dimension)

    def __len__(self):
        return len(self._index)

    def _load(self):
        # The watermark is read first: what is committed meanwhile comes twice, and adding twice is harmless.
        self.watermark = LibraryChange.objects.filter(space=self.space).aggregate(last=Max("id"))["last"] or 0
        self._add(_members(self.space))
        self._loaded = True

    def _apply_changes(self):
        changes = list(
            LibraryChange.objects.filter(space=self.space, id__gt=self.watermark)
            .order_by("id")
            .values_list("id", "image_id", "operation")
        )
        if not changes:
            return
        last_operation = {image_id: operation for _, image_id, operation in changes}
        added = [i for i, operation in last_operation.items() if operation == LibraryChange.Operation.ADD]
        self._index.remove(np.array(list(last_operation), dtype=np.int64))
        for start in range(0, len(added), _CHUNK):
            self._add(_members(self.space).filter(image_id__in=added[start : start + _CHUNK]))
        self.watermark = changes[-1][0]

    def _add(self, embeddings):
        ids, vectors = [], []
        for image_id, vector in embeddings.values_list("image_id", "vector").iterator(_CHUNK):
            ids.append(image_id)
            vectors.append(vector)
            if len(ids) == _CHUNK:
                self._index.add(np.array(ids, dtype=np.int64), vectors_unpack(vectors, self.space.dimension))
                ids, vectors = [], []
        if ids:
            self._index.add(np.array(ids, dtype=np.int64), vectors_unpack(vectors, self.space.dimension))


def _members(space):
    """The embeddings that belong to the library: of diagnostic images with a confirmed category."""
    return Embedding.objects.filter(space=space, image__in=CaseImage.objects.diagnostic().labelled())


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
