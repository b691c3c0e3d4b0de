"""Tuning the embedding to the library's own labels, and the gate that the result has to pass."""

import hashlib
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count

from cases.models import CaseImage, FaultCategory, Job
from cases.services.jobs import JobProgress, job_create
from vision.engine import adaptation as engine
from vision.engine.adaptation_gate import GateVerdict, compare, measure_queries
from vision.engine.arrays import arrays_pack
from vision.models import Adaptation, EmbeddingSpace
from vision.services.adaptation_data import (
    AdaptationRefused,
    LabelledVectors,
    data_split,
    labelled_vectors,
)
from vision.services.embedding import space_current, vectors_project
from vision.services.network_tuning import network_tune
from vision.services.spaces import BUILD_KIND, SpaceRefused, space_active, space_build_start, space_undo

ADAPT_KIND = "vision.tasks.adapt"
#: Enough to learn from and to judge by.
CATEGORIES, IMAGES, CASES = 2, 10, 5
#: How long the whole network is tuned, if nothing else is said.
MINUTES = 30.0


@dataclass(frozen=True)
class AdaptationOffer:
    """Whether there is enough data: `missing` says in sentences what there is too little of."""

    available: bool
    missing: list[str]
    images: int
    categories: int  # with enough confirmed images in enough cases
    running: Job | None


def adaptation_offer() -> AdaptationOffer:
    """Is there enough to adapt to: at least two categories with ten confirmed images in five cases."""
    counted = list(
        FaultCategory.objects.filter(labelled_images__in=CaseImage.objects.diagnostic())
        .annotate(images=Count("labelled_images"), cases=Count("labelled_images__case", distinct=True))
        .order_by("-images", "code")
    )
    short = [one for one in counted if one.images < IMAGES or one.cases < CASES]
    enough = len(counted) - len(short)
    missing = []
    if enough < CATEGORIES:
        missing.append(
            f"{CATEGORIES} categories with at least {IMAGES} confirmed pictures in {CASES} cases are needed;"
            f" {enough or 'none'} {'has' if enough == 1 else 'have'} so many."
        )
        missing += [
            f"{one.name}: {one.images} of {IMAGES} pictures, {one.cases} of {CASES} cases."
            for one in short[: 2 * CATEGORIES]
        ]
    running = adaptation_running()
    return AdaptationOffer(
        available=not missing and running is None,
        missing=missing,
        images=sum(one.images for one in counted),
        categories=enough,
        running=running,
    )


def adaptation_running() -> Job | None:
    """The attempt, or the building of a space, that is under way."""
    under_way = Job.objects.filter(kind__in=[ADAPT_KIND, BUILD_KIND])
    return under_way.filter(state__in=[Job.State.QUEUED, Job.State.RUNNING]).first()


def adaptation_start(user=None, network: bool = False, minutes: float = MINUTES) -> Job:
    """Queue an attempt; raises AdaptationRefused when there is too little data or one is under way.

    `network` tunes the whole network to the pictures for so many `minutes`, instead of a projection.
    """
    with transaction.atomic():
        # Two people who press the button at once start one attempt.
        EmbeddingSpace.objects.select_for_update(no_key=True).filter(pk=space_current().pk).first()
        offer = adaptation_offer()
        if offer.running:
            raise AdaptationRefused(f"Job {offer.running.pk} is still at work: wait for it.")
        if not offer.available:
            raise AdaptationRefused(" ".join(offer.missing))
        return job_create(ADAPT_KIND, {"network": network, "minutes": minutes}, user=user)


def adaptation_run(progress: JobProgress) -> Adaptation | None:
    """Learn from two thirds of the cases, judge by the others, keep the record, and build what is better.

    What becomes active is exactly what was measured. It is not refitted to all labels: that one would have
    been judged by nobody, and the held-out cases stay free of flattery for the classifier. Tuning a network
    takes many steps; between them the job is paused, and None returned.
    """
    known = Adaptation.objects.filter(job=progress.job).first()
    if known:  # the worker was killed after the last step
        return known
    active = space_current()
    attempt = _network_attempt if progress.job.parameters.get("network") else _projection_attempt
    made = attempt(progress, active)
    if made is not None:
        progress.advance(100, made.reason)
        progress.result = {"adaptation": made.pk, "passed": made.passed, "reason": made.reason}
    return made


