"""Versions of the classifier: fitted by a worker, measured on held-out cases, activated when not worse."""

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count

from cases.models import CaseImage
from vision.engine.arrays import arrays_pack, arrays_unpack
from vision.engine.classifier import FaultClassifier
from vision.engine.folds import joined_groups
from vision.engine.index import similarity_of_cosine
from vision.engine.neighbours import leave_one_out_neighbours
from vision.models import ClassifierVersion, EmbeddingSpace, LibraryChange
from vision.services.adaptation_data import space_history
from vision.services.library import Library

logger = logging.getLogger(__name__)

METHOD = "votes and discriminant 1"
State = ClassifierVersion.State
#: The newest images of a library that the classifier is fitted to.
_FIT_IMAGES = 10_000
#: Share of the library that may change before it is fitted again.
_CHANGED = 0.05
#: A fall that chance alone would show less often than this makes a version worse.
_CHANCE = 0.05
#: Up to so many images a first fit is quicker than an explanation why there is none.
_FIT_AT_ONCE = 200
_FIT_KEY = "vision.fit_classifier.queued"


@dataclass(frozen=True)
class CategoryCount:
    """Confirmed images and cases of a category in the library."""

    images: int
    cases: int


@dataclass(frozen=True)
class _FitData:
    """What a version is fitted to, newest first: ids, vectors, category ids, groups; and when."""

    ids: np.ndarray
    vectors: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    judges: np.ndarray  # (n,) bool, those that the space itself was not fitted to
    watermark: int

    def hash(self) -> str:
        """sha256 over the sorted (image id, label, group); a group is named by its lowest image id."""
        names = {}
        for group, image_id in sorted(zip(self.groups.tolist(), self.ids.tolist(), strict=True)):
            names.setdefault(group, image_id)
        rows = zip(self.ids.tolist(), self.labels.tolist(), self.groups.tolist(), strict=True)
        lines = sorted((image_id, label, names[group]) for image_id, label, group in rows)
        return hashlib.sha256(repr(lines).encode()).hexdigest()


def category_counts(library: Library) -> dict[int, CategoryCount]:
    """Confirmed images and cases by category id, ordered by id."""
    rows = (
        CaseImage.objects.diagnostic()
        .labelled()
        .filter(embeddings__space=library.space)
        .order_by("confirmed_category_id")
        .values_list("confirmed_category")
        .annotate(images=Count("pk"), cases=Count("case", distinct=True))
    )
    return {category: CategoryCount(images, cases) for category, images, cases in rows}


def classifier_current(library: Library, counts: dict[int, CategoryCount]) -> tuple[str, FaultClassifier]:
    """The name of the version that serves and its classifier, which knows the counts of this moment.

    Where the library outgrew it a worker makes the next, and nobody waits for that.
    """
    version = _versions(library).filter(state=State.ACTIVE).first()
    images = sum(count.images for count in counts.values())
    if version is None and images <= _FIT_AT_ONCE:
        version = classifier_fit(library)
    elif not _up_to_date(library, counts):
        classifier_fit_enqueue()
    if version is None:
        name, classifier = f"{_method()}, not fitted yet", _unfitted(library)
    else:
        name, classifier = str(version), _restore(version.pk, settings.COVERAGE)
    images_by_category = np.array([count.images for count in counts.values()], np.int64)
    return name, classifier.with_counts(np.array(list(counts), np.int64), images_by_category)


def classifier_keep(library: Library) -> bool:
    """Have a worker fit the classifier if the library has outgrown it; whether that is so."""
    if _up_to_date(library, category_counts(library)):
        return False
    classifier_fit_enqueue()
    return True


