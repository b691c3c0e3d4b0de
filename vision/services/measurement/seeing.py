"""One look at every picture: the vectors of all rows of the table, checksums and near-duplicates."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from django.conf import settings
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet

from vision.engine.backbones import get_backbone
from vision.engine.descriptors import describe
from vision.engine.duplicates import fingerprint, near_duplicate_groups
from vision.engine.embedder import Embedder
from vision.engine.images import ImageError, load_image
from vision.engine.weight_files import find_weights
from vision.services.embedding import embedder
from vision.services.measurement.pictures import Source, require_two_categories

RANDOM_WEIGHTS = "random weights"
DESCRIPTOR = "LBP+HOG"
#: Pictures that are decoded at once: large ones take 36 MB each.
_BATCH = 8
#: Size to which a JPEG may be decoded at least.
_FIT = 224

#: Wraps an iterable of known length to show progress: (iterable, what is done, length).
Watch = Callable[[Iterable, str, int], Iterable]
#: Pictures to vectors, float32 (n, d) with rows of unit length.
Describe = Callable[[Sequence[Image.Image]], np.ndarray]


@dataclass(frozen=True)
class Seen:
    """n labelled pictures; equal `digests` are the same bytes, equal `together` one piece or case.

    `vectors` holds an (n, d) float32 array, rows of unit length, for each row of the table. `near_duplicates`
    (n,) int is None where it was not asked for.
    """

    labels: np.ndarray  # (n,) str
    digests: np.ndarray  # (n,) str
    together: np.ndarray  # (n,) int
    vectors: dict[str, np.ndarray]
    near_duplicates: np.ndarray | None = None
    unreadable: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)


def embedder_of(backbone: str, *, random_seed: int | None = None) -> Embedder:
    """The installation's embedder of a backbone, or one with random weights."""
    if random_seed is not None:
        return _random_embedder(backbone, random_seed)
    if backbone == settings.BACKBONE:
        return embedder()
    weights = find_weights(backbone, settings.FAULTDIAG_DATA)
    return Embedder(backbone, weights, threads=settings.THREADS or None)


@lru_cache(maxsize=1)  # converting a network takes seconds
def _random_embedder(backbone: str, seed: int) -> Embedder:
    return Embedder(backbone, None, threads=settings.THREADS or None, random_seed=seed)


def table_rows(backbone: str, seed: int) -> dict[str, Describe]:
    """What is measured side by side: the backbone, the same with random weights, the hand-made descriptor."""
    return {
        backbone: embedder_of(backbone).embed,
        RANDOM_WEIGHTS: embedder_of(backbone, random_seed=seed).embed,
        DESCRIPTOR: lambda images: np.stack([describe(image) for image in images]),
    }


def pictures_see(
    sources: Sequence[Source],
    rows: dict[str, Describe],
    watch: Watch,
    *,
    backbone: str,
    grouped: bool = False,
    stored: np.ndarray | None = None,
) -> Seen:
    """Open every picture once, a few at a time, and describe it in every row.

    `stored` (n, d) are vectors of the first row that exist already. With `grouped`, near-duplicates are
    found and belong together, as the pictures of a case do. Pictures that can't be read are left out and
    named. Raises MeasureError when fewer than two categories with two pictures are left.
    """
    first, *_ = rows
    fit = max(_FIT, get_backbone(backbone).input_size)
    asked = {name: row for name, row in rows.items() if stored is None or name != first}
    parts, kept, digests, prints, unreadable, batch = {name: [] for name in asked}, [], [], [], [], []

    def describe_batch() -> None:
        for name, row in asked.items():
            parts[name].append(row(batch))
        if grouped:
            prints.extend(fingerprint(image) for image in batch)
        batch.clear()

    for place, source in enumerate(watch(sources, "Looking at pictures", len(sources))):
        try:
            data = source.read()
            batch.append(load_image(data, fit=fit))
        except (ImageError, OSError) as error:
            unreadable.append(f"{source.name}: {error}")
            continue
        kept.append(place)
        digests.append(hashlib.sha256(data).hexdigest())
        if len(batch) == _BATCH:
            describe_batch()
    if batch:
        describe_batch()
    labels = [sources[place].label for place in kept]
    require_two_categories(labels)
    vectors = {name: np.concatenate(parts[name]) if name in asked else stored[kept] for name in rows}
    near = None
    if grouped:
        near = near_duplicate_groups(
            prints,
            vectors[first],
            watch=lambda pairs, total: watch(pairs, "Comparing near-duplicates", total),
        )
    return Seen(
        labels=np.array(labels),
        digests=np.array(digests),
        together=_together(kept, [sources[place].case for place in kept], near),
        vectors=vectors,
        near_duplicates=near,
        unreadable=unreadable,
    )


def _together(kept: list[int], cases: list[int | None], near: np.ndarray | None) -> np.ndarray:
    """Group numbers (n,) that join pictures of one case and, where given, of one near-duplicate group."""
    sets = DisjointSet(range(len(kept)))
    leaders = {}
    for keys in (cases, [] if near is None else near.tolist()):
        leaders.clear()
        for position, key in enumerate(keys):
            if key is not None:
                sets.merge(leaders.setdefault(key, position), position)
    return np.unique([sets[position] for position in range(len(kept))], return_inverse=True)[1]
