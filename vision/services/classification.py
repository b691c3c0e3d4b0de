"""What the neighbours of a picture say about its category."""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count
from safetensors.numpy import load, save

from cases.models import CaseImage, FaultCategory
from vision.engine.classifier import Outcome, Thresholds, decide
from vision.engine.logistic import BlendedClassifier
from vision.models import ClassifierVersion
from vision.services.library import Library, Neighbours

METHOD = "votes and regression 1"
#: The newest images of a library from which the votes' temperature and balance are picked.
_FIT_IMAGES = 10_000
#: Growth of the library after which they are picked again.
_FIT_GROWTH = 1.1
_FIT_KEY = "vision.fit_classifier.queued"


@dataclass(frozen=True)
class CategoryProbability:
    category: FaultCategory
    probability: float
    images: int  # confirmed images of it in the library


@dataclass(frozen=True)
class Classification:
    """Probabilities, most probable first, and what may be claimed from them."""

    categories: list[CategoryProbability]
    outcome: Outcome
    reason: str
    classifier: str  # method and version
    thresholds: dict[str, float]

    @property
    def best(self) -> CategoryProbability | None:
        """The category to suggest; none when the fault is unknown."""
        return self.categories[0] if self.categories and self.outcome != Outcome.UNKNOWN else None


def neighbours_classify(library: Library, query: np.ndarray, neighbours: Neighbours) -> Classification:
    """Classify a float32 (d,) query by its neighbours and the labels that they have at this moment."""
    counts = _category_counts(library)
    version, classifier = _classifier_current(library, counts)
    classifier = classifier.with_counts(np.array(list(counts)), np.array(list(counts.values())))
    found = CaseImage.objects.labelled().filter(pk__in=neighbours.image_ids.tolist())
    known = {
        image_id: (category_id, case_id)
        for image_id, category_id, case_id in found.values_list("pk", "confirmed_category_id", "case_id")
    }
    voters = [
        (similarity, *known[image_id])
        for image_id, similarity in zip(
            neighbours.image_ids.tolist(), neighbours.similarities.tolist(), strict=True
        )
        if image_id in known and known[image_id][0] in counts
    ]
    similarities = np.array([similarity for similarity, _, _ in voters], dtype=np.float64)
    thresholds = Thresholds(
        min_similarity=classifier.votes_.novelty_similarity_,
        min_probability=settings.CONFIDENT_PROBABILITY,
        min_margin=settings.CONFIDENT_MARGIN,
        min_examples=settings.CONFIDENT_EXAMPLES,
    )
    probabilities = np.zeros(len(counts))
    if voters:
        voted = np.array([category_id for _, category_id, _ in voters])
        probabilities = classifier.predict_proba(query[None], similarities, voted)[0]
    categories = FaultCategory.objects.in_bulk(classifier.classes_.tolist())
    ordered = [categories[pk] for pk in classifier.classes_.tolist()]
    examples = list(counts.values())
    alike = {
        (category_id, case_id)
        for similarity, category_id, case_id in voters
        if similarity >= thresholds.min_similarity
    }
    alike_cases = Counter(category_id for category_id, _ in alike)
    verdict = decide(
        probabilities,
        similarities,
        thresholds,
        examples=examples,
        alike=[alike_cases[category.pk] for category in ordered],
        names=[category.name for category in ordered],
    )
    ranked = np.argsort(-probabilities, kind="stable") if voters else []
    return Classification(
        categories=[
            CategoryProbability(ordered[position], float(probabilities[position]), examples[position])
            for position in ranked
        ],
        outcome=verdict.outcome,
        reason=verdict.reason,
        classifier=str(version),
        thresholds={name: round(value, 4) for name, value in asdict(thresholds).items()},
    )


def _category_counts(library: Library) -> dict[int, int]:
    """Confirmed images by category id, ordered by id."""
    return dict(
        CaseImage.objects.diagnostic()
        .labelled()
        .filter(embeddings__space=library.space)
        .order_by("confirmed_category_id")
        .values_list("confirmed_category")
        .annotate(images=Count("pk"))
    )


def _classifier_current(
    library: Library, counts: dict[int, int]
) -> tuple[ClassifierVersion, BlendedClassifier]:
    """The newest version; where the library outgrew it a worker makes the next, and nobody waits for that."""
    version = _newest(library)
    if version is None:
        version = classifier_fit(library)
    elif not _fits(version, counts):
        classifier_fit_enqueue()
    return version, _restore(version.pk)


def classifier_keep(library: Library) -> None:
    """Have a worker fit the classifier if the library has outgrown it, before anybody waits for that."""
    version = _newest(library)
    if version is None or not _fits(version, _category_counts(library)):
        classifier_fit_enqueue()


def _newest(library: Library) -> ClassifierVersion | None:
    return library.space.classifiers.filter(method=_method()).defer("arrays").first()


def _method() -> str:
    return f"{METHOD}, {settings.METRIC}"


def _fits(version: ClassifierVersion, counts: dict[int, int]) -> bool:
    grown = max(sum(counts.values()), 1) / max(version.library_size, 1)
    return 1 / _FIT_GROWTH <= grown <= _FIT_GROWTH and version.categories == len(counts)


@lru_cache(maxsize=4)
def _restore(version_id: int) -> BlendedClassifier:
    version = ClassifierVersion.objects.get(pk=version_id)
    arrays = load(bytes(version.arrays)) if version.arrays else {}
    return BlendedClassifier.restore(version.parameters, arrays, settings.METRIC)


def classifier_fit(library: Library) -> ClassifierVersion:
    """Pick the parameters anew by leave-one-case-out over the newest images of the library."""
    ids, vectors = library.vectors(newest=_FIT_IMAGES)
    labelled = CaseImage.objects.labelled().filter(pk__in=ids.tolist())
    known = {
        image_id: (case_id, category_id)
        for image_id, case_id, category_id in labelled.values_list("pk", "case_id", "confirmed_category_id")
    }
    keep = [position for position, image_id in enumerate(ids.tolist()) if image_id in known]
    groups, labels = np.array([known[image_id] for image_id in ids[keep].tolist()]).reshape(-1, 2).T
    classifier = BlendedClassifier(metric=settings.METRIC).fit(vectors[keep], labels, groups=groups)
    parameters, arrays = classifier.learned()
    # The whole library, not only the images fitted to: that is what `_fits` compares it with.
    counts = _category_counts(library)
    return ClassifierVersion.objects.create(
        space=library.space,
        method=_method(),
        parameters=parameters,
        arrays=save(arrays) if arrays else b"",
        library_size=sum(counts.values()),
        categories=len(counts),
    )


def classifier_fit_enqueue() -> None:
    """Have a worker fit the classifier, after commit; one such task in the queue is enough."""
    transaction.on_commit(_fit_send, robust=True)


def _fit_send():
    from vision.tasks import fit_classifier

    if cache.add(_FIT_KEY, True, timeout=60):
        fit_classifier.delay()
