"""What the neighbours of a picture and the classifier say about its category."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from django.conf import settings

from cases.models import CaseImage, FaultCategory
from vision.engine.classifier import join_views
from vision.engine.outcome import Outcome, Thresholds, decide
from vision.services.classifiers import category_counts, classifier_current
from vision.services.library import Library, Neighbours


@dataclass(frozen=True)
class CategoryProbability:
    """How probable a category is, and how much is known of it."""

    category: FaultCategory
    probability: float
    typicality: float  # p-value: share of its held-out images that fit it no better
    in_set: bool  # the coverage can't exclude it
    images: int  # confirmed images of it in the library
    cases: int  # and their cases
    few_examples: bool  # too few cases to be confident


@dataclass(frozen=True)
class Classification:
    """Probabilities, most probable first, and what may be claimed from them."""

    categories: list[CategoryProbability]
    outcome: Outcome
    reason: str
    novelty_p: float | None  # p-value that it is a known category; None without any neighbour
    classifier: str  # method and version
    thresholds: dict[str, float]

    @property
    def best(self) -> CategoryProbability | None:
        """The category to suggest; none when the fault is unknown."""
        return self.categories[0] if self.categories and self.outcome != Outcome.UNKNOWN else None

    @property
    def prediction_set(self) -> list[FaultCategory]:
        """The categories that the coverage can't exclude, most probable first."""
        return [entry.category for entry in self.categories if entry.in_set]


def views_classify(library: Library, views: np.ndarray, neighbours: Sequence[Neighbours]) -> Classification:
    """Classify float32 (views, d) pictures of one thing by the neighbours of each.

    The labels are those that the neighbours have at this moment. Several views give one verdict.
    """
    counts = category_counts(library)
    version, classifier = classifier_current(library, counts)
    thresholds = Thresholds(
        coverage=settings.COVERAGE,
        unknown_p=settings.UNKNOWN_P,
        min_probability=settings.CONFIDENT_PROBABILITY,
        min_cases=settings.CONFIDENT_CASES,
    )
    entries, novelty_p = [], None
    similarities, labels = _voters(neighbours, counts)
    if np.isfinite(similarities).any():
        prediction = join_views(classifier.predict(views, similarities, labels), settings.COVERAGE)
        novelty_p = float(prediction.novelty_p[0])
        categories = FaultCategory.objects.in_bulk(list(counts))
        entries = [
            CategoryProbability(
                category=categories[category_id],
                probability=float(prediction.probabilities[0, place]),
                typicality=float(prediction.typicality[0, place]),
                in_set=bool(prediction.sets[0, place]),
                images=count.images,
                cases=count.cases,
                few_examples=count.cases < thresholds.min_cases,
            )
            for place, (category_id, count) in enumerate(counts.items())
        ]
        entries.sort(key=lambda entry: -entry.probability)
    verdict = decide(
        np.array([entry.probability for entry in entries]),
        np.array([entry.in_set for entry in entries], bool),
        novelty_p or 0.0,
        thresholds,
        cases=[entry.cases for entry in entries],
        names=[entry.category.name for entry in entries],
    )
    return Classification(
        categories=entries,
        outcome=verdict.outcome,
        reason=verdict.reason,
        novelty_p=novelty_p,
        classifier=version,
        thresholds=asdict(thresholds),
    )


def _voters(neighbours: Sequence[Neighbours], counts) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and category ids (views, k) of the neighbours that are labelled at this moment."""
    ids = {image_id for each in neighbours for image_id in each.image_ids.tolist()}
    found = CaseImage.objects.labelled().filter(pk__in=ids).values_list("pk", "confirmed_category_id")
    known = {image_id: category_id for image_id, category_id in found if category_id in counts}
    width = max((len(each.image_ids) for each in neighbours), default=0)
    similarities = np.full((len(neighbours), width), -np.inf)
    labels = np.full((len(neighbours), width), -1, np.int64)
    for row, each in enumerate(neighbours):
        labelled = [place for place, image_id in enumerate(each.image_ids.tolist()) if image_id in known]
        similarities[row, : len(labelled)] = each.similarities[labelled]
        labels[row, : len(labelled)] = [known[image_id] for image_id in each.image_ids[labelled].tolist()]
    return similarities, labels
