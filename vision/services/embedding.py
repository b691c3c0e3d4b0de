"""From stored images to vectors in the database."""

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from cases.models import CaseImage
from cases.services.moments import long_ago
from vision.engine.adaptation import Adaptation
from vision.engine.arrays import arrays_unpack
from vision.engine.backbones import WeightsError
from vision.engine.embedder import Embedder
from vision.engine.images import ImageError, load_image
from vision.engine.weight_checks import weights_verified
from vision.models import Embedding, EmbeddingFailure, EmbeddingSpace
from vision.models.library import LIBRARY_LOCK
from vision.services.weights import weights_keep, weights_of

logger = logging.getLogger(__name__)

#: Images that one bulk task embeds before it lets others have the worker.
BATCH = 32
#: When an original that could not be read is tried again.
_RETRY_AFTER = timedelta(hours=1)
_PENDING_KEY = "vision.embed_pending.queued"
_building = Lock()
#: Networks of this process by the slug of their space: that of the active one, and of one that is built.
_embedders: dict[str, Embedder] = {}
_EMBEDDERS = 2


def embedder() -> Embedder:
    """The embedder that the settings ask for, built at its first use: never before a fork.

    Raises WeightsError when its weights are missing, damaged or of another network.
    """
    path, digest = weights_verified(settings.BACKBONE, settings.FAULTDIAG_DATA)
    with _building:
        for known in _embedders.values():
            if (known.space.backbone, known.space.weights_sha256) == (settings.BACKBONE, digest):
                return known
        return _remember(_build_embedder(settings.BACKBONE, path))


def embedder_for(space: EmbeddingSpace) -> Embedder:
    """The embedder of a space's network. Raises WeightsError when this program can't run it any more."""
    network = space.network
    with _building:
        if network.slug not in _embedders:
            path = weights_of(network.backbone, network.weights_sha256)
            made = _build_embedder(network.backbone, path)
            if made.space.slug != network.slug:
                raise WeightsError(
                    f"{path} no longer gives the vectors of the space {network.slug}: the file was exchanged,"
                    " or this version of the program prepares pictures differently."
                )
            _remember(made)
        return _embedders[network.slug]


def _build_embedder(backbone: str, weights: Path) -> Embedder:
    return Embedder(
        backbone,
        weights,
        cache_dir=settings.FAULTDIAG_DATA / "openvino",
        threads=settings.THREADS or None,
    )


def _remember(made: Embedder) -> Embedder:
    while len(_embedders) >= _EMBEDDERS:
        _embedders.pop(next(iter(_embedders)))
    _embedders[made.space.slug] = made
    return made


def space_current() -> EmbeddingSpace:
    """The active space, as the database says at this moment; the first one is made at its first use."""
    active = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE)
    return active.select_related("base").first() or _space_first()


def _space_first() -> EmbeddingSpace:
    space = space_of(embedder())
    with transaction.atomic():
        library_lock()
        if not EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).exists():
            space_mark_active(space)
    return EmbeddingSpace.objects.get(state=EmbeddingSpace.State.ACTIVE)


def space_of(made: Embedder) -> EmbeddingSpace:
    """The row of a network's own space, new ones in the state building, and its weights kept."""
    described = made.space
    path, _ = weights_verified(settings.BACKBONE, settings.FAULTDIAG_DATA)
    weights_keep(path, described.weights_sha256)
    space, _ = EmbeddingSpace.objects.get_or_create(
        slug=described.slug,
        defaults={
            "backbone": described.backbone,
            "weights_sha256": described.weights_sha256,
            "preprocessing": described.preprocessing,
            "dimension": described.dimension,
        },
    )
    return space


def space_mark_active(space: EmbeddingSpace) -> None:
    """Make a space the active one, inside a transaction that holds the library's lock."""
    states = EmbeddingSpace.State
    EmbeddingSpace.objects.filter(state=states.ACTIVE).exclude(pk=space.pk).update(state=states.RETIRED)
    EmbeddingSpace.objects.filter(pk=space.pk).update(state=states.ACTIVE, activated_at=timezone.now())


