"""Reads of vision that several callers need."""

from django.db.models import Exists, OuterRef

from cases.models import Case, CaseImage
from vision.models import Diagnosis, EmbeddingSpace
from vision.services.search import Match, images_for_matches


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
