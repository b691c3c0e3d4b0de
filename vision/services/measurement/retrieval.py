"""Every picture asks the others: does like come to like?"""

from collections.abc import Callable

import numpy as np

from vision.engine.retrieval import leave_one_out
from vision.services.measurement.pictures import MeasureError
from vision.services.measurement.seeing import Seen, Watch
from vision.services.measurement.splits import Split, partitions
from vision.services.measurement.summary import figures_summarise

#: Learns on (n, d) vectors, (n,) labels and (n,) groups; returns what transforms (m, d) vectors.
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def retrieval_measure(
    seen: Seen, row: str, split: Split | None, watch: Watch, *, fit: Fit | None = None
) -> dict:
    """Figures of retrieval, each mean and sd; one run over all pictures, or over the test sides of `split`.

    Never found: the query itself, the same bytes, its own case, and its near-duplicates where they were
    grouped. With `fit` the vectors of each test side are transformed by what it learned on the training side.
    """
    vectors, everything = seen.vectors[row], np.arange(len(seen))
    sides = [(everything[:0], everything)]
    if split:
        sides = partitions(seen.labels, seen.together, split)
    runs = []
    for train, test in watch(sides, f"{row}: asking", split.partitions if split else 1):
        asked = vectors[test]
        if fit:
            asked = fit(vectors[train], seen.labels[train], seen.together[train])(asked)
        measured = leave_one_out(
            asked, seen.labels[test], groups=seen.together[test], duplicates=seen.digests[test]
        )
        runs.append(
            {
                "top1": measured.top1,
                "macro_f1": measured.macro_f1,
                **{f"precision_at_{k}": value for k, value in measured.precision_at.items()},
                "recall_at_5": measured.recall_at[5],
                "map_at_r": measured.map_at_r,
                "queries": measured.queries,
            }
        )
    return figures_summarise(runs)


def adaptation_fit(vectors: np.ndarray, labels: np.ndarray, together: np.ndarray):
    """The product's own adaptation, fitted to a training side; MeasureError where it can't be."""
    try:
        from vision.engine.adaptation import Adaptation
    except ImportError as error:
        raise MeasureError("This version has no adaptation to measure: leave out --adapt.") from error
    return Adaptation().fit(vectors, labels, together).transform
