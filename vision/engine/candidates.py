"""Which engine a snapshot gets, and the structures that name candidates for an exact comparison."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from vision.engine.index import Metric, faiss_loaded
from vision.engine.milvus import Collection
from vision.engine.snapshot_files import index_write

Engine = Literal["exact", "approximate", "milvus"]
Progress = Callable[[str, int, int], None]
#: From this count on candidates come from cells: a scan of fewer vectors takes under a millisecond.
APPROXIMATE_FROM = 50_000
#: Share of the true ten nearest that a snapshot with candidates promises, measured when it is built.
RECALL_PROMISED = 0.99
RECALL_AIMED = 0.995
_CHUNK = 20_000
_CALIBRATION_QUERIES = 200
_TRAINING_VECTORS_PER_CELL = 64
#: Bits for each number of a code; more are tried when fewer don't do.
_CODE_BITS = (1, 4)
#: Bits for each number of a query that is compared with codes.
_QUERY_BITS = 8
_DEPTHS = (1, 2, 4, 8)
_MILVUS_EFFORTS = (128, 256, 512, 1024, 2048)


def engine_choose(count: int) -> tuple[Engine, str]:
    """The engine for so many vectors, and why, as a sentence. Milvus is only ever chosen by the setting."""
    if count < APPROXIMATE_FROM:
        return "exact", f"Every vector is compared: there are fewer than {APPROXIMATE_FROM:,}."
    return "approximate", (
        f"From {APPROXIMATE_FROM:,} vectors on, cells name candidates, which are then compared exactly."
    )


def candidates_count(top_k: int, depth: int = 1) -> int:
    """How many to compare exactly for an answer of `top_k`, as short codes misplace some of the nearest.

    `depth` is how many times as many the codes of a snapshot were found to need.
    """
    return depth * (4 * top_k + 60)


def faiss_metric(metric: Metric) -> int:
    faiss = faiss_loaded()
    return faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2


def cells_write(folder: Path, flat, metric: Metric, aimed: float, progress: Progress) -> dict[str, float]:
    """Write `cells.faiss`, an inverted file over the vectors of a flat index that is not empty.

    Its codes have one bit for each number of a vector (RaBitQ), so that a library's codes fit into any
    process; only where that names too few of the nearest they have more. Returns what the manifest notes: how
    many cells there are, how many to look into, how deep, the bits, and the recall at that.
    """
    yardstick = _Yardstick(flat)
    cells = min(2 ** int(np.clip(np.round(np.log2(4 * flat.ntotal**0.5)), 0, 14)), max(1, flat.ntotal // 8))
    for bits in _CODE_BITS:
        index = _cells_filled(flat, metric, cells, bits, progress)
        progress("calibrate", 0, 1)
        probes, depth, recall = _cells_calibrate(yardstick, index, cells, aimed)
        if recall >= aimed:
            break
    index_write(folder / "cells.faiss", index)
    return {
        "cells": cells, "probes": probes, "depth": depth, "bits": bits, "recall": recall, "aimed": aimed
    }  # fmt: skip


def _cells_filled(flat, metric: Metric, cells: int, bits: int, progress: Progress):
    faiss = faiss_loaded()
    total, dimension = flat.ntotal, flat.d
    # One bit says as much of each number as of any other only when they are mixed at random.
    mixed = faiss.RandomRotationMatrix(dimension, dimension)
    mixed.init(0)
    coarse = faiss.IndexFlat(dimension, faiss_metric(metric))
    inverted = faiss.IndexIVFRaBitQ(coarse, dimension, cells, faiss_metric(metric), True, bits)
    inverted.qb = _QUERY_BITS
    inverted.cp.niter, inverted.cp.seed = 10, 0
    inverted.cp.max_points_per_centroid = _TRAINING_VECTORS_PER_CELL
    index = faiss.IndexPreTransform(mixed, inverted)
    rng = np.random.default_rng(0)
    sample = np.sort(rng.permutation(total)[: cells * _TRAINING_VECTORS_PER_CELL])
    progress("train", 0, 1)
    index.train(flat.reconstruct_batch(sample))
    for start in range(0, total, _CHUNK):
        progress("fill", start, total)
        index.add(flat.reconstruct_n(start, min(_CHUNK, total - start)))
    return index


def cells_named(index, queries: np.ndarray, count: int, probes: int, selector=None) -> np.ndarray:
    """Rows that the cells name for float32 (m, d) queries: int64 (m, count), with -1 where there are fewer.

    `selector` is FAISS's IDSelector of the rows that may be named.
    """
    faiss = faiss_loaded()
    within = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
    return index.search(queries, count, params=faiss.SearchParametersPreTransform(index_params=within))[1]


def _cells_calibrate(yardstick: "_Yardstick", index, cells: int, aimed: float) -> tuple[int, int, float]:
    """The least cells, and then the least depth, that find enough of the true ten; the recall at both."""

    def recall(probes, depth):
        count = min(candidates_count(10, depth), index.ntotal)
        return yardstick.recall(cells_named(index, yardstick.queries, count, probes))

    efforts = [*(2**power for power in range(cells.bit_length()) if 2**power < cells), cells]
    probes, _ = _least(efforts, lambda probes: recall(probes, _DEPTHS[-1]), aimed)
    depth, reached = _least(_DEPTHS, lambda depth: recall(probes, depth), aimed)
    return probes, depth, reached


def collection_write(
    collection: Collection, flat, metric: Metric, aimed: float, progress: Progress
) -> dict[str, float | str]:
    """Fill a collection of Milvus with the vectors of a flat index that is not empty.

    Returns what the manifest notes: its name, how hard to look (HNSW's ef), and the recall at that. Raises
    MilvusAway.
    """
    collection.write(flat.reconstruct_n, flat.ntotal, flat.d, metric, progress)
    progress("calibrate", 0, 1)
    yardstick = _Yardstick(flat)
    count = min(candidates_count(10), flat.ntotal)
    effort, recall = _least(
        _MILVUS_EFFORTS,
        lambda effort: yardstick.recall(collection.ask(yardstick.queries, count, effort)),
        aimed,
    )
    return {"collection": collection.name, "effort": effort, "recall": recall, "aimed": aimed}


class _Yardstick:
    """Queries, float32 (n, d), and the true ten nearest of each among the vectors of a flat index."""

    def __init__(self, flat):
        # New pictures lie beside the stored ones, not on them: a vector finds itself in any cell.
        first, second = np.random.default_rng(0).integers(0, flat.ntotal, (2, _CALIBRATION_QUERIES))
        self.queries = flat.reconstruct_batch(first) * 0.7 + flat.reconstruct_batch(second) * 0.3
        self._true = flat.search(self.queries, min(10, flat.ntotal))[1]

    def recall(self, found: np.ndarray) -> float:
        """Share of the true ten that rows (n, candidates) hold."""
        held = [np.isin(true, named).mean() for true, named in zip(self._true, found, strict=True)]
        return round(float(np.mean(held)), 4)


def _least(efforts, recall_at, aimed):
    """The first effort whose recall is what is aimed for, or else the last; with its recall."""
    for effort in efforts:
        recall = recall_at(effort)
        if recall >= aimed:
            break
    return effort, recall
