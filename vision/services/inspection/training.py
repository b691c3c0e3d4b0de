"""Training an inspector: from good pictures to a version with a threshold, as a job."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cases.models import ImageFile, Job
from cases.services.jobs import JobProgress, job_create
from vision.engine.rejection import RejectionRule, TooFewGoodParts, held_out_split, parts_needed
from vision.engine.weight_checks import weights_verified
from vision.models import Inspector, InspectorVersion
from vision.models.inspection import HoldOut, Rule
from vision.services.inspection.good_pictures import GoodPictures, pictures_survey
from vision.services.inspection.versions import mapper_of, version_folder, version_number_next
from vision.services.weights import weights_keep

if TYPE_CHECKING:
    from vision.engine.mapped_pictures import PictureMapper
    from vision.engine.part_inspector import PartInspector

TRAIN_KIND = "vision.tasks.train_inspector"
#: Different parts, below which nothing can be said of what varies among good ones.
LEAST_PARTS = 2
#: A picture of another product is, everywhere, so many times as far from good as the worst good part.
_FOREIGN = 1.5
_WORDS = {
    "look": "Looking at good parts",
    "draw": "Drawing faults on good parts",
    "turns": "Judging good parts by what was learned from the others",
    "compare": "Comparing the patches of good parts",
    "select": "Choosing the patches that stand for all",
    "head": "Learning the drawn faults",
    "score": "Judging good parts that were held out",
}
#: Where the steps lie on the progress bar, in per cent.
_BAR = {
    "survey": (0, 12),
    "look": (12, 20),
    "draw": (20, 28),
    "turns": (28, 85),
    "compare": (85, 87),
    "select": (87, 93),
    "head": (93, 96),
    "score": (96, 99),
}


class TrainingRefused(Exception):
    """An inspector can't be trained; the sentence says what is missing."""


@dataclass(frozen=True)
class _Trained:
    """A fitted model, which pictures it never saw (bool (n,)), and scores of held-out good parts."""

    model: "PartInspector"
    held: np.ndarray
    scores: np.ndarray
    typical: np.ndarray


def inspector_training(inspector: Inspector) -> Job | None:
    """The training of this inspector that is queued or under way."""
    under_way = Job.objects.filter(kind=TRAIN_KIND, parameters__inspector=inspector.pk)
    return under_way.filter(state__in=[Job.State.QUEUED, Job.State.RUNNING]).first()


def inspector_train_start(inspector: Inspector, *, user=None, enqueue: bool = True) -> Job:
    """A job that trains a new version; the active one serves on.

    Without `enqueue` no worker is told: the caller runs the job itself. Raises TrainingRefused with too few
    good pictures, or while another training is under way.
    """
    with transaction.atomic():
        Inspector.objects.select_for_update(no_key=True).get(pk=inspector.pk)
        running = inspector_training(inspector)
        if running:
            raise TrainingRefused(f"{inspector} is being trained already (job {running.pk}): wait for it.")
        count = inspector.pictures.fitted().count()
        if count < LEAST_PARTS:
            raise TrainingRefused(
                f"{inspector} has {count or 'no'} {'picture' if count == 1 else 'pictures'} of good parts:"
                f" add {LEAST_PARTS - count} or more, of different parts."
            )
        return job_create(TRAIN_KIND, {"inspector": inspector.pk}, user=user, enqueue=enqueue)


def inspector_train(progress: JobProgress, *, device: str | None = None) -> InspectorVersion:
    """Learn from the good pictures that the inspector has at this moment.

    The version serves at once if no other does. What a killed worker left behind is begun anew. Raises
    TrainingRefused, PictureUnreadable, WeightsError, StorageAway, and OSError when the disk is full.
    """
    known = InspectorVersion.objects.filter(job=progress.job).first()
    if known:  # the worker was killed after the last step
        return known
    started = time.monotonic()
    inspector = Inspector.objects.get(pk=progress.job.parameters["inspector"])
    path, digest = weights_verified(inspector.backbone, settings.FAULTDIAG_DATA)
    weights_keep(path, digest)
    tell = _teller(progress)
    files = [row.file for row in inspector.pictures.fitted().select_related("file")]
    groups, grey = pictures_survey(files, lambda share: tell("survey", share))
    if len(np.unique(groups)) < LEAST_PARTS:
        raise TrainingRefused(
            f"All {len(files)} good pictures of {inspector} show the same part: add pictures of others, or it"
            " can't know what varies among good parts."
        )
    mapper = mapper_of(inspector.backbone, digest, inspector.resolution, device)
    if inspector.hold_out == HoldOut.PICTURES:
        groups = np.arange(len(files))
    with progress.alive():
        trained = _train(inspector, GoodPictures(files, grey=grey), groups, mapper, tell)
    version = _version_store(
        progress.job, inspector, files, trained, digest, grey, time.monotonic() - started
    )
    progress.advance(100, f"{version} is trained. {version.reason}")
    progress.result = {"version": version.pk, "number": version.number, "threshold": version.threshold}
    return version


