"""What an adaptation learns from, and what it is judged by."""

import hashlib
from dataclasses import dataclass

import numpy as np

from cases.models import CaseImage
from vision.engine.adaptation_gate import groups_join_alike, held_out_split
from vision.models import Adaptation, Embedding, EmbeddingSpace
from vision.services.embedding import vectors_unpack

_TOO_ALIKE = "The confirmed pictures are too much alike to hold some out: there is nothing to judge by."


class AdaptationRefused(Exception):
    """Why no adaptation is started or kept, as a sentence."""


@dataclass(frozen=True)
class LabelledVectors:
    """What an adaptation learns from: ids, network vectors (n, d), category ids and groups, all (n, ...)."""

    image_ids: np.ndarray
    vectors: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for part in (self.image_ids, self.vectors, self.labels):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def labelled_vectors(network: EmbeddingSpace) -> LabelledVectors:
    """All labelled images with a vector of the network; groups join cases and near-duplicates."""
    rows = list(
        Embedding.objects.filter(space=network, image__in=CaseImage.objects.diagnostic().labelled())
        .order_by("image_id")
        .values_list("image_id", "image__confirmed_category", "image__case", "vector")
    )
    ids, labels, cases = (np.array([row[column] for row in rows], dtype=np.int64) for column in range(3))
    vectors = vectors_unpack([row[3] for row in rows], network.dimension)
    groups = groups_join_alike(vectors, cases) if rows else cases
    return LabelledVectors(ids, vectors, labels, groups)


def data_split(data: LabelledVectors, active: EmbeddingSpace) -> tuple[np.ndarray, np.ndarray]:
    """Positions to learn from and positions of the held-out cases. Raises AdaptationRefused.

    What the active space was fitted to, in however many steps, never judges it: it would be flattered. What
    was held out then is held out again; of the cases that came in since, a third.
    """
    try:
        _, drawn = held_out_split(data.labels, data.groups)
    except ValueError as error:
        raise AdaptationRefused(_TOO_ALIKE) from error
    learned, judged = space_history(active)
    test = np.zeros(len(data.labels), bool)
    test[drawn] = True
    test |= np.isin(data.groups, data.groups[np.isin(data.image_ids, judged)])
    test &= ~np.isin(data.groups, data.groups[np.isin(data.image_ids, learned)])
    if test.all() or not test.any():
        raise AdaptationRefused(_TOO_ALIKE)
    return np.flatnonzero(~test), np.flatnonzero(test)


def space_history(space: EmbeddingSpace | None) -> tuple[list[int], list[int]]:
    """Image ids that a space was fitted to, and those that judged it, along all its parents."""
    learned, judged = [], []
    while space:
        known = Adaptation.objects.filter(pk=space.adaptation_id).values_list("learned_from", "held_out")
        for fitted, held_out in known:
            learned += fitted
            judged += held_out
        space = space.parent
    return learned, judged
