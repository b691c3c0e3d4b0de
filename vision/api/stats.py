"""The library in figures."""

from django.db.models import Count, Max, Q
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.models import Case, CaseImage, FaultCategory
from vision.api.serializers import StatsSerializer
from vision.models import Decision, Embedding, EmbeddingSpace, LibraryChange
from vision.selectors import index_state
from vision.services.embedding import images_pending


class StatsView(APIView):
    required_permissions = ["cases.view_case"]

    @extend_schema(summary="Figures", responses=StatsSerializer, operation_id="stats", tags=["stats"])
    def get(self, request):
        """Counts by status and category, the state of the library, and how often engineers agree with it."""
        return Response(StatsSerializer(_figures(Case.objects.visible_to(request.user))).data)


def _figures(cases) -> dict:
    by_status = dict(cases.order_by().values_list("status").annotate(count=Count("pk")))
    by_category = (
        FaultCategory.objects.annotate(count=Count("labelled_images"))
        .filter(count__gt=0)
        .order_by("-count", "code")
        .values("code", "name", "count")
    )
    return {
        "cases": sum(by_status.values()),
        "images": CaseImage.objects.count(),
        "cases_by_status": [
            {"code": status.value, "name": status.label, "count": by_status.get(status, 0)}
            for status in Case.Status
        ],
        "images_by_category": list(by_category),
        "library": _library(),
        "decisions": _decisions(),
    }


def _library() -> dict:
    space = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).first()
    if space is None:
        waiting = CaseImage.objects.diagnostic().count()
        return {"space": None, "size": 0, "watermark": 0, "waiting": waiting, "index": None}
    members = Embedding.objects.filter(space=space, image__in=CaseImage.objects.diagnostic().labelled())
    return {
        "space": space.slug,
        "size": members.count(),
        "watermark": LibraryChange.objects.filter(space=space).aggregate(last=Max("id"))["last"] or 0,
        "waiting": images_pending(space).count(),
        "index": index_state(space),
    }


def _decisions() -> dict:
    figures = Decision.objects.filter(diagnosis__isnull=False).aggregate(
        count=Count("pk"), agreed=Count("pk", filter=Q(agrees=True))
    )
    rate = round(figures["agreed"] / figures["count"], 4) if figures["count"] else None
    return {**figures, "agreement_rate": rate}
