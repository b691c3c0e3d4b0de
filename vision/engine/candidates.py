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
_MILVUS_EFFORTS = (128, 256, 512, 1024, 2048)


def engine_choose(count: int) -> tuple[Engine, str]:
    """The engine for so many vectors, and why, as a sentence. Milvus is only ever chosen by the setting."""
    if count < APPROXIMATE_FROM:
        return "exact", f"Every vector is compared: there are fewer than {APPROXIMATE_FROM:,}."
    return "approximate", (
        f"From {APPROXIMATE_FROM:,} vectors on, cells name candidates, which are then compared exactly."
    )


def candidates_count(top_k: int) -> int:
    """How many to compare exactly for an answer of `top_k`: 8-bit codes misplace some of the nearest."""
    return 4 * top_k + 60


def faiss_metric(metric: Metric) -> int:
    faiss = faiss_loaded()
    return faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2


def cells_write(folder: Path, flat, metric: Metric, aimed: float, progress: Progress) -> dict[str, float]:
    """Write `cells.faiss`, an inverted file over the vectors of a flat index that is not empty.

    Returns what the manifest notes: how many cells there are, how many to look into, and the recall at that.
    """
    faiss = faiss_loaded()
    measure = faiss_metric(metric)
    total, dimension = flat.ntotal, flat.d
    cells = min(2 ** int(np.clip(np.round(np.log2(4 * total**0.5)), 0, 14)), max(1, total // 8))
    coarse = faiss.IndexFlat(dimension, measure)
    index = faiss.IndexIVFScalarQuantizer(
        coarse, dimension, cells, faiss.ScalarQuantizer.QT_8bit, measure, False
    )
    coarse.this.disown()
    index.own_fields = True
    index.cp.niter, index.cp.seed = 10, 0
    index.cp.max_points_per_centroid = _TRAINING_VECTORS_PER_CELL
    rng = np.random.default_rng(0)
    sample = np.sort(rng.permutation(total)[: cells * _TRAINING_VECTORS_PER_CELL])
    progress("train", 0, 1)
    index.train(flat.reconstruct_batch(sample))
    for start in range(0, total, _CHUNK):
        progress("fill", start, total)
        index.add(flat.reconstruct_n(start, min(_CHUNK, total - start)))

    def named(queries, count, probes):
        return index.search(queries, count, params=faiss.SearchParametersIVF(nprobe=probes))[1]

    efforts = [*(2**power for power in range(cells.bit_length()) if 2**power < cells), cells]
    probes, recall = _calibrate(flat, named, efforts, aimed, progress)
    index_write(folder / "cells.faiss", index)
    return {"cells": cells, "probes": probes, "recall": recall, "aimed": aimed}


def collection_write(
    collection: Collection, flat, metric: Metric, aimed: float, progress: Progress
) -> dict[str, float | str]:
    """Fill a collection of Milvus with the vectors of a flat index that is not empty.

    Returns what the manifest notes: its name, how hard to look (HNSW's ef), and the recall at that. Raises
    MilvusAway.
    """
    collection.write(flat.reconstruct_n, flat.ntotal, flat.d, metric, progress)
    effort, recall = _calibrate(flat, collection.ask, _MILVUS_EFFORTS, aimed, progress)
    return {"collection": collection.name, "effort": effort, "recall": recall, "aimed": aimed}


def _calibrate(flat, named, efforts, aimed, progress) -> tuple[int, float]:
    """The least effort at which `named(queries, count, effort)` finds enough of the true ten; its recall."""
    progress("calibrate", 0, 1)
    total = flat.ntotal
    # New pictures lie beside the stored ones, not on them: a vector finds itself in any cell.
    first, second = np.random.default_rng(0).integers(0, total, (2, _CALIBRATION_QUERIES))
    queries = flat.reconstruct_batch(first) * 0.7 + flat.reconstruct_batch(second) * 0.3
    depth = min(10, total)
    true = flat.search(queries, depth)[1]
    for effort in efforts:
        found = named(queries, min(candidates_count(10), total), effort)
        recall = np.mean([len(np.intersect1d(a, b)) / depth for a, b in zip(found, true, strict=True)])
        if recall >= aimed:
            break
    return effort, round(float(recall), 4)
