"""How well labelled pictures are told apart, beside random weights and a hand-made descriptor."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from django.conf import settings
from PIL import Image

from cases.models import CaseImage
from vision.engine.classifier import FaultClassifier, classify_with
from vision.engine.descriptors import describe
from vision.engine.embedder import Embedder
from vision.engine.images import EXTENSIONS, ImageError, load_image
from vision.engine.index import ExactIndex
from vision.engine.retrieval import leave_one_out
from vision.engine.weight_files import find_weights
from vision.services.embedding import embedder
from vision.services.library import library_current

RANDOM_WEIGHTS = "random weights"
DESCRIPTOR = "hand-made descriptor"
_NEIGHBOURS = 5
#: Pictures that are decoded before they are embedded.
_BATCH = 32
#: Size to which a JPEG may be decoded at least, for networks and descriptor alike.
_FIT = 224

Read = Callable[[], Image.Image]
#: Wraps an iterable of known length to show progress: (iterable, what is done, length).
Watch = Callable[[Iterable, str, int], Iterable]


class MeasureError(Exception):
    """Why nothing can be measured, as a sentence."""


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with their categories; equal `groups` are one case, equal `digests` the same bytes."""

    reads: Sequence[Read]
    labels: np.ndarray  # (n,) str
    digests: np.ndarray  # (n,) str
    groups: np.ndarray | None = None  # (n,) int
    unreadable: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)


def folder_pictures(folder: Path, limit: int | None = None) -> LabelledPictures:
    """The pictures of a folder that holds one folder per category; `limit` takes so many of each category.

    Raises MeasureError when there are fewer than two categories with two pictures.
    """
    if not folder.is_dir():
        raise MeasureError(f"{folder} is no folder. Name one that holds a folder of pictures per category.")
    reads, labels, digests, unreadable = [], [], [], []
    for category in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in category.rglob("*") if path.suffix.lower()[1:] in EXTENSIONS)
        for path in files[:limit]:
            try:
                data = path.read_bytes()
                load_image(data, fit=_FIT)
            except (ImageError, OSError) as error:
                unreadable.append(f"{path}: {error}")
                continue
            reads.append(lambda path=path: load_image(path, fit=_FIT))
            labels.append(category.name)
            digests.append(hashlib.sha256(data).hexdigest())
    return _checked(LabelledPictures(reads, np.array(labels), np.array(digests), unreadable=unreadable))


def library_pictures() -> tuple[LabelledPictures, np.ndarray, np.ndarray]:
    """The confirmed pictures of the library, with their image ids (n,) and stored vectors (n, d)."""
    ids, vectors = library_current().vectors()
    images = (
        CaseImage.objects.labelled()
        .select_related("file", "confirmed_category")
        .in_bulk([int(image_id) for image_id in ids])
    )
    keep = np.array([int(image_id) in images for image_id in ids], dtype=bool)
    ids, vectors = ids[keep], vectors[keep]
    rows = [images[int(image_id)] for image_id in ids]
    pictures = LabelledPictures(
        reads=[lambda row=row: _read_original(row) for row in rows],
        labels=np.array([row.confirmed_category.code for row in rows]),
        digests=np.array([row.file.sha256 for row in rows]),
        groups=np.array([row.case_id for row in rows]),
    )
    return _checked(pictures), ids, vectors


def _read_original(image: CaseImage) -> Image.Image:
    with image.file.original.open("rb") as original:
        return load_image(original.read(), fit=_FIT)


def _checked(pictures: LabelledPictures) -> LabelledPictures:
    enough = [label for label, number in Counter(pictures.labels.tolist()).items() if number >= 2]
    if len(enough) < 2:
        raise MeasureError(
            f"There are {len(pictures)} labelled pictures with {len(enough)} categories of two or more:"
            " at least two such categories are needed to measure anything."
        )
    return pictures


def embedder_of(backbone: str, *, random_seed: int | None = None) -> Embedder:
    """The installation's embedder of a backbone, or one with random weights."""
    if backbone == settings.BACKBONE and random_seed is None:
        return embedder()
    weights = find_weights(backbone, settings.FAULTDIAG_DATA) if random_seed is None else None
    return Embedder(backbone, weights, threads=settings.THREADS or None, random_seed=random_seed)


def pictures_vectors(
    pictures: LabelledPictures, what: Embedder | None, watch: Watch, name: str
) -> np.ndarray:
    """Vectors of all pictures, float32 (n, d): of an embedder, or of the hand-made descriptor for None."""
    parts = []
    for batch in _batches(watch(pictures.reads, name, len(pictures))):
        images = [read() for read in batch]
        parts.append(what.embed(images) if what else np.stack([describe(image) for image in images]))
    return np.concatenate(parts)


