"""Every category in turn is one that nobody has seen: is it told from the known ones?"""

from collections import defaultdict

import numpy as np
from sklearn.metrics import roc_auc_score

from vision.engine.measures import false_positive_rate_at
from vision.services.measurement.pictures import MeasureError
from vision.services.measurement.product import product_predict
from vision.services.measurement.seeing import Seen, Watch
from vision.services.measurement.splits import Split, partitions
from vision.services.measurement.summary import figures_summarise


def openset_measure(seen: Seen, row: str, split: Split, watch: Watch) -> dict:
    """auroc and fpr_at_95: mean and sd over partitions of the mean over categories, and by category.

    The product is trained on the training side of the other categories; its score of the unknown is then
    asked about their test side and about all pictures of the category that was held out. Pictures that share
    a case or group with the training side are not asked about. Exact duplicates count once. Raises
    MeasureError with fewer than three categories.
    """
    _, first = np.unique(seen.digests, return_index=True)
    first = np.sort(first)
    vectors, labels, together = seen.vectors[row][first], seen.labels[first], seen.together[first]
    categories = np.unique(labels).tolist()
    if len(categories) < 3:
        raise MeasureError(
            "At least three categories are needed: one to be unknown, and two that are told apart."
        )
    by_category, means = defaultdict(list), []
    runs = [(side, category) for side in partitions(labels, together, split) for category in categories]
    for (train, test), category in watch(runs, f"{row}: hiding each category", len(runs)):
        train = train[labels[train] != category]
        known = test[labels[test] != category]
        hidden = np.flatnonzero((labels == category) & ~np.isin(together, together[train]))
        if not len(hidden) or not len(known):
            raise MeasureError(f"{category} shares all its cases or near-duplicates with other categories.")
        _, prediction = product_predict(
            vectors[train], labels[train], together[train], vectors[np.concatenate([known, hidden])]
        )
        score = prediction.novelty_score
        unknown = np.arange(len(score)) >= len(known)
        by_category[category].append(
            {
                "auroc": float(roc_auc_score(unknown, score)),
                "fpr_at_95": false_positive_rate_at(score[~unknown], score[unknown]),
            }
        )
    for number in range(split.partitions):
        run = [by_category[category][number] for category in categories]
        means.append({key: float(np.mean([one[key] for one in run])) for key in run[0]})
    return figures_summarise(means) | {
        "by_category": {category: figures_summarise(runs) for category, runs in by_category.items()}
    }
