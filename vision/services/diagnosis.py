"""From a case's images to a suggestion, and from the engineer's decision back into the library."""

import time
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from cases.models import Case, FaultCategory, Label
from cases.services.labels import images_label
from cases.services.moments import long_ago
from cases.services.stopwatch import Stopwatch
from cases.services.workflow import case_transition
from vision.models import Decision, Diagnosis, Embedding
from vision.selectors import cases_without_diagnosis
from vision.services.classifiers import classifier_keep
from vision.services.embedding import images_embed, space_current, vectors_unpack
from vision.services.library import library_current
from vision.services.search import SearchResult, vectors_search

#: Seconds after which a message that no worker took is dropped, so that the sweep's repeats do not pile up.
_TOO_LATE = 3600

#: For callers of case_decide that replace whatever was decided before.
ANY_DECISION = object()


def case_process_enqueue(case: Case) -> None:
    """Have a worker embed and diagnose a case, after commit."""

    def send():
        from vision.tasks import process_case

        process_case.apply_async((case.pk, time.time()), expires=_TOO_LATE)

    # Nothing is lost when the broker is away: the sweep finds cases without a diagnosis.
    transaction.on_commit(send, robust=True)


def waiting_cases_enqueue(patience: timedelta = timedelta(0)) -> None:
    """Queue new cases that nobody has diagnosed, if they are older than `patience`."""
    for case in cases_without_diagnosis().filter(long_ago("created_at", patience))[:100]:
        case_process_enqueue(case)


def case_process(case: Case, *, queued_ms: float = 0.0) -> Diagnosis | None:
    """Diagnose a case unless that was done for the same images in the same space: messages may come twice."""
    latest = case.diagnoses.first()
    if latest and latest.space == space_current():
        seen = {entry["image"] for entry in latest.images}
        if seen == set(case.images.diagnostic().values_list("pk", flat=True)):
            return latest
    return case_diagnose(case, queued_ms=queued_ms)


def case_diagnose(case: Case, *, queued_ms: float = 0.0) -> Diagnosis | None:
    """Embed what is not embedded yet, search, classify, and write an immutable Diagnosis.

    Returns None when the case has no image that can be embedded.
    """
    watch = Stopwatch()
    images = list(case.images.diagnostic().select_related("file"))
    images_embed(image.pk for image in images)
    library = library_current()
    space = library.space
    stored = dict(Embedding.objects.filter(space=space, image__in=images).values_list("image_id", "vector"))
    watch.lap("embed")
    if not stored:
        return None
    result = vectors_search(
        vectors_unpack(list(stored.values()), space.dimension),
        library,
        top_k=settings.SIMILAR_CASES,
        exclude_case=case,
        watch=watch,
    )
    return _diagnosis_write(
        case,
        [image for image in images if image.pk in stored],
        space,
        result,
        {"queue": round(queued_ms, 2), **result.timings},
    )


def _diagnosis_write(case, images, space, result: SearchResult, timings) -> Diagnosis:
    classification = result.classification
    best = classification.best
    return Diagnosis.objects.create(
        case=case,
        outcome=classification.outcome,
        reason=classification.reason,
        category=best and best.category,
        probability=best and best.probability,
        categories=[
            {
                "category": entry.category.pk,
                "code": entry.category.code,
                "name": entry.category.name,
                "probability": round(entry.probability, 4),
                "typicality": round(entry.typicality, 4),
                "in_set": entry.in_set,
                "images": entry.images,
                "cases": entry.cases,
                "few_examples": entry.few_examples,
            }
            for entry in classification.categories
        ],
        novelty_p=classification.novelty_p,
        matches=[
            {
                "rank": match.rank,
                "similarity": match.similarity,
                "image": match.image.pk,
                "case": match.case.pk,
                "number": match.case.number,
                "category": match.image.confirmed_category_id,
            }
            for match in result.matches
        ],
        images=[{"image": image.pk, "sha256": image.file.sha256} for image in images],
        space=space,
        classifier=classification.classifier,
        thresholds=classification.thresholds,
        library_watermark=result.watermark,
        library_size=result.library_size,
        timings=timings,
    )


@transaction.atomic
def case_decide(
    case: Case,
    *,
    verdict: str,
    category: FaultCategory | None = None,
    user=None,
    note: str = "",
    diagnosis: Diagnosis | None = None,
    after: Decision | object | None = ANY_DECISION,
) -> Decision:
    """Record what an engineer says that the case shows, label its images and take the case out of New.

    `diagnosis` is the suggestion that the engineer saw; without it, the case's newest one. A later decision
    replaces the label of an earlier one; both stay on record. `after` is the newest decision that the
    engineer knew, None for none.
    Raises ValidationError when the case has no image to decide on, the category does not fit the verdict,
    or somebody decided after `after`.
    """
    case.refresh_from_db(from_queryset=Case.objects.select_for_update())
    newest = case.decisions.select_related("category", "made_by").first()
    if after is not ANY_DECISION and newest and newest != after:
        raise ValidationError(_decided_meanwhile(newest))
    images = list(case.images.diagnostic())
    if not images:
        raise ValidationError({"images": f"{case} has no picture to decide on: add one first."})
    images_label(images, verdict=verdict, category=category, user=user, note=note)
    diagnosis = diagnosis or case.diagnoses.first()
    suggested = diagnosis.category_id if diagnosis else None
    decision = Decision.objects.create(
        case=case,
        diagnosis=diagnosis,
        verdict=verdict,
        category=category,
        agrees=category is not None and category.pk == suggested,
        made_by=user,
    )
    classifier_keep(library_current())
    if case.status == Case.Status.NEW:
        note = category.name if category else Label.Verdict(verdict).label
        case_transition(case, Case.Status.TRIAGED, user=user, note=note)
    return decision


def _decided_meanwhile(decision: Decision) -> str:
    category = decision.category
    said = f"confirmed {category.name}" if category else f"said {decision.get_verdict_display()}"
    at = timezone.localtime(decision.made_at)
    return f"{decision.made_by or 'Somebody'} {said} meanwhile ({at:%H:%M}). Look again, then decide."
