"""From stored images to vectors in the database."""

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache as memoize
from threading import Lock

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from PIL import Image

from cases.models import CaseImage
from vision.engine.embedder import Embedder
from vision.engine.images import ImageError, load_image
from vision.engine.weight_files import find_weights
from vision.models import Embedding, EmbeddingFailure, EmbeddingSpace

logger = logging.getLogger(__name__)

#: Images that one bulk task embeds before it lets others have the worker.
BATCH = 32
#: When an original that could not be read is tried again.
_RETRY_AFTER = timedelta(hours=1)
_PENDING_KEY = "vision.embed_pending.queued"
_building = Lock()


@memoize
def _build_embedder() -> Embedder:
    return Embedder(
        settings.BACKBONE,
        find_weights(settings.BACKBONE, settings.FAULTDIAG_DATA),
        cache_dir=settings.FAULTDIAG_DATA / "openvino",
        threads=settings.THREADS or None,
    )


def embedder() -> Embedder:
    """The embedder of this process, built at its first use: never before a fork."""
    with _building:
        return _build_embedder()


def space_current() -> EmbeddingSpace:
    """The space that the configured backbone embeds into; becomes the active one at its first use."""
    described = embedder().space
    space = EmbeddingSpace.objects.filter(slug=described.slug, state=EmbeddingSpace.State.ACTIVE).first()
    return space or _space_activate(described)


@transaction.atomic
def _space_activate(described) -> EmbeddingSpace:
    space, _ = EmbeddingSpace.objects.get_or_create(
        slug=described.slug,
        defaults={
            "backbone": described.backbone,
            "weights_sha256": described.weights_sha256,
            "preprocessing": described.preprocessing,
            "dimension": described.dimension,
        },
    )
    EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).exclude(pk=space.pk).update(
        state=EmbeddingSpace.State.RETIRED
    )
    EmbeddingSpace.objects.filter(pk=space.pk).update(state=EmbeddingSpace.State.ACTIVE)
    space.refresh_from_db()
    return space


def vectors_pack(vectors: np.ndarray) -> list[bytes]:
    """float32 (n, d) to n byte strings of little-endian float16, as stored in Embedding.vector."""
    return [row.tobytes() for row in np.asarray(vectors, dtype="<f2")]


def vectors_unpack(stored: Sequence[bytes], dimension: int) -> np.ndarray:
    """The opposite of vectors_pack: float32 (n, dimension)."""
    flat = np.frombuffer(b"".join(bytes(one) for one in stored), dtype="<f2")
    return flat.astype(np.float32).reshape(-1, dimension)


def pictures_embed(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Embed decoded pictures: float32 (n, d), unit rows."""
    return embedder().embed(pictures)


def images_embed(image_ids: Iterable[int]) -> int:
    """Embed images that have no vector in the current space yet; returns how many rows were added.

    Running it twice, or in two processes at once, leaves one row an image. An original that cannot be read
    is set aside as an EmbeddingFailure.
    """
    space = space_current()
    images = (
        CaseImage.objects.filter(pk__in=list(image_ids))
        .exclude(embeddings__space=space)
        .select_related("file")
        .order_by("pk")
    )
    readable, pictures = [], []
    for image in images:
        try:
            with image.file.original.open("rb") as original:
                pictures.append(load_image(original.read(), fit=embedder().spec.input_size))
            readable.append(image)
        except (ImageError, OSError) as error:
            logger.error("%s (image %s) can't be embedded: %s", image, image.pk, error)
            EmbeddingFailure.objects.get_or_create(image=image, space=space, defaults={"error": str(error)})
    if not pictures:
        return 0
    vectors = vectors_pack(pictures_embed(pictures))
    return _store(space, readable, vectors)


@transaction.atomic
def _store(space, images, vectors):
    # The images are locked against deletion while their vectors come in.
    alive = set(
        CaseImage.objects.select_for_update(no_key=True)
        .filter(pk__in=[image.pk for image in images])
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    before = Embedding.objects.filter(space=space, image__in=alive).count()
    Embedding.objects.bulk_create(
        [
            Embedding(image=image, space=space, vector=vector)
            for image, vector in zip(images, vectors, strict=True)
            if image.pk in alive
        ],
        ignore_conflicts=True,
    )
    EmbeddingFailure.objects.filter(space=space, image__in=alive).delete()
    return Embedding.objects.filter(space=space, image__in=alive).count() - before


def images_pending(space: EmbeddingSpace):
    """Diagnostic images without a vector in `space`, oldest first."""
    return (
        CaseImage.objects.diagnostic()
        .exclude(embeddings__space=space)
        .exclude(embedding_failures__space=space)
        .order_by("pk")
    )


def failures_forget() -> None:
    """Have originals that could not be read tried again: the disk may have been away, and not the picture."""
    EmbeddingFailure.objects.filter(created_at__lt=timezone.now() - _RETRY_AFTER).delete()


def pending_embed() -> bool:
    """Embed one batch of what waits; True when there may be more."""
    cache.delete(_PENDING_KEY)
    ids = list(images_pending(space_current()).values_list("pk", flat=True)[:BATCH])
    images_embed(ids)
    return len(ids) == BATCH


def pending_enqueue() -> None:
    """Have a worker embed what waits, after commit; one such task in the queue is enough for all."""
    transaction.on_commit(_pending_send, robust=True)


def _pending_send():
    from vision.tasks import embed_pending

    if cache.add(_PENDING_KEY, True, timeout=30):
        embed_pending.delay()
