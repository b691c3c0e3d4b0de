"""Snapshots of a library on disk: written once, checked, then only read, by all processes together.

A snapshot is a folder:

    ids.npy        int64 (n,), ascending
    checks.npy     uint32 (n,), CRC-32 of each stored vector
    vectors.faiss  the vectors, float16, as a flat FAISS index: what every answer is computed from
    cells.faiss    only of the engine "approximate": an inverted file with short codes that names candidates
                   (the engine "milvus" has a collection on a server for that, which the manifest names)
    manifest.json  counts, checksums, the space, the watermark, and how the engine was set

The files are memory-mapped: opening costs milliseconds, and processes share the pages. Only the few vectors
that candidates are compared by are read instead, as a page that is mapped brings its neighbours along.
A vector is compared with its CRC whenever it enters an answer, so damage is found before it is told.
"""

import hashlib
import json
import os
import weakref
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from vision.engine.candidates import (
    RECALL_AIMED,
    Engine,
    candidates_count,
    cells_named,
    cells_write,
    collection_write,
    engine_choose,
    faiss_metric,
)
from vision.engine.index import NO_ID, Metric, as_ids, as_rows, faiss_loaded
from vision.engine.milvus import MOST_CANDIDATES, Collection, MilvusAway, MilvusServer
from vision.engine.snapshot_files import array_write, index_write, sync

FORMAT = 2
MANIFEST = "manifest.json"
#: Snapshots up to this size are hashed whole when they are opened; of larger ones `verify` does it.
_HASHED_WHEN_OPENED = 64 * 2**20
#: Rows of a filter that are compared one by one rather than skipped over in a scan.
_GATHERED = 20_000


class SnapshotError(Exception):
    """A snapshot is damaged or belongs elsewhere; the text says what is wrong with which file."""


@dataclass(frozen=True)
class Manifest:
    """What a snapshot says of itself. `mark` identifies the change at the watermark, not only its number."""

    space: str
    dimension: int
    metric: Metric
    engine: Engine
    reason: str
    count: int
    watermark: int
    mark: str
    parameters: dict[str, float | str] = field(default_factory=dict)
    files: dict[str, dict[str, int | str]] = field(default_factory=dict)
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        content = asdict(self)
        content["digest"] = _digest(content)
        path = folder / MANIFEST
        path.write_text(json.dumps(content, indent=1, sort_keys=True))
        sync(path)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises SnapshotError when it is missing, damaged, or of a format that this version can't read."""
        try:
            content = json.loads((folder / MANIFEST).read_bytes())
            digest = content.pop("digest")
            if content["format"] != FORMAT:
                raise SnapshotError(f"{folder}/{MANIFEST} has format {content['format']}, not {FORMAT}.")
            if digest != _digest(content):
                raise SnapshotError(f"{folder}/{MANIFEST} is damaged: its digest does not fit its content.")
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotError(f"{folder}/{MANIFEST} can't be read ({error}).") from error


