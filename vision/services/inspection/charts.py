"""Charts of an evaluation as PNG files: ROC curve, and the scores of good and defective parts."""

from io import BytesIO

#: Colours that eyes which don't tell red from green tell apart (Okabe and Ito).
_GOOD, _DEFECTIVE, _LINE = "#0072B2", "#D55E00", "#000000"


def roc_chart(measures: dict) -> bytes:
    """The ROC curve with its area, as PNG. `measures` are those of an Evaluation with "roc"."""
    figure, axes = _figure()
    roc, auroc = measures["roc"], measures["image_auroc"]
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(roc["false_positive_rate"], roc["true_positive_rate"], color=_GOOD, linewidth=2)
    if "recall" in measures:
        axes.plot([measures["false_reject_rate"]], [measures["recall"]], "o", color=_DEFECTIVE)
        axes.annotate(
            "threshold",
            (measures["false_reject_rate"], measures["recall"]),
            (8, -12),
            textcoords="offset points",
        )
    axes.set(
        xlabel="False-reject rate",
        ylabel="Recall of defective parts",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        title=f"AUROC {100 * auroc['value']:.1f} % ({100 * auroc['low']:.1f} to {100 * auroc['high']:.1f})",
    )
    return _png(figure)


def scores_chart(measures: dict) -> bytes:
    """How many good and defective parts have which score, with the threshold, as PNG."""
    figure, axes = _figure()
    histogram = measures["histogram"]
    axes.stairs(histogram["good"], histogram["edges"], fill=True, alpha=0.6, color=_GOOD, label="good")
    axes.stairs(
        histogram["defective"], histogram["edges"], fill=True, alpha=0.6, color=_DEFECTIVE, label="defective"
    )
    if measures["threshold"] is not None:
        axes.axvline(measures["threshold"], color=_LINE, linestyle="--", label="threshold")
    axes.set(xlabel="Score (distance from good)", ylabel="Pictures", title="Scores")
    axes.legend()
    return _png(figure)


def _figure():
    # Not pyplot: its figures are shared by the whole process, and threads draw at the same time.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), dpi=120, layout="constrained")
    return figure, figure.subplots()


def _png(figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
