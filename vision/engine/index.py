"""Nearest neighbours in a library of embeddings: the contract, and the exact engine.

The database is the truth and an index is a cache of it, so an index knows only ids and vectors. Every
engine promises the same: ids are unique, adding an id again replaces its vector, similarity is higher for
what is nearer, and a filter never costs results (ask for 10 of an allowed set, get 10 if it holds 10).
"""

import threading
from collections.abc import Iterable
from functools import cache
from typing import Literal, Protocol

import numpy as np

Metric = Literal["cosine", "l2"]
METRICS: tuple[Metric, ...] = ("cosine", "l2")
NO_ID = -1
#: FAISS would switch to BLAS, which spins up threads, at 20 queries; its own kernels are faster until here.
_BLAS_QUERIES = 800


class LibraryIndex(Protocol):
    """What every engine of the similarity library offers. Ids are int64 and not negative."""

    dimension: int
    metric: Metric

    def __len__(self) -> int: ...

    def __contains__(self, id: int) -> bool: ...

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add (n,) ids with (n, dimension) vectors; an id that is there already gets the new vector."""

    def remove(self, ids: Iterable[int]) -> int:
        """Take ids out, ignoring those that are absent; returns how many were there."""

    def search(
        self,
        queries: np.ndarray,
        top_k: int,
        *,
        exclude: Iterable[int] | None = None,
        allowed: Iterable[int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest `top_k` of each of (m, dimension) queries among `allowed` (default all) without `exclude`.

        Returns float32 similarities and int64 ids, both (m, top_k), nearest first; missing places hold -inf
        and -1. Cosine similarity lies in -1 to 1, L2 similarity is 1 / (1 + distance).
        """


class ExactIndex:
    """Exhaustive search in float32 with FAISS; safe to share between threads.

    With the metric "cosine" vectors and queries are brought to unit length here, so what was stored in
    float16 is compared as the cosine again. Raises ValueError for wrong shapes and for NaN or infinity.
    """

    def __init__(self, dimension: int, metric: Metric = "cosine"):
        if metric not in METRICS:
            raise ValueError(f"Unknown metric {metric!r}: use one of {', '.join(METRICS)}.")
        self.dimension = dimension
        self.metric = metric
        faiss = faiss_loaded()
        flat = faiss.IndexFlatIP(dimension) if metric == "cosine" else faiss.IndexFlatL2(dimension)
        self._index = faiss.IndexIDMap2(flat)
        self._ids: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: int) -> bool:
        return int(id) in self._ids

    def ids(self) -> np.ndarray:
        """All ids, int64, ascending."""
        return np.sort(np.fromiter(self._ids, np.int64, len(self._ids)))

    def vector(self, id: int) -> np.ndarray:
        """The vector of an id that is here, float32 (dimension,)."""
        return self._index.reconstruct(id)

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        ids = as_ids(ids)
        vectors = as_rows(vectors, self.dimension, self.metric)
        if len(ids) != len(vectors):
            raise ValueError(f"{len(ids)} ids were given for {len(vectors)} vectors.")
        # Of an id given twice in one call the last vector counts, as it would in two calls.
        _, newest = np.unique(ids[::-1], return_index=True)
        keep = np.sort(len(ids) - 1 - newest)
        ids, vectors = ids[keep], np.ascontiguousarray(vectors[keep])
        with self._lock:
            self._remove(self._ids.intersection(ids.tolist()))
            self._index.add_with_ids(vectors, ids)
            self._ids.update(ids.tolist())

    def remove(self, ids: Iterable[int]) -> int:
        with self._lock:
            return self._remove(self._ids.intersection(as_ids(ids).tolist()))

    def search(
        self,
        queries: np.ndarray,
        top_k: int,
        *,
        exclude: Iterable[int] | None = None,
        allowed: Iterable[int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        queries = as_rows(queries, self.dimension, self.metric)
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}.")
        faiss = faiss_loaded()
        # The selectors point at each other and at these arrays: all must outlive the search.
        selector = None
        excluded = as_ids(exclude if exclude is not None else [])
        if len(excluded):
            excluded_batch = faiss.IDSelectorBatch(excluded)
            selector = without = faiss.IDSelectorNot(excluded_batch)
        if allowed is not None:
            selector = only = faiss.IDSelectorBatch(as_ids(allowed))
            if len(excluded):
                selector = faiss.IDSelectorAnd(only, without)
        parameters = faiss.SearchParameters(sel=selector) if selector is not None else None
        scores = np.full((len(queries), top_k), -np.inf, np.float32)
        ids = np.full((len(queries), top_k), NO_ID, np.int64)
        with self._lock:
            reachable = min(top_k, len(self._ids))
            if reachable and len(queries):
                found_scores, found_ids = self._index.search(queries, reachable, params=parameters)
                scores[:, :reachable] = self._as_similarity(found_scores)
                ids[:, :reachable] = found_ids
        scores[ids == NO_ID] = -np.inf
        order = np.lexsort((ids, -scores))  # equal similarity: by id, so that answers repeat
        return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)

    def _remove(self, ids: set[int]) -> int:
        if ids:
            self._index.remove_ids(np.fromiter(ids, np.int64, len(ids)))
            self._ids -= ids
        return len(ids)

    def _as_similarity(self, scores: np.ndarray) -> np.ndarray:
        if self.metric == "cosine":
            return np.clip(scores, -1, 1)
        return 1 / (1 + np.sqrt(np.maximum(scores, 0)))


def similarity_of_cosine(cosine: np.ndarray, metric: Metric) -> np.ndarray:
    """What an index with `metric` calls the similarity of unit vectors with these cosines."""
    if metric == "cosine":
        return cosine
    return 1 / (1 + np.sqrt(np.maximum(2 - 2 * cosine, 0)))


def as_rows(vectors: np.ndarray, dimension: int, metric: Metric) -> np.ndarray:
    """A copy as float32 (n, dimension) rows, of unit length for "cosine". Raises ValueError."""
    rows = np.array(vectors, np.float32, order="C", ndmin=2)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise ValueError(f"Vectors of shape {rows.shape} do not fit an index of dimension {dimension}.")
    if not np.isfinite(rows).all():
        raise ValueError("A vector holds NaN or infinity.")
    if metric == "cosine":
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def as_ids(ids: Iterable[int]) -> np.ndarray:
    """Ids as int64 (n,). Raises ValueError for negative ones."""
    if not isinstance(ids, np.ndarray):
        ids = list(ids)
    array = np.ascontiguousarray(ids, np.int64).reshape(-1)
    if len(array) and array.min() < 0:
        raise ValueError(f"Ids must not be negative, but one is {array.min()}.")
    return array


def faiss_loaded():
    """FAISS, imported on first use and never before a fork; one thread, since requests run side by side."""
    faiss = _faiss_imported()
    # OpenMP keeps this for each thread that calls. In others a search would start threads of its own, which
    # spin on the cores that the searches of other threads need.
    faiss.omp_set_num_threads(1)
    return faiss


@cache
def _faiss_imported():
    import faiss

    faiss.cvar.distance_compute_blas_threshold = _BLAS_QUERIES
    return faiss