def classifier_fit(library: Library) -> ClassifierVersion:
    """Fit a version to the newest images of the library; it serves unless it is worse than the one that does.

    Worse is a lower top-1, averaged over categories, on the cases that both were held out from, where chance
    alone does not explain it. A refused version is kept with the reason, without its coefficients.
    """
    cache.delete(_FIT_KEY)
    data = _fit_data(library)
    counts = category_counts(library)
    active = _versions(library).filter(state=State.ACTIVE).first()
    before = _restore(active.pk, settings.COVERAGE) if active else None
    classifier = FaultClassifier(settings.METRIC, settings.COVERAGE).fit(
        data.vectors, data.labels, data.groups, judges=data.judges, warm_start=before
    )
    measures = classifier.held_out_.measures(data.groups, settings.COVERAGE)
    parameters, arrays = classifier.learned()
    guesses = _guesses_held_out(classifier, len(data.ids))
    worse, reason = _compare(active, before, data, guesses)
    arrays |= {"seen": data.ids, "guesses": guesses}
    if worse:
        logger.warning("A classifier fitted to %s images was refused: %s", len(data.ids), reason)
    with transaction.atomic():
        # Two workers that finish together take turns, so that one version serves at any time.
        EmbeddingSpace.objects.select_for_update().get(pk=library.space.pk)
        newer = _versions(library).filter(watermark__gt=data.watermark).first()
        if newer:
            return newer
        if not worse:
            _versions(library).filter(state=State.ACTIVE).update(state=State.RETIRED)
        return ClassifierVersion.objects.create(
            space=library.space,
            method=_method(),
            parameters=parameters,
            arrays=b"" if worse else arrays_pack(arrays),
            data_hash=data.hash(),
            measures={name: round(value, 5) for name, value in measures.items()},
            state=State.REFUSED if worse else State.ACTIVE,
            reason=reason,
            watermark=data.watermark,
            # The whole library, not only the images fitted to.
            library_size=sum(count.images for count in counts.values()),
            categories=len(counts),
        )


def classifier_fit_enqueue() -> None:
    """Have a worker fit the classifier, after commit; one such task in the queue is enough."""
    transaction.on_commit(_fit_send, robust=True)


def _fit_send():
    from vision.tasks import fit_classifier

    if cache.add(_FIT_KEY, True, timeout=60):
        fit_classifier.delay()


def _versions(library: Library):
    return library.space.classifiers.filter(method=_method()).defer("arrays")


def _method() -> str:
    return f"{METHOD}, {settings.METRIC}"


def _up_to_date(library: Library, counts: dict[int, CategoryCount]) -> bool:
    """Whether little has changed since the newest fit, be it active or refused."""
    newest = _versions(library).first()
    if newest is None or newest.categories != len(counts):
        return False
    changes = LibraryChange.objects.filter(space=library.space, id__gt=newest.watermark)
    tolerated = int(_CHANGED * newest.library_size)
    return changes.order_by("id")[: tolerated + 1].count() <= tolerated


def _unfitted(library: Library) -> FaultClassifier:
    nothing = np.zeros((0, library.space.dimension), np.float32)
    return FaultClassifier(settings.METRIC, settings.COVERAGE).fit(nothing, np.zeros(0, np.int64))


@lru_cache(maxsize=4)
def _restore(version_id: int, coverage: float) -> FaultClassifier:
    version = ClassifierVersion.objects.get(pk=version_id)
    arrays = arrays_unpack(version.arrays)
    return FaultClassifier.restore(version.parameters, arrays, settings.METRIC, coverage)


def _fit_data(library: Library) -> _FitData:
    # The watermark is read first: what is committed meanwhile counts as a change once more.
    newest = LibraryChange.objects.filter(space=library.space).order_by("-id").values_list("id", flat=True)
    watermark = newest.first() or 0
    ids, vectors = library.vectors(newest=_FIT_IMAGES)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows = CaseImage.objects.labelled().filter(pk__in=ids.tolist())
    known = {
        image_id: facts
        for image_id, *facts in rows.values_list(
            "pk", "confirmed_category_id", "case_id", "file__perceptual_hash"
        )
    }
    keep = np.array([image_id in known for image_id in ids.tolist()], bool)
    ids, vectors = ids[keep], vectors[keep]
    labels, cases, hashes = (
        np.array([known[image_id] for image_id in ids.tolist()], np.int64).reshape(-1, 3).T
    )
    groups = joined_groups(cases, hashes, vectors)
    learned_from, _ = space_history(library.space)
    # A near-duplicate of an image that the space was fitted to is as easy as that one.
    judges = ~np.isin(groups, groups[np.isin(ids, learned_from)])
    return _FitData(ids, vectors, labels, groups, judges, watermark)