def _projection_attempt(progress: JobProgress, active: EmbeddingSpace) -> Adaptation:
    data = labelled_vectors(active.network)
    train, test = data_split(data, active)
    progress.start(100, "Learning from the labels", done=5)
    fitted = _fit(data, train, lambda done, total: progress.advance(5 + 80 * done // total))
    progress.advance(90, "Judging by held-out cases")
    verdict = _judge(active, data, test, fitted)
    parameters, arrays = fitted.learned()
    stored = arrays_pack(arrays)
    with transaction.atomic():
        made = _record(
            progress.job,
            active,
            verdict,
            method=Adaptation.Method.PROJECTION,
            parameters=parameters,
            arrays=stored if verdict.passed else b"",
            sha256=hashlib.sha256(stored).hexdigest(),
            data_sha256=data.sha256(),
            learned_from=data.image_ids[train].tolist(),
            held_out=data.image_ids[test].tolist(),
        )
        if made.passed:
            space_build_start(_space_of(made, active, fitted.dimension), user=made.created_by)
    return made


def _network_attempt(progress: JobProgress, active: EmbeddingSpace) -> Adaptation | None:
    tuned = network_tune(progress, active)
    if tuned is None:
        progress.pause()
        return None
    before, after = (
        measure_queries(rows, tuned.labels, tuned.groups) for rows in (tuned.vectors_before, tuned.vectors)
    )
    verdict = compare(before, after, None)
    with transaction.atomic():
        made = _record(
            progress.job,
            active,
            verdict,
            method=Adaptation.Method.NETWORK,
            parameters=tuned.parameters,
            arrays=b"",
            sha256=tuned.space.weights_sha256,
            data_sha256=tuned.data_sha256,
            learned_from=tuned.learned_from,
            held_out=tuned.held_out,
        )
        if made.passed:
            described = tuned.space
            space, _ = EmbeddingSpace.objects.get_or_create(
                slug=described.slug,
                defaults={
                    "backbone": described.backbone,
                    "weights_sha256": described.weights_sha256,
                    "preprocessing": described.preprocessing,
                    "dimension": described.dimension,
                    "parent": active,
                    "adaptation": made,
                },
            )
            space_build_start(space, user=made.created_by)
    tuned.clean(keep_weights=made.passed)
    return made


def _record(job: Job, active: EmbeddingSpace, verdict: GateVerdict, **fields) -> Adaptation:
    return Adaptation.objects.create(
        compared_with=active,
        passed=verdict.passed,
        reason=verdict.reason,
        measures=verdict.as_dict(),
        job=job,
        created_by=job.created_by,
        **fields,
    )


def adaptation_preview(watch=None) -> GateVerdict:
    """The same measurement without keeping or changing anything."""
    offer = adaptation_offer()
    if offer.missing:
        raise AdaptationRefused(" ".join(offer.missing))
    active = space_current()
    data = labelled_vectors(active.network)
    train, test = data_split(data, active)
    return _judge(active, data, test, _fit(data, train, watch))


def _fit(data: LabelledVectors, train, watch) -> engine.Adaptation:
    try:
        return engine.Adaptation().fit(
            data.vectors[train], data.labels[train], groups=data.groups[train], watch=watch
        )
    except engine.AdaptationError as error:
        raise AdaptationRefused(str(error)) from error


def _judge(active, data: LabelledVectors, test, fitted: engine.Adaptation) -> GateVerdict:
    vectors, labels, groups = data.vectors[test], data.labels[test], data.groups[test]
    measures = fitted.measures_
    unknown = None
    if "unknown_auroc" in measures:
        unknown = measures["unknown_auroc_before"], measures["unknown_auroc"]
    try:
        before = measure_queries(vectors_project(active, vectors), labels, groups)
        after = measure_queries(fitted.transform(vectors), labels, groups)
    except ValueError as error:
        raise AdaptationRefused(str(error)) from error
    return compare(before, after, unknown)


def _space_of(made: Adaptation, active: EmbeddingSpace, dimension: int) -> EmbeddingSpace:
    network = active.network
    space, _ = EmbeddingSpace.objects.get_or_create(
        slug=f"{network.slug}-{made.sha256[:8]}",
        defaults={
            "backbone": network.backbone,
            "weights_sha256": network.weights_sha256,
            "preprocessing": network.preprocessing,
            "dimension": dimension,
            "base": network,
            "parent": active,
            "adaptation": made,
        },
    )
    return space


def adaptation_undo(user=None) -> Job:
    """Go back to the space before the newest adaptation; raises AdaptationRefused when there is none."""
    running = adaptation_running()
    if running:
        raise AdaptationRefused(f"Job {running.pk} is still at work: wait for it.")
    try:
        return space_undo(user=user)
    except SpaceRefused as error:
        raise AdaptationRefused(str(error)) from error


def adaptation_state() -> dict:
    """All that page and API show: the offer, the newest attempts and the spaces, newest first."""
    spaces = EmbeddingSpace.objects.select_related("parent", "base").order_by("-id")
    active = space_active()
    return {
        "offer": adaptation_offer(),
        "attempts": list(
            Adaptation.objects.select_related("created_by", "compared_with").defer("arrays", "held_out")[:5]
        ),
        "spaces": list(spaces[:10]),
        "can_undo": active is not None and active.parent_id is not None,
    }