def library_lock() -> None:
    """Wait for other writers of the library, until the end of this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {LIBRARY_LOCK}")


@lru_cache(maxsize=4)
def _projection(slug: str) -> Adaptation:
    made = EmbeddingSpace.objects.select_related("adaptation").get(slug=slug).adaptation
    return Adaptation.restore(made.parameters, arrays_unpack(made.arrays))


def vectors_project(space: EmbeddingSpace, vectors: np.ndarray) -> np.ndarray:
    """Vectors of a space's network, float32 (n, d), as the space holds them."""
    return _projection(space.slug).transform(vectors) if space.base_id else vectors


def vectors_pack(vectors: np.ndarray) -> list[bytes]:
    """float32 (n, d) to n byte strings of little-endian float16, as stored in Embedding.vector."""
    return [row.tobytes() for row in np.asarray(vectors, dtype="<f2")]


def vectors_unpack(stored: Sequence[bytes], dimension: int) -> np.ndarray:
    """The opposite of vectors_pack: float32 (n, dimension)."""
    flat = np.frombuffer(b"".join(bytes(one) for one in stored), dtype="<f2")
    return flat.astype(np.float32).reshape(-1, dimension)


def pictures_embed(pictures: Sequence[Image.Image], space: EmbeddingSpace | None = None) -> np.ndarray:
    """Embed decoded pictures into a space, by default the active one: float32 (n, d), unit rows.

    They are rounded as stored vectors are, so a picture finds the same before and after it is kept.
    """
    space = space or space_current()
    vectors = _as_stored(embedder_for(space).embed(pictures))
    return _as_stored(vectors_project(space, vectors)) if space.base_id else vectors


def _as_stored(vectors: np.ndarray) -> np.ndarray:
    return vectors_unpack(vectors_pack(vectors), vectors.shape[1])


def images_embed(image_ids: Iterable[int]) -> int:
    """Embed images that have no vector in the active space yet; returns how many rows were added.

    Running it twice, or in two processes at once, leaves one row an image. An original that cannot be read
    is set aside as an EmbeddingFailure.
    """
    image_ids = list(image_ids)
    while True:
        space = space_current()
        added = space_embed(space, image_ids)
        # Another space may have become the active one while the network was busy.
        if space_current() == space:
            return added


def space_embed(space: EmbeddingSpace, image_ids: Sequence[int]) -> int:
    """The same for any space. A projected one takes the vectors of its network, which are stored as well."""
    added = _pictures_store(space, image_ids)
    if not space.base_id:
        return added
    stored = dict(
        Embedding.objects.filter(space=space.base_id, image__in=image_ids)
        .exclude(image__embeddings__space=space)
        .values_list("image_id", "vector")
    )
    if not stored:
        return 0
    vectors = vectors_project(space, vectors_unpack(list(stored.values()), space.base.dimension))
    return _store(space, [CaseImage(pk=image_id) for image_id in stored], vectors_pack(vectors))


def _pictures_store(space, image_ids):
    """Vectors of the network for those that have none; what can't be read is set aside in `space`."""
    network = space.network
    images = (
        CaseImage.objects.filter(pk__in=image_ids)
        .exclude(embeddings__space=network)
        .select_related("file")
        .order_by("pk")
    )
    readable, pictures = [], []
    for image in images:
        try:
            with image.file.original.open("rb") as original:
                pictures.append(load_image(original.read(), fit=embedder_for(space).spec.input_size))
            readable.append(image)
        except (ImageError, OSError) as error:
            logger.error("%s (image %s) can't be embedded: %s", image, image.pk, error)
            EmbeddingFailure.objects.get_or_create(image=image, space=space, defaults={"error": str(error)})
    if not pictures:
        return 0
    return _store(network, readable, vectors_pack(embedder_for(space).embed(pictures)))


@transaction.atomic
def _store(space, images, vectors):
    # The images are locked against deletion while their vectors come in.
    alive = set(
        CaseImage.objects.select_for_update(no_key=True)
        .filter(pk__in=[image.pk for image in images])
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    # A space that is being activated sees either this vector, or is seen by whoever asks next.
    library_lock()
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
    EmbeddingFailure.objects.filter(long_ago("created_at", _RETRY_AFTER)).delete()


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
