"""Cases: created with their pictures, found, changed, moved through their statuses, labelled."""

import django_filters
from django.db.models import Prefetch
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from cases.api.case_serializers import (
    CaseChangeSerializer,
    CaseCreateSerializer,
    CaseSerializer,
    HistorySerializer,
    LabelRequestSerializer,
    TransitionRequestSerializer,
)
from cases.api.images import ImageSerializer, images_complete
from cases.api.uploads import PicturesSerializer, pictures_read
from cases.api.viewsets import ReadCreateUpdate
from cases.history import case_history
from cases.models import Case, Customer, FaultCategory, Site, Supplier
from cases.selectors import cases_of_category, cases_search
from cases.services.intake import case_add_images, case_create
from cases.services.labels import images_label
from cases.services.workflow import case_transition


class CaseFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=Case.Status.choices, label="One or several.")
    kind = django_filters.MultipleChoiceFilter(choices=Case.Kind.choices, label="One or several.")
    category = django_filters.ModelChoiceFilter(
        queryset=FaultCategory.objects.all(),
        to_field_name="code",
        method="with_category",
        label="Code of a category: cases with a picture confirmed as it, or as one below it.",
    )
    part = django_filters.CharFilter(
        field_name="part__number", lookup_expr="iexact", label="Number of the part, all its revisions."
    )
    customer = django_filters.ModelChoiceFilter(
        queryset=Customer.objects.all(), to_field_name="code", label="Code of the customer."
    )
    supplier = django_filters.ModelChoiceFilter(
        queryset=Supplier.objects.all(), to_field_name="code", label="Code of the supplier."
    )
    site = django_filters.ModelChoiceFilter(
        queryset=Site.objects.all(), to_field_name="code", label="Code of the site."
    )
    owner = django_filters.CharFilter(field_name="owner__username", label="User name of the owner.")
    reported_after = django_filters.DateFilter(
        field_name="reported_at", lookup_expr="date__gte", label="Reported on this day or later."
    )
    reported_before = django_filters.DateFilter(
        field_name="reported_at", lookup_expr="date__lte", label="Reported on this day or earlier."
    )
    q = django_filters.CharFilter(method="with_text", label="Words, or a piece of a number or reference.")
    ordering = django_filters.OrderingFilter(fields=["reported_at", "number", "severity", "updated_at"])

    class Meta:
        model = Case
        fields = []

    @extend_schema_field(OpenApiTypes.STR)
    def with_category(self, queryset, name, value):
        return queryset.filter(pk__in=cases_of_category(value).values("pk"))

    def with_text(self, queryset, name, value):
        return cases_search(queryset, value)


class CaseViewSet(ReadCreateUpdate):
    """Complaints and findings, addressed by their number."""

    queryset = Case.objects.all()
    serializer_class = CaseSerializer
    lookup_field = "number"
    lookup_value_regex = r"[^/\x00]+"
    filterset_class = CaseFilter
    action_permissions = {
        "create": ["cases.add_case", "cases.add_caseimage"],
        "transition": ["cases.view_case", "cases.change_case"],
        "images": ["cases.view_case", "cases.add_caseimage"],
        "label": ["cases.view_case", "cases.change_caseimage", "cases.add_label"],
        "history": ["cases.view_case"],
    }
    throttle_scopes = {"create": "upload", "images": "upload"}
    serializer_classes = {
        "create": CaseCreateSerializer,
        "update": CaseChangeSerializer,
        "partial_update": CaseChangeSerializer,
        "transition": TransitionRequestSerializer,
        "images": PicturesSerializer,
        "label": LabelRequestSerializer,
    }

    def get_queryset(self):
        return (
            Case.objects.visible_to(self.request.user)
            .with_people_and_parts()
            .select_related("created_by", "duplicate_of", "resolution")
            .prefetch_related(Prefetch("images", images_complete()))
        )

    def get_serializer_class(self):
        return self.serializer_classes.get(self.action, CaseSerializer)

    def _shown(self, case, status_code=status.HTTP_200_OK):
        fresh = self.get_queryset().get(pk=case.pk)
        return Response(CaseSerializer(fresh, context=self.get_serializer_context()).data, status=status_code)

    def _validated(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    @extend_schema(responses={201: CaseSerializer})
    def create(self, request):
        """Create a case with 1 to 10 pictures as multipart form data, or without any as JSON.

        The pictures are embedded and diagnosed at once, in the background: see `diagnoses`. All is stored or
        nothing.
        """
        values = self._validated(request)
        pictures = pictures_read(values.pop("images", ()), values.pop("roles", ()))
        case = case_create(pictures=pictures, user=request.user, **values)
        return self._shown(case, status.HTTP_201_CREATED)

    @extend_schema(responses=CaseSerializer)
    def update(self, request, *args, **kwargs):
        """The status changes by a transition, labels by `label` or `decide`."""
        return super().update(request, *args, **kwargs)

    @extend_schema(responses=CaseSerializer)
    def partial_update(self, request, *args, **kwargs):
        """The status changes by a transition, labels by `label` or `decide`."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(summary="Move a case to another status", responses=CaseSerializer)
    @action(detail=True, methods=["post"])
    def transition(self, request, number):
        """Take one allowed step, which is recorded; `next_statuses` of the case lists them."""
        case = self.get_object()
        case_transition(case, user=request.user, **self._validated(request))
        return self._shown(case)

    @extend_schema(summary="Add pictures to a case", responses={201: ImageSerializer(many=True)})
    @action(detail=True, methods=["post"], pagination_class=None, filterset_class=None)
    def images(self, request, number):
        """Add views, up to ten in all; a picture that the case has already is left out of the answer."""
        case = self.get_object()
        values = self._validated(request)
        added = case_add_images(case, pictures_read(values["images"], values.get("roles", ())))
        rows = images_complete().filter(pk__in=[image.pk for image in added])
        shown = ImageSerializer(rows, many=True, context=self.get_serializer_context())
        return Response(shown.data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Label pictures of a case", responses=CaseSerializer)
    @action(detail=True, methods=["post"])
    def label(self, request, number):
        """Say what pictures show, each on its own where a case shows several faults.

        The next search in every process knows it. To answer a suggestion for the whole case, use `decide`.
        """
        case = self.get_object()
        values = self._validated(request)
        images_label(self._images(case, values.pop("images", None)), user=request.user, **values)
        return self._shown(case)

    def _images(self, case, ids):
        if ids is None:
            images = list(case.images.diagnostic())
            if not images:
                raise serializers.ValidationError({"images": f"{case} has no picture: add one first."})
            return images
        images = list(case.images.filter(pk__in=ids))
        foreign = set(ids) - {image.pk for image in images}
        if foreign:
            listed = ", ".join(str(pk) for pk in sorted(foreign))
            raise serializers.ValidationError({"images": f"{case} has no picture with the id {listed}."})
        return images

    @extend_schema(summary="Show the history of a case", responses=HistorySerializer)
    @action(detail=True)
    def history(self, request, number):
        """Its steps of status, and what was changed on it, its pictures and its resolution, by whom."""
        case = self.get_object()
        history = {
            "transitions": case.transitions.select_related("made_by"),
            "entries": case_history(case),
        }
        return Response(HistorySerializer(history, context=self.get_serializer_context()).data)
