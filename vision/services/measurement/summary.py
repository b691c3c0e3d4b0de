"""Figures of several runs as mean and spread."""

from collections.abc import Sequence

import numpy as np

#: {"mean": ..., "sd": ...}
Figure = dict[str, float]


def figures_summarise(runs: Sequence[dict[str, float]]) -> dict[str, Figure]:
    """Mean and sample standard deviation (n - 1; 0 for a single run) of every key over the runs."""
    return {
        key: {
            "mean": float(np.mean([run[key] for run in runs])),
            "sd": float(np.std([run[key] for run in runs], ddof=1)) if len(runs) > 1 else 0.0,
        }
        for key in runs[0]
    }
