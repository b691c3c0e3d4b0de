"""Embedding spaces: built in the background while the active one serves, then swapped in one transaction."""

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from cases.models import Job
from cases.services.jobs import JobProgress, job_create
from vision.engine.backbones import WeightsError, get_backbone
from vision.engine.weight_checks import weights_verified
from vision.models import Embedding, EmbeddingFailure, EmbeddingSpace
from vision.services.classifiers import classifier_fit
from vision.services.embedding import (
    BATCH,
    embedder,
    embedder_for,
    library_lock,
    pending_enqueue,
    space_current,
    space_embed,
    space_mark_active,
    space_of,
)
from vision.services.library import Library, library_current
from vision.services.weights import weights_of

BUILD_KIND = "vision.tasks.build_space"
FOLLOW_KIND = "vision.tasks.follow_settings"
#: Vectors that one step projects; a step that needs the network takes embedding.BATCH pictures.
_PROJECTED = 2_000


class SpaceRefused(Exception):
    """Why a space does not become the active one, as a sentence."""


def space_active() -> EmbeddingSpace | None:
    """The active space, if there is one yet: reading it never builds a network."""
    active = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE)
    return active.select_related("base", "parent").first()


def sight_warm_up() -> None:
    """Load the library and the network of the active space before the first person waits for them."""
    library = library_current()
    library.refresh()
    embedder_for(library.space)


def space_build_start(space: EmbeddingSpace, *, user=None) -> Job:
    """Have a worker build a space up and then make it the active one."""
    EmbeddingSpace.objects.filter(pk=space.pk).exclude(state=EmbeddingSpace.State.ACTIVE).update(
        state=EmbeddingSpace.State.BUILDING
    )
    return job_create(BUILD_KIND, {"space": space.pk}, user=user)


def space_build_step(progress: JobProgress) -> None:
    """Build a part of a space; pauses the job while there is more.

    What is there already is the progress, so a killed worker loses one step. Raises SpaceRefused when the
    space is no longer wanted.
    """
    space = EmbeddingSpace.objects.select_related("base").get(pk=progress.job.parameters["space"])
    active = space_current()
    if space == active:
        progress.result = {"space": space.slug, "activated": True}
        return
    _refuse_unwanted(space, active)
    missing = space_missing(space, active)
    total, left = Embedding.objects.filter(space=active).count(), missing.count()
    progress.start(total, f"Building {space.slug}", done=total - left)
    if left:
        space_embed(space, _next_part(space, missing))
    else:
        # Before the swap, so that nobody's first search has to wait for it.
        if not space.classifiers.exists():
            classifier_fit(Library(space))
        if space_activate(space):
            progress.result = {"space": space.slug, "activated": True}
            return
    progress.pause()


def _refuse_unwanted(space, active):
    reason = ""
    if space.state != EmbeddingSpace.State.BUILDING:
        reason = "it was given up meanwhile."
    elif space.parent_id and space.root != active.root:
        reason = "another network became the active one meanwhile."
    elif not space.parent_id and space != active.root and not _is_wanted(space):
        reason = "the settings ask for another network now."
    if reason:
        EmbeddingSpace.objects.filter(pk=space.pk, state=EmbeddingSpace.State.BUILDING).update(
            state=EmbeddingSpace.State.RETIRED
        )
        raise SpaceRefused(f"The space {space.slug} is not built further: {reason}")


def _next_part(space, missing) -> list[int]:
    image_ids = list(missing[:_PROJECTED])
    known = set(
        Embedding.objects.filter(space=space.network, image__in=image_ids).values_list("image_id", flat=True)
    )
    pictures = [image_id for image_id in image_ids if image_id not in known]
    return pictures[:BATCH] or image_ids


def space_missing(space: EmbeddingSpace, active: EmbeddingSpace) -> QuerySet:
    """Ids of images that the active space has and `space` lacks, oldest first; not those it set aside."""
    here = Embedding.objects.filter(space=space, image=OuterRef("image"))
    failed = EmbeddingFailure.objects.filter(space=space, image=OuterRef("image"))
    return (
        Embedding.objects.filter(~Exists(here), ~Exists(failed), space=active)
        .order_by("image_id")
        .values_list("image_id", flat=True)
    )