def snapshot_write(
    folder: Path,
    *,
    space: str,
    dimension: int,
    metric: Metric,
    count: int,
    watermark: int,
    mark: str,
    chunks: Iterable[tuple[np.ndarray, np.ndarray]],
    engine: Engine | None = None,
    collection: Collection | None = None,
    recall_aimed: float = RECALL_AIMED,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> Manifest:
    """Write a snapshot into an empty folder, from chunks of ids and float32 vectors in ascending order of id.

    `count` is the number of rows that are expected, for progress and the choice of the engine. `progress`
    gets the step's name, what is done and what there is to do. Everything has reached the disk on return.
    The engine "milvus" needs the `collection` to fill; if Milvus fails, the count chooses the engine, and the
    manifest's reason says so. Raises ValueError for ids out of order, OSError when the disk is full.
    """
    if engine == "milvus" and collection is None:
        raise ValueError("The engine milvus needs a collection to fill.")
    faiss = faiss_loaded()
    flat = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss_metric(metric))
    flat.is_trained = True
    ids, checks, last = [], [], -1
    progress("collect", 0, count)
    for chunk_ids, vectors in chunks:
        chunk_ids = as_ids(chunk_ids)
        if len(chunk_ids) and (chunk_ids[0] <= last or (np.diff(chunk_ids) <= 0).any()):
            raise ValueError("The ids of a snapshot must ascend.")
        if not len(chunk_ids):
            continue
        last = int(chunk_ids[-1])
        rows = as_rows(vectors, dimension, metric).astype("<f2")
        flat.add(rows.astype(np.float32))
        ids.append(chunk_ids)
        checks.append(np.array([zlib.crc32(row) for row in rows], np.uint32))
        progress("collect", flat.ntotal, max(count, flat.ntotal))
    all_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
    all_checks = np.concatenate(checks) if checks else np.empty(0, np.uint32)
    chosen, reason = engine_choose(len(all_ids))
    if engine is not None and engine != chosen:
        chosen, reason = engine, "The setting asks for it."
    progress("write", 0, 1)
    array_write(folder / "ids.npy", all_ids)
    array_write(folder / "checks.npy", all_checks)
    index_write(folder / "vectors.faiss", flat)
    parameters = {}
    if chosen == "milvus" and len(all_ids):
        try:
            parameters = collection_write(collection, flat, metric, recall_aimed, progress)
        except MilvusAway as away:
            chosen, reason = engine_choose(len(all_ids))
            reason = f"Milvus was not filled. {away} {reason}"
    if chosen == "approximate" and len(all_ids):
        parameters = cells_write(folder, flat, metric, recall_aimed, progress)
    files = {}
    for path in sorted(folder.iterdir()):
        progress("seal", len(files), len(files) + 1)
        sync(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    manifest = Manifest(
        space=space, dimension=dimension, metric=metric, engine=chosen, reason=reason, count=len(all_ids),
        watermark=watermark, mark=mark, parameters=parameters, files=files,
    )  # fmt: skip
    manifest.write(folder)
    sync(folder)
    progress("seal", 1, 1)
    return manifest


class Snapshot:
    """A snapshot that was opened: read-only, safe to share between threads. Use `Snapshot.open`."""

    def __init__(self, folder: Path, manifest: Manifest, milvus: MilvusServer | None = None):
        self.folder = folder
        self.manifest = manifest
        self.dimension, self.metric = manifest.dimension, manifest.metric
        self.ids = np.load(folder / "ids.npy", mmap_mode="r")
        self._checks = np.load(folder / "checks.npy", mmap_mode="r")
        faiss = faiss_loaded()
        vectors = folder / "vectors.faiss"
        self._flat = faiss.read_index(str(vectors), faiss.IO_FLAG_MMAP_IFC)
        # The codes are the end of the file, row by row.
        self._row_bytes = 2 * self.dimension
        self._rows_start = vectors.stat().st_size - self._row_bytes * len(self.ids)
        self._file = os.open(vectors, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._probes = int(manifest.parameters.get("probes", 0))
        self._depth = int(manifest.parameters.get("depth", 1))
        self._cells = None
        if "cells.faiss" in manifest.files:
            self._cells = faiss.read_index(str(folder / "cells.faiss"), faiss.IO_FLAG_MMAP_IFC)
        self._collection = None
        if milvus is not None and "collection" in manifest.parameters:
            self._collection = Collection(
                milvus, str(manifest.parameters["collection"]), int(manifest.parameters["effort"])
            )
        if not (len(self.ids) == len(self._checks) == self._flat.ntotal == manifest.count):
            raise SnapshotError(f"{folder} holds other numbers of rows than its manifest says.")

    @classmethod
    def open(
        cls, folder: Path, *, space: str, metric: Metric, milvus: MilvusServer | None = None
    ) -> "Snapshot":
        """Raises SnapshotError when it is truncated, damaged, incomplete, or of another space or metric.

        Without `milvus` a snapshot of that engine is searched exactly.
        """
        manifest = Manifest.read(folder)
        if (manifest.space, manifest.metric) != (space, metric):
            raise SnapshotError(
                f"{folder} holds the space {manifest.space} ({manifest.metric}), not {space} ({metric})."
            )
        for name, noted in manifest.files.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != noted["bytes"]:
                raise SnapshotError(f"{path} has {size} bytes, not {noted['bytes']}: it is not whole.")
        if sum(noted["bytes"] for noted in manifest.files.values()) <= _HASHED_WHEN_OPENED:
            _hashes_check(folder, manifest)
        try:
            return cls(folder, manifest, milvus)
        except (OSError, ValueError, RuntimeError) as error:
            raise SnapshotError(f"{folder} can't be opened ({error}).") from error

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: int) -> bool:
        return bool(len(self.positions(np.array([id], np.int64))))

    @property
    def problem(self) -> str:
        """Why searches compare every vector although Milvus should name candidates; else empty."""
        return self._collection.problem if self._collection else ""

    def positions(self, ids: np.ndarray) -> np.ndarray:
        """Rows of those of the ids (any order) that are here: int64, ascending."""
        ids = np.unique(ids)
        if not len(self.ids):
            return np.empty(0, np.int64)
        places = np.searchsorted(self.ids, ids)
        here = places < len(self.ids)
        here[here] = self.ids[places[here]] == ids[here]
        return places[here].astype(np.int64)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Stored vectors of these rows, float32. Raises SnapshotError when one is not what was written."""
        try:
            stored = self._stored(positions)
        except OSError as error:
            raise SnapshotError(f"{self.folder}/vectors.faiss can't be read ({error}).") from error
        checks = self._checks[positions].tolist()
        for position, check, row in zip(positions.tolist(), checks, stored, strict=True):
            if zlib.crc32(row) != check:
                raise SnapshotError(
                    f"{self.folder}/vectors.faiss is damaged: the vector of image {self.ids[position]} "
                    "is not what was written."
                )
        return np.frombuffer(b"".join(stored), "<f2").reshape(-1, self.dimension).astype(np.float32)

    def _stored(self, positions: np.ndarray) -> list[bytes]:
        places = (self._rows_start + self._row_bytes * positions).tolist()
        # What is not in memory yet is fetched from the disk all at once, rather than row by row.
        for place in places:
            os.posix_fadvise(self._file, place, self._row_bytes, os.POSIX_FADV_WILLNEED)
        return [os.pread(self._file, self._row_bytes, place) for place in places]

    def search(
        self,
        queries: np.ndarray,
        top_k: int,
        *,
        without: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
        exactly: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As LibraryIndex.search; `without` and `allowed` are ids. `exactly` asks nobody for candidates."""
        queries = as_rows(queries, self.dimension, self.metric)
        scores = np.full((len(queries), top_k), -np.inf, np.float32)
        ids = np.full((len(queries), top_k), NO_ID, np.int64)
        hidden = self.positions(without) if without is not None and len(without) else np.empty(0, np.int64)
        few, selected = None, None
        if allowed is not None:
            shown = np.setdiff1d(self.positions(allowed), hidden, assume_unique=True)
            few = shown if len(shown) <= _GATHERED else None
            selected = np.zeros(len(self), bool)
            selected[shown] = True
            reachable = len(shown)
        else:
            if len(hidden):
                selected = np.ones(len(self), bool)
                selected[hidden] = False
            reachable = len(self) - len(hidden)
        depth = min(top_k, reachable)
        if not depth:
            return scores, ids
        if few is not None:
            found = np.broadcast_to(few, (len(queries), len(few)))
        else:
            candidates = min(candidates_count(top_k, self._depth), reachable)
            found = self._named(queries, depth, candidates, selected, exactly)
        for row, (query, positions) in enumerate(zip(queries, found, strict=True)):
            scores[row, :depth], ids[row, :depth] = self._nearest(query, positions[positions >= 0], depth)
        return scores, ids

    def _named(self, queries, depth, candidates, selected, exactly):
        """Rows that may be the nearest, by query; at least `depth` of each."""
        if self._collection is not None and not exactly:
            found = self._named_by_milvus(queries, candidates, selected)
            if found is not None and ((found >= 0).sum(1) >= depth).all():
                return found
        faiss = faiss_loaded()
        bits = selector = None
        if selected is not None:
            bits = np.packbits(selected, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
        if self._cells is not None and not exactly:
            # A cell may hold nothing that is allowed: then more of them are looked into.
            found = cells_named(self._cells, queries, candidates, self._probes, selector)
            if ((found >= 0).sum(1) >= depth).all():
                return found
        parameters = faiss.SearchParameters(sel=selector) if selector is not None else None
        return self._flat.search(queries, candidates, params=parameters)[1]

    def _named_by_milvus(self, queries, candidates, selected):
        # Hidden rows are dropped here, so that an answer never rests on how Milvus reads a filter. When they
        # crowd out the others, too few are left, and every vector is compared.
        share = 1.0 if selected is None else selected.mean()
        count = min(int(candidates / share), len(self))
        if count > MOST_CANDIDATES:
            return None
        found = self._collection.nearest(queries, count)
        if found is not None:
            found[found >= len(self)] = -1
            if selected is not None:
                found[~selected[found]] = -1
        return found

    def _nearest(self, query, positions, depth):
        vectors = as_rows(self.vectors(positions), self.dimension, self.metric)
        if self.metric == "cosine":
            similarities = np.clip(vectors @ query, -1, 1)
        else:
            similarities = 1 / (1 + np.linalg.norm(vectors - query, axis=1))
        ids = np.asarray(self.ids[positions])
        best = np.lexsort((ids, -similarities))[:depth]
        return similarities[best], ids[best]

    def verify(self) -> None:
        """Hash every file. Raises SnapshotError when one is not what was written."""
        _hashes_check(self.folder, self.manifest)


def _hashes_check(folder: Path, manifest: Manifest) -> None:
    for name, noted in manifest.files.items():
        if _sha256(folder / name) != noted["sha256"]:
            raise SnapshotError(f"{folder / name} is damaged: its sha256 is not what was written.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
