"""What may be claimed about a picture, and why: Confident, Ambiguous or Unknown."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

#: Categories that a reason names before it counts the others.
_NAMED = 4


class Outcome(StrEnum):
    CONFIDENT = "confident"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Thresholds:
    """Where an outcome turns.

    `coverage` of the sets, p-value `unknown_p` under which a picture is of no known category, least
    probability (all 0 to 1), and least confirmed cases of a category.
    """

    coverage: float = 0.95
    unknown_p: float = 0.02
    min_probability: float = 0.7
    min_cases: int = 5


@dataclass(frozen=True)
class Verdict:
    """An outcome, its reason as a sentence, and the position of the leading category (None if unknown)."""

    outcome: Outcome
    reason: str
    best: int | None


def decide(
    probabilities: np.ndarray,
    in_set: np.ndarray,
    novelty_p: float,
    thresholds: Thresholds,
    *,
    cases: Sequence[int],
    names: Sequence[str],
) -> Verdict:
    """The outcome for one picture from (C,) probabilities, its set (C,) bool and its novelty p-value.

    `cases` are the confirmed cases of each category and `names` its name, in the order of the probabilities;
    none at all means that there is nothing to compare with. Unknown when the p-value is under its limit.
    Confident when the set holds the leading category alone, its probability suffices and its cases are not
    few. Else Ambiguous.
    """
    if not len(probabilities):
        return Verdict(Outcome.UNKNOWN, "There is no confirmed image to compare with yet.", None)
    if novelty_p < thresholds.unknown_p:
        return Verdict(
            Outcome.UNKNOWN,
            f"Nothing like it is known: {_percent(novelty_p)} of the confirmed images lie as far from the "
            f"others, and {_percent(thresholds.unknown_p)} are needed.",
            None,
        )
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    best = int(order[0])
    leader, chance = names[best], float(probabilities[best])
    level = _percent(thresholds.coverage)
    possible = [int(position) for position in order if in_set[position]]
    if cases[best] < thresholds.min_cases:
        plural = "" if cases[best] == 1 else "s"
        reason = (
            f"{leader} ({_percent(chance)}) has few examples: {cases[best]} confirmed case{plural}, "
            f"and {thresholds.min_cases} are needed to be sure."
        )
    elif len(possible) > 1:
        named = [f"{names[position]} ({_percent(float(probabilities[position]))})" for position in possible]
        if len(named) > _NAMED:
            named[_NAMED:] = [f"{len(named) - _NAMED} others"]
        reason = f"At {level} coverage it may be {', '.join(named[:-1])} or {named[-1]}."
    elif possible != [best]:
        reason = (
            f"{leader} leads with {_percent(chance)}, but {level} of its confirmed images fit it better than "
            "this one."
        )
    elif chance < thresholds.min_probability:
        reason = (
            f"{leader} leads with {_percent(chance)}, and {_percent(thresholds.min_probability)} is needed."
        )
    else:
        return Verdict(
            Outcome.CONFIDENT,
            f"{leader} is {_percent(chance)} probable and the only category possible at {level} coverage.",
            best,
        )
    return Verdict(Outcome.AMBIGUOUS, reason, best)


def _percent(share: float) -> str:
    if share > 0.99:
        return "over 99 %"
    if share < 0.001:
        return "under 0.1 %"
    return (
        f"{share:.1%}".replace(".0%", "%").replace("%", " %")
        if share < 0.1
        else f"{share:.0%}".replace("%", " %")
    )