def _batches(items: Iterable[Read]) -> Iterator[list[Read]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def retrieval_figures(
    vectors: np.ndarray,
    pictures: LabelledPictures,
    *,
    ids: np.ndarray | None = None,
    search: Callable[..., np.ndarray] | None = None,
) -> dict[str, float]:
    """Leave-one-out figures, all from 0 to 1, without the query itself, its duplicates and its own case.

    top1 and precision_at_5: of the nearest and the five nearest; top1_5nn: the majority of the five nearest;
    map_at_r and macro_f1 as in engine.retrieval. `search(vector, k, exclude)` answers with image ids (k,);
    without it an index of the same class as the product's is filled with `vectors`.
    """
    ids = np.arange(len(vectors)) if ids is None else ids
    search = search or _index_search(ids, vectors)
    label_of = dict(zip(ids.tolist(), pictures.labels.tolist(), strict=True))
    barred = _barred_ids(ids, pictures)
    hits, votes, precision = [], [], []
    for position, image_id in enumerate(ids.tolist()):
        found = search(vectors[position], _NEIGHBOURS, barred[position])
        labels = [label_of[int(one)] for one in found]
        truth = label_of[image_id]
        hits.append(labels[:1] == [truth])
        votes.append(bool(labels) and Counter(labels).most_common(1)[0][0] == truth)
        precision.append(labels.count(truth) / _NEIGHBOURS)
    whole = leave_one_out(vectors, pictures.labels, groups=pictures.groups, duplicates=pictures.digests)
    return {
        "top1": float(np.mean(hits)),
        "top1_5nn": float(np.mean(votes)),
        "precision_at_5": float(np.mean(precision)),
        "map_at_r": whole.map_at_r,
        "macro_f1": whole.macro_f1,
    }


def library_search(vector: np.ndarray, top_k: int, exclude: np.ndarray) -> np.ndarray:
    """The search of the running product, for `retrieval_figures`."""
    return library_current().search(vector, top_k, exclude=exclude).image_ids


def _index_search(ids: np.ndarray, vectors: np.ndarray):
    index = ExactIndex(vectors.shape[1], metric=settings.METRIC)
    index.add(ids, vectors)

    def search(vector: np.ndarray, top_k: int, exclude: np.ndarray) -> np.ndarray:
        _, found = index.search(vector[None], top_k, exclude=exclude)
        return found[0][found[0] >= 0]

    return search


def _barred_ids(ids: np.ndarray, pictures: LabelledPictures) -> list[np.ndarray]:
    """For each image the ids that it must not find: itself, the same bytes, its own case."""
    members = defaultdict(set)
    keys = [[("bytes", digest)] for digest in pictures.digests.tolist()]
    if pictures.groups is not None:
        for own, group in zip(keys, pictures.groups.tolist(), strict=True):
            own.append(("case", group))
    for image_id, own in zip(ids.tolist(), keys, strict=True):
        for key in own:
            members[key].add(image_id)
    return [np.array(sorted(set().union(*(members[key] for key in own))), np.int64) for own in keys]


def classification_figures(
    vectors: np.ndarray, pictures: LabelledPictures, partitions: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Top-1 and macro-F1 over random halves: trained on one, tested on the other, categories kept in balance.

    Exact duplicates count once. By method (5nn, logistic_regression, product: the classifier of the running
    product with its parameters picked on the training half) the mean and the standard deviation.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.model_selection import StratifiedShuffleSplit
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _, first = np.unique(pictures.digests, return_index=True)
    first = np.sort(first)
    vectors, labels = vectors[first], pictures.labels[first]
    scores = defaultdict(list)
    split = StratifiedShuffleSplit(partitions, test_size=0.5, random_state=seed)
    try:
        halves = list(split.split(vectors, labels))
    except ValueError as error:
        raise MeasureError(f"The pictures can't be halved: {error}") from error
    for train, test in halves:
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        predictions = {
            "5nn": KNeighborsClassifier(_NEIGHBOURS)
            .fit(vectors[train], labels[train])
            .predict(vectors[test]),
            "logistic_regression": logistic.fit(vectors[train], labels[train]).predict(vectors[test]),
            "product": _product_predict(vectors[train], labels[train], vectors[test]),
        }
        for method, predicted in predictions.items():
            truth = labels[test]
            scores[method].append(
                (accuracy_score(truth, predicted), f1_score(truth, predicted, average="macro"))
            )
    return {
        method: {
            "top1": float(np.mean([top1 for top1, _ in runs])),
            "top1_sd": float(np.std([top1 for top1, _ in runs])),
            "macro_f1": float(np.mean([f1 for _, f1 in runs])),
            "macro_f1_sd": float(np.std([f1 for _, f1 in runs])),
        }
        for method, runs in scores.items()
    }


def _product_predict(vectors: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    classifier = FaultClassifier(metric=settings.METRIC).fit(vectors, labels)
    prediction = classify_with(classifier, vectors, labels, queries)
    return classifier.classes_[prediction.probabilities.argmax(axis=1)]
