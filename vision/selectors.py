"""Reads of vision that several callers need."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from cases.models import Case, CaseImage
from vision.engine.snapshots import Manifest
from vision.models import Diagnosis, EmbeddingSpace, LibraryChange
from vision.services.milvus import milvus_check
from vision.services.recall_audit import AuditState, audit_state
from vision.services.search import Match, images_for_matches
from vision.services.snapshots import snapshot_newest


@dataclass(frozen=True)
class IndexState:
    """The snapshot of a space that serves, what came since, and how much of the nearest it finds."""

    generation: str
    snapshot: Manifest
    changes: int  # in the library since the snapshot; they are searched exactly
    audit: AuditState
    milvus_problem: str  # why Milvus names no candidates, as a sentence; else empty

    @property
    def recall(self) -> float | None:
        """Share of the true ten nearest that searches found, or the snapshot's own measure; None if exact."""
        return self.snapshot.parameters.get("recall") if self.audit.recall is None else self.audit.recall


def index_state(space: EmbeddingSpace) -> IndexState | None:
    """How a space is searched on this machine; None as long as there is no snapshot."""
    newest = snapshot_newest(space)
    if newest is None:
        return None
    folder, manifest = newest
    return IndexState(
        generation=folder.name,
        snapshot=manifest,
        changes=LibraryChange.objects.filter(space=space, pk__gt=manifest.watermark).count(),
        audit=audit_state(space, folder.name),
        milvus_problem=milvus_check(manifest),
    )


def diagnosis_matches(diagnosis: Diagnosis) -> list[Match]:
    """The similar cases of a diagnosis as rows of today; what was deleted since is left out."""
    images = images_for_matches([entry["image"] for entry in diagnosis.matches])
    return [
        Match(entry["rank"], entry["similarity"], image, image.case)
        for entry in diagnosis.matches
        if (image := images.get(entry["image"]))
    ]


def case_latest_diagnosis(case: Case) -> Diagnosis | None:
    """The newest suggestion for a case."""
    return case.diagnoses.select_related("category", "space").first()


def cases_without_diagnosis():
    """New cases with a readable picture that came in after their newest diagnosis, or that have none yet."""
    later = Diagnosis.objects.filter(case=OuterRef("case"), created_at__gte=OuterRef("created_at"))
    unseen = (
        CaseImage.objects.diagnostic()
        .filter(~Exists(later), case=OuterRef("pk"))
        .exclude(embedding_failures__space__state=EmbeddingSpace.State.ACTIVE)
    )
    return Case.objects.filter(Exists(unseen), status=Case.Status.NEW)