@transaction.atomic
def space_activate(space: EmbeddingSpace) -> bool:
    """Make a building space the active one for all processes; False when it lacks an image of the active one.

    The lock keeps writers of vectors out, so no upload falls between the check and the swap.
    """
    library_lock()
    if not EmbeddingSpace.objects.filter(pk=space.pk, state=EmbeddingSpace.State.BUILDING).exists():
        raise SpaceRefused(f"The space {space.slug} was given up meanwhile.")
    active = space_active()
    if active and space_missing(space, active).exists():
        return False
    space_mark_active(space)
    pending_enqueue()
    return True


def space_undo(*, user=None) -> Job:
    """Go back to the space that the active one was adapted from; raises SpaceRefused when it was not."""
    active = space_active()
    if active is None or active.parent is None:
        raise SpaceRefused("The active space is the network's own: there is no adaptation to undo.")
    return space_build_start(active.parent, user=user)


def settings_identity() -> tuple[str, str, str]:
    """Backbone, sha256 of its weights and preprocessing, as the settings ask for.

    Cheap after the first time. Raises WeightsError when the file is missing or not what it should be.
    """
    _, digest = weights_verified(settings.BACKBONE, settings.FAULTDIAG_DATA)
    return settings.BACKBONE, digest, get_backbone(settings.BACKBONE).preprocessing


def _is_wanted(space: EmbeddingSpace) -> bool:
    try:
        return settings_identity() == (space.backbone, space.weights_sha256, space.preprocessing)
    except WeightsError:
        return False


def settings_follow_enqueue() -> Job | None:
    """Have a worker build the space that the settings ask for, if that is not what serves; once for each."""
    active = space_active()
    if active is None or _is_wanted(active.root):
        return None
    try:
        backbone, digest, preprocessing = settings_identity()
    except WeightsError:
        return None  # `settings_note` says why; there is nothing that a worker could do
    wanted = {"backbone": backbone, "sha256": digest, "preprocessing": preprocessing, "from": active.slug}
    newest = Job.objects.filter(kind=FOLLOW_KIND).first()
    if newest and newest.parameters == wanted and not _was_given_up(newest):
        return None
    return job_create(FOLLOW_KIND, wanted)


def settings_following() -> Job | None:
    """The oldest job, queued or running, that loads the configured network or builds a space; or None."""
    jobs = Job.objects.filter(kind__in=(FOLLOW_KIND, BUILD_KIND))
    return jobs.filter(state__in=(Job.State.QUEUED, Job.State.RUNNING)).last()


def _was_given_up(follow: Job) -> bool:
    """The settings were changed back while its space was built, so that it is to be built once more."""
    retired = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.RETIRED)
    return follow.state == Job.State.DONE and retired.filter(slug=follow.result.get("space")).exists()


def settings_follow(progress: JobProgress) -> None:
    """Load the configured network, then build its space, or switch at once where the old one can't serve.

    Raises SpaceRefused when its weights are of no use: the active space then serves on.
    """
    active = space_current()
    try:
        space = space_of(embedder())
    except (WeightsError, OSError) as error:
        raise SpaceRefused(f"{error} The active space {active.slug} serves on.") from error
    progress.result = {"space": space.slug}
    if space in (active, active.root):
        return
    try:
        embedder_for(active)
    except WeightsError:
        EmbeddingSpace.objects.filter(pk=space.pk).update(state=EmbeddingSpace.State.BUILDING)
        with transaction.atomic():
            library_lock()
            space_mark_active(space)
            pending_enqueue()
        return
    space_build_start(space)


def weights_check() -> None:
    """Raises WeightsError when neither the active space nor the settings have weights that are here."""
    active = space_active()
    if active:
        weights_of(active.backbone, active.weights_sha256)
    else:
        settings_identity()


def settings_note() -> str:
    """Why another space serves than the settings ask for, as sentences; empty when it is as it should be."""
    active = space_active()
    try:
        identity = settings_identity()
    except WeightsError as error:
        return f"{error} The active space {active.slug} serves on." if active else str(error)
    root = active and active.root
    if active is None or identity == (root.backbone, root.weights_sha256, root.preprocessing):
        return ""
    newest = Job.objects.filter(
        kind=FOLLOW_KIND, parameters__backbone=identity[0], parameters__sha256=identity[1]
    ).first()
    if newest and newest.state == Job.State.FAILED:
        return newest.error
    return (
        f"The settings ask for {identity[0]} with the weights {identity[1][:12]}…: its space is being built,"
        f" and {active.slug} serves until it is complete."
    )
