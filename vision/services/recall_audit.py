"""Whether an approximate snapshot keeps its promise: a few searches are repeated exactly, by a worker."""

import logging
import random
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import Count, Sum

from vision.engine.candidates import RECALL_PROMISED
from vision.models import EmbeddingSpace, RecallAudit
from vision.services.embedding import vectors_pack
from vision.services.library import Library
from vision.services.snapshots import snapshot_improve, snapshot_newest

logger = logging.getLogger(__name__)

#: Share of the searches that are repeated.
SHARE = 0.01
TOP_K = 10
#: Searches that must have been repeated before they say something.
ENOUGH = 50
_KEPT = 10_000


@dataclass(frozen=True)
class AuditState:
    """What the audits of one snapshot found: the share of the true ten nearest, None without audits."""

    searches: int
    recall: float | None

    @property
    def broken(self) -> bool:
        """The snapshot finds less than it promised."""
        return self.searches >= ENOUGH and self.recall < RECALL_PROMISED


def search_sample(library: Library, vector: np.ndarray) -> None:
    """Have a worker repeat this search, if chance will have it and the snapshot is approximate."""
    snapshot = library.snapshot
    if snapshot is None or snapshot.manifest.engine == "exact" or random.random() >= SHARE:
        return
    from vision.tasks import audit_search

    packed = vectors_pack(vector[None])[0].hex()
    transaction.on_commit(lambda: audit_search.delay(packed), robust=True)


def search_audit(library: Library, packed: str) -> RecallAudit | None:
    """Search for a vector (float16, as hexadecimal digits) both ways, and note how many were missed."""
    vector = np.frombuffer(bytes.fromhex(packed), "<f2").astype(np.float32)
    if len(vector) != library.space.dimension:
        return None  # another space has become the active one meanwhile
    found = library.search(vector, TOP_K)
    true = library.search(vector, TOP_K, exactly=True)
    if library.snapshot is None or not len(true.image_ids):
        return None
    audit = RecallAudit.objects.create(
        space=library.space,
        generation=library.snapshot.folder.name,
        nearest=len(true.image_ids),
        found=len(np.intersect1d(found.image_ids, true.image_ids)),
    )
    RecallAudit.objects.filter(pk__lte=audit.pk - _KEPT).delete()
    return audit


def audit_state(space: EmbeddingSpace, generation: str) -> AuditState:
    """What the audits of this snapshot found so far."""
    figures = RecallAudit.objects.filter(space=space, generation=generation).aggregate(
        searches=Count("pk"), nearest=Sum("nearest"), found=Sum("found")
    )
    recall = figures["found"] / figures["nearest"] if figures["nearest"] else None
    return AuditState(figures["searches"], recall)


def promise_keep(space: EmbeddingSpace) -> None:
    """Report a snapshot that finds less than it promised, and have a better one written."""
    newest = snapshot_newest(space)
    if newest is None:
        return
    folder, manifest = newest
    state = audit_state(space, folder.name)
    if state.broken and snapshot_improve(manifest):
        logger.warning(
            "Snapshot %s finds %.1f %% of the ten nearest, and promised %.0f: it is written anew.",
            folder.name, 100 * state.recall, 100 * RECALL_PROMISED,
        )  # fmt: skip
