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

from cases.models import Job
from cases.services.jobs import JobProgress, job_create
from vision.engine.patchcore import PatchCore
from vision.engine.rejection import RejectionRule, TooFewGoodParts, held_out_split, parts_needed
from vision.engine.weight_checks import weights_verified
from vision.models import Inspector, InspectorVersion
from vision.models.inspection import Rule
from vision.services.inspection.good_pictures import GoodPictures, pictures_survey
from vision.services.inspection.versions import features_of, version_folder, version_number_next
from vision.services.weights import weights_keep

if TYPE_CHECKING:
    from vision.engine.patch_features import PatchFeatures

TRAIN_KIND = "vision.tasks.train_inspector"
#: Different parts, below which nothing can be said of what varies among good ones.
LEAST_PARTS = 2
#: A picture of another product is, everywhere, so many times as far from good as the worst good part.
_FOREIGN = 1.5
_WORDS = {
    "look": "Looking at good parts",
    "compare": "Comparing their patches",
    "select": "Choosing the patches that stand for all",
    "score": "Scoring good parts that were held out",
}
#: Where the steps lie on the progress bar, in per cent.
_BAR = {"survey": (0, 30), "look": (30, 60), "compare": (60, 65), "select": (65, 85), "score": (85, 99)}


class TrainingRefused(Exception):
    """An inspector can't be trained; the sentence says what is missing."""


@dataclass(frozen=True)
class _Trained:
    """A fitted model, what it was fitted to and what was held out (bool (n,)), and scores of good parts."""

    model: PatchCore
    fitted: np.ndarray
    held: np.ndarray
    scores: np.ndarray
    typical: np.ndarray
    enough: bool


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
        parameters = {"inspector": inspector.pk}
        if enqueue:
            return job_create(TRAIN_KIND, parameters, user=user)
        return Job.objects.create(kind=TRAIN_KIND, parameters=parameters, created_by=user)


def inspector_train(progress: JobProgress, *, device: str | None = None) -> InspectorVersion:
    """Learn from the good pictures that the inspector has at this moment.

    The version serves at once if no other does. What a killed worker left behind is begun anew. Raises
    TrainingRefused, GoodPictureError, WeightsError, StorageAway, and OSError when the disk is full.
    """
    known = InspectorVersion.objects.filter(job=progress.job).first()
    if known:  # the worker was killed after the last step
        return known
    started = time.monotonic()
    inspector = Inspector.objects.get(pk=progress.job.parameters["inspector"])
    path, digest = weights_verified(inspector.backbone, settings.FAULTDIAG_DATA)
    weights_keep(path, digest)
    tell = _teller(progress)
    good = GoodPictures([row.file for row in inspector.pictures.fitted().select_related("file")])
    groups, grey = pictures_survey(good, lambda share: tell("survey", share))
    if len(np.unique(groups)) < LEAST_PARTS:
        raise TrainingRefused(
            f"All {len(good)} good pictures of {inspector} show the same part: add pictures of others, or it"
            " can't know what varies among good parts."
        )
    features = features_of(inspector.backbone, digest, device)
    good = GoodPictures(good.files, grey=grey)
    trained = _train(inspector, good, groups, features, tell)
    version = _version_store(inspector, good, trained, digest, progress.job, time.monotonic() - started)
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


def _train(inspector, good: GoodPictures, groups: np.ndarray, features: "PatchFeatures", tell) -> _Trained:
    needed = parts_needed(inspector.alpha) if inspector.rule == Rule.CONFORMAL else 2
    held = held_out_split(groups, needed)
    if held is not None:
        model = _fit(good, ~held, features, tell)
        scores, typical = _score(model, good, held, lambda share: tell("score", share))
        return _Trained(model, ~held, held, scores, typical, enough=True)
    # Too few to hold any out: each half is scored by what the other taught, and all are learned from.
    halves = _halves(groups)
    everything = np.ones(len(groups), bool)
    results = [_score(_fit(good, halves != half, features, tell), good, halves == half) for half in (0, 1)]
    scores, typical = (np.concatenate(kind) for kind in zip(*results, strict=True))
    model = _fit(good, everything, features, tell)
    return _Trained(model, everything, ~everything, scores, typical, enough=inspector.rule != Rule.CONFORMAL)


def _halves(groups: np.ndarray) -> np.ndarray:
    numbers, place = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(numbers)) % 2)[place]


def _fit(good: GoodPictures, which: np.ndarray, features: "PatchFeatures", tell) -> PatchCore:
    model = PatchCore(features, threads=settings.THREADS or 1)
    return model.fit(good.chosen(which), progress=lambda step, done, total: tell(step, done / (total or 1)))


def _score(
    model: PatchCore, good: GoodPictures, which: np.ndarray, tell=None
) -> tuple[np.ndarray, np.ndarray]:
    chosen = good.chosen(which)
    seen = []
    for image in chosen:
        seen.append(model.inspect([image])[0])
        if tell:
            tell(len(seen) / len(chosen))
    return np.array([one.score for one in seen]), np.array([one.typical for one in seen])


def _threshold(inspector: Inspector, trained: _Trained) -> tuple[float | None, str]:
    """The threshold and how it came about; none where there are too few good parts for the rule."""
    count = len(trained.scores)
    rule = RejectionRule(inspector.rule, alpha=inspector.alpha)
    held = f"{count} held-out good parts" if trained.held.any() else f"{count} good parts, scored in halves"
    if not trained.enough:
        missing = TooFewGoodParts(count // 2, parts_needed(inspector.alpha), inspector.alpha)
        return None, (
            f"No verdicts yet: {missing} Add {2 * missing.missing} good pictures, half of which are held out;"
            " or choose a larger rate, or another rule, which promises nothing."
        )
    rule.fit(trained.scores)
    how = {
        Rule.CONFORMAL: f"at most {inspector.alpha:.3g} of good parts are rejected, by {held}",
        Rule.DEVIATIONS: f"mean + {rule.deviations:g} standard deviations of {held}; it promises no rate",
        Rule.PERCENTILE: f"the {100 * (1 - inspector.alpha):g}th percentile of {held}; it promises no rate",
    }[Rule(inspector.rule)]
    return rule.threshold_, f"Threshold {rule.threshold_:.3f}: {how}."


def _version_store(
    inspector, good: GoodPictures, trained: _Trained, digest, job, seconds
) -> InspectorVersion:
    threshold, reason = _threshold(inspector, trained)
    learned_from, held_out = (
        [file.sha256 for file in good.chosen(which).files] for which in (trained.fitted, trained.held)
    )
    with transaction.atomic():
        Inspector.objects.select_for_update(no_key=True).get(pk=inspector.pk)
        number = version_number_next(inspector)
        trained.model.save(version_folder(inspector, number))
        serves = not inspector.versions.filter(state=InspectorVersion.State.ACTIVE).exists()
        return InspectorVersion.objects.create(
            inspector=inspector,
            number=number,
            state=InspectorVersion.State.ACTIVE if serves else InspectorVersion.State.READY,
            backbone=inspector.backbone,
            weights_sha256=digest,
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
            is_grey=good.grey,
            seconds=round(seconds, 1),
            job=job,
            created_by=job.created_by,
            activated_by=job.created_by if serves else None,
            activated_at=timezone.now() if serves else None,
        )
