"""Charts of an evaluation as numbers that templates draw with SVG; lengths are in the charts' own units."""

from collections import defaultdict
from collections.abc import Iterable

#: ROC: a square of this side. Histogram and strips: this wide.
ROC_SIDE, WIDE = 200, 400
#: Height of the bars above and below the middle line.
BARS = 70
_GOOD = "good"


def evaluation_charts(measures: dict, scores: Iterable[tuple[str, float]]) -> dict:
    """ROC curve, histogram and scores of each kind; `scores` are pairs of truth ("" for good) and score."""
    edges = measures["histogram"]["edges"]
    threshold = measures.get("threshold")
    return {
        "roc": _roc(measures),
        "histogram": _histogram(measures["histogram"], threshold),
        "strips": _strips(scores, edges, threshold, measures["by_defect"]),
    }


def _roc(measures: dict) -> dict | None:
    if "roc" not in measures:
        return None
    false, true = measures["roc"]["false_positive_rate"], measures["roc"]["true_positive_rate"]
    points = " ".join(
        f"{x * ROC_SIDE:.1f},{(1 - y) * ROC_SIDE:.1f}" for x, y in zip(false, true, strict=True)
    )
    point = None
    if "recall" in measures:
        point = {
            "x": _number(measures["false_reject_rate"] * ROC_SIDE),
            "y": _number((1 - measures["recall"]) * ROC_SIDE),
        }
    return {"points": points, "point": point, "side": ROC_SIDE}


def _histogram(histogram: dict, threshold: float | None) -> dict:
    """Good pictures as bars upward, defective ones downward: told apart without their colours."""
    edges = histogram["edges"]
    line = _threshold(threshold, edges)
    most = max(*histogram["good"], *histogram["defective"], 1)
    bars = []
    for place, (good, defective) in enumerate(zip(histogram["good"], histogram["defective"], strict=True)):
        left, right = (_place(edges[place + step], edges) for step in (0, 1))
        bars.append(
            {
                "x": _number(left),
                "width": _number(max(right - left - 0.8, 0.5)),
                "good": _number(good / most * BARS),
                "good_y": _number(BARS - good / most * BARS),
                "defective": _number(defective / most * BARS),
            }
        )
    return {
        "bars": bars,
        "middle": BARS,
        "height": 2 * BARS,
        "width": WIDE,
        "threshold": line,
        # The words at the line stay inside of the chart.
        "anchor": "end" if line and float(line) > WIDE / 2 else "start",
        "low": edges[0],
        "high": edges[-1],
        "most": most,
    }


def _strips(scores, edges, threshold, by_defect) -> dict:
    """A row for good pictures and each defect type, with a mark at every score."""
    kinds = defaultdict(list)
    for truth, score in scores:
        kinds[truth].append(score)
    rows = [
        {
            "name": kind or _GOOD,
            "is_good": not kind,
            "measures": by_defect.get(kind, {}),
            "marks": [_number(_place(score, edges)) for score in sorted(kinds[kind])],
        }
        for kind in sorted(kinds)
    ]
    return {"rows": rows, "threshold": _threshold(threshold, edges)}


def _threshold(threshold: float | None, edges: list[float]) -> str | None:
    return None if threshold is None else _number(_place(threshold, edges))


def _place(value: float, edges: list[float]) -> float:
    """Where a score stands on the axis; what lies beyond is drawn at its end."""
    span = edges[-1] - edges[0] or 1.0
    return min(max((value - edges[0]) / span, 0), 1) * WIDE


def _number(value: float) -> str:
    # As text, because templates would write numbers as the language of the page does.
    return f"{value:.1f}"