def _teller(progress: JobProgress):
    """Translates the share of a step that is done into the progress of the job, told twice a second."""
    progress.start(100, "Looking for near-duplicates")
    told = time.monotonic()

    def tell(step: str, share: float) -> None:
        nonlocal told
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            first, last = _BAR[step]
            progress.advance(round(first + (last - first) * share), _WORDS.get(step, ""))

    return tell


def _train(
    inspector: Inspector, good: GoodPictures, groups: np.ndarray, mapper: "PictureMapper", tell
) -> _Trained:
    """Fit to the good pictures, and score those that were held out, for good or in turns."""
    # It brings torch, which must not be there before a fork.
    from vision.engine.part_inspector import PartInspector

    def told(step: str, done: int, total: int | None) -> None:
        tell(step, done / (total or 1))

    model = PartInspector(mapper, threads=settings.THREADS or 1)
    if inspector.rule == Rule.SPLIT:
        held = held_out_split(groups, parts_needed(inspector.alpha))
        if held is not None and len(np.unique(groups[~held])) >= LEAST_PARTS:
            model.fit(good.chosen(~held), groups[~held], progress=told)
            return _Trained(model, held, *_score(model, good.chosen(held), tell))
    model.fit(good, groups, progress=told)
    return _Trained(model, np.zeros(len(good), bool), model.good_scores_, model.good_typical_)


def _score(model: "PartInspector", good: GoodPictures, tell) -> tuple[np.ndarray, np.ndarray]:
    """Scores and typical distances of good pictures, float64 (m,) each."""
    seen = []
    for picture in good:
        seen.append(model.inspect([picture])[0])
        tell("score", len(seen) / len(good))
    return np.array([one.score for one in seen]), np.array([one.typical for one in seen])


def _threshold(inspector: Inspector, trained: _Trained) -> tuple[float | None, str]:
    """The threshold and how it came about; none where there are too few good parts for the rule."""
    promises = inspector.rule in (Rule.CONFORMAL, Rule.SPLIT)
    rule = RejectionRule("conformal" if promises else inspector.rule, alpha=inspector.alpha)
    try:
        if inspector.rule == Rule.SPLIT and not trained.held.any():
            raise TooFewGoodParts(len(trained.scores) // 2, parts_needed(inspector.alpha), inspector.alpha)
        rule.fit(trained.scores)
    except TooFewGoodParts as few:
        return (
            None,
            f"No verdicts: {few} Add them, allow a larger rate, or take a rule that promises nothing.",
        )
    parts = f"{len(trained.scores)} good parts that were held out"
    percentile = f"{100 * (1 - inspector.alpha):g}th percentile"
    how = {
        Rule.CONFORMAL: f"about {inspector.alpha:.3g} of good parts lie above, by {parts} in turns",
        Rule.SPLIT: f"at most {inspector.alpha:.3g} of good parts lie above, by {parts}",
        Rule.DEVIATIONS: f"mean + {rule.deviations:g} standard deviations of {parts} in turns, no promise",
        Rule.PERCENTILE: f"the {percentile} of {parts} in turns, no promise",
    }
    return rule.threshold_, f"Threshold {rule.threshold_:.3f}: {how[Rule(inspector.rule)]}."


def _version_store(
    job: Job,
    inspector: Inspector,
    files: list[ImageFile],
    trained: _Trained,
    digest: str,
    grey: bool,
    seconds: float,
) -> InspectorVersion:
    threshold, reason = _threshold(inspector, trained)
    learned_from, held_out = (
        [files[at].sha256 for at in np.flatnonzero(which)] for which in (~trained.held, trained.held)
    )
    with transaction.atomic():
        Inspector.objects.select_for_update(no_key=True).get(pk=inspector.pk)
        finished = InspectorVersion.objects.filter(job=job).first()
        if finished:  # a second worker took the job up when this one was silent for long
            return finished
        number = version_number_next(inspector)
        trained.model.save(version_folder(inspector, number))
        serves = not inspector.versions.filter(state=InspectorVersion.State.ACTIVE).exists()
        return InspectorVersion.objects.create(
            inspector=inspector,
            number=number,
            state=InspectorVersion.State.ACTIVE if serves else InspectorVersion.State.READY,
            backbone=inspector.backbone,
            weights_sha256=digest,
            resolution=inspector.resolution,
            parameters=trained.model.settings(),
            learned_from=learned_from,
            held_out=held_out,
            data_sha256=hashlib.sha256(json.dumps([learned_from, held_out]).encode()).hexdigest(),
            good_scores=sorted(trained.scores.tolist()),
            rule=inspector.rule,
            alpha=inspector.alpha,
            threshold=threshold,
            reason=reason,
            level=trained.model.level_,
            foreign_from=_FOREIGN * float(trained.typical.max()),
            is_grey=grey,
            seconds=round(seconds, 1),
            job=job,
            created_by=job.created_by,
            activated_by=job.created_by if serves else None,
            activated_at=timezone.now() if serves else None,
        )