def _guesses_held_out(classifier: FaultClassifier, images: int) -> np.ndarray:
    """The category id (n,) that each image got while it was held out, -1 where it could not be judged."""
    guesses = np.full(images, -1, np.int64)
    held_out = classifier.held_out_
    if len(held_out.rows):
        guesses[held_out.rows] = classifier.fitted_[held_out.probabilities.argmax(axis=1)]
    return guesses


def _compare(
    active: ClassifierVersion | None, before: FaultClassifier | None, data: _FitData, guesses: np.ndarray
) -> tuple[bool, str]:
    """Whether the new guesses are worse than those of the active version for the same images, and why."""
    if active is None:
        return False, "The first of its kind in this space."
    arrays = arrays_unpack(ClassifierVersion.objects.values_list("arrays", flat=True).get(pk=active.pk))
    earlier = dict(zip(arrays["seen"].tolist(), arrays["guesses"].tolist(), strict=True))
    old = np.array([earlier.get(image_id, -2) for image_id in data.ids.tolist()], np.int64)
    unseen = np.flatnonzero((old == -2) & (guesses >= 0))
    if len(unseen):
        old[unseen] = _guesses_unseen(before, data, unseen)
    both = (old >= 0) & (guesses >= 0)
    if not both.any():
        return False, f"No held-out case to compare it with {active} on."
    truth = data.labels[both]
    was, now = (_balanced_top1(guess[both] == truth, truth) for guess in (old, guesses))
    reason = (
        f"{_percent(now)} right, averaged over categories, on the same {both.sum()} held-out images "
        f"of which {active} has {_percent(was)} right."
    )
    if now >= was - 1e-9:
        return False, reason
    by_chance = _fall_by_chance(old[both] == truth, guesses[both] == truth, data.groups[both])
    if by_chance < _CHANCE:
        return True, f"{reason} Chance alone would show such a fall in {_percent(by_chance)} of cases."
    return False, f"{reason} So small a fall may be chance (p = {by_chance:.2g})."


def _fall_by_chance(before: np.ndarray, now: np.ndarray, groups: np.ndarray) -> float:
    """The p-value of fewer right answers (n,) bool than before: one-sided sign test over whole groups."""
    from scipy.stats import binomtest

    _, members = np.unique(groups, return_inverse=True)
    gains = np.bincount(members, now.astype(float) - before)
    fallen, risen = int((gains < 0).sum()), int((gains > 0).sum())
    return float(binomtest(fallen, fallen + risen, alternative="greater").pvalue) if fallen else 1.0


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _guesses_unseen(before: FaultClassifier, data: _FitData, rows: np.ndarray) -> np.ndarray:
    """What the active version says of images that came after it, their own groups left out."""
    similarities, neighbours, _ = leave_one_out_neighbours(data.vectors, before.k, groups=data.groups)
    similarities = np.where(neighbours >= 0, similarity_of_cosine(similarities, settings.METRIC), -np.inf)
    classes, counts = np.unique(data.labels, return_counts=True)
    current = before.with_counts(classes, counts)
    prediction = current.predict(data.vectors[rows], similarities[rows], data.labels[neighbours[rows]])
    return classes[prediction.probabilities.argmax(axis=1)]


def _balanced_top1(right: np.ndarray, truth: np.ndarray) -> float:
    _, category = np.unique(truth, return_inverse=True)
    return float((np.bincount(category, right) / np.bincount(category)).mean())
