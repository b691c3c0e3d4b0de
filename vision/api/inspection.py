"""Inspection of parts: verdicts on pictures, and the inspectors that give them."""

from contextlib import contextmanager

import django_filters
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, Q, Subquery
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.generics import get_object_or_404
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.api.errors import Conflict, ProblemSerializer
from cases.api.images import ServesFiles
from cases.api.jobs import JobSerializer
from cases.api.parsers import MultiPartParser
from cases.api.uploads import pictures_read
from cases.api.viewsets import FreshAfterWriting, ReadCreateUpdate
from vision.api.inspection_serializers import (
    EvaluateRequestSerializer,
    EvaluationSerializer,
    InspectionSerializer,
    InspectorPictureSerializer,
    InspectorPicturesRequestSerializer,
    InspectorSerializer,
    InspectorVersionSerializer,
    InspectRequestSerializer,
    ReloadedSerializer,
)
from vision.engine.backbones import WeightsError
from vision.models import Evaluation, Inspection, Inspector, InspectorVersion
from vision.services.inspection.drawings import inspection_heat, inspection_overlay
from vision.services.inspection.evaluation import EvaluationRefused, version_evaluate_start
from vision.services.inspection.good_pictures import GoodPictureError
from vision.services.inspection.inspecting import pictures_inspect
from vision.services.inspection.inspectors import inspectors_named
from vision.services.inspection.pictures import inspector_picture_add
from vision.services.inspection.training import TrainingRefused, inspector_train_start
from vision.services.inspection.versions import (
    InspectorUnusable,
    version_activate,
    version_active,
    versions_forget,
)

_CODES = {
    InspectorUnusable: "inspector_unusable",
    TrainingRefused: "training_refused",
    EvaluationRefused: "evaluation_refused",
    WeightsError: "weights_unusable",
}
_PNG = OpenApiResponse(OpenApiTypes.BINARY, description="The picture, as PNG.")
_tagged = extend_schema(tags=["inspection"])


@contextmanager
def _refusals_told():
    """What stands against a request, as an answer 409 with the sentence."""
    try:
        yield
    except tuple(_CODES) as reason:
        code = next(code for kind, code in _CODES.items() if isinstance(reason, kind))
        raise Conflict(str(reason), code=code) from reason


class InspectView(APIView):
    required_permissions = ["vision.add_inspection"]
    throttle_scope = "search"
    parser_classes = [MultiPartParser]

    @extend_schema(
        summary="Inspect pictures of parts",
        request=InspectRequestSerializer,
        responses={
            201: InspectionSerializer(many=True),
            409: OpenApiResponse(ProblemSerializer, "The inspector has no version that can serve."),
            503: OpenApiResponse(ProblemSerializer, "The storage of the pictures is away: try again soon."),
        },
        operation_id="inspect",
        tags=["inspection"],
    )
    def post(self, request):
        """Answer for each picture: pass, fail or undecided, where it is unlike good parts, and how sure.

        Each picture is a part of its own and gets an inspection of its own, in the order in which they were
        sent. All are stored, or none. A new active version serves from the next request on, in every process.
        """
        serializer = InspectRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        with _refusals_told():
            rows = pictures_inspect(
                values["inspector"],
                pictures_read(values["images"]),
                serial_number=values.get("serial_number", ""),
                user=request.user,
            )
        context = {"request": request, "heatmap": values["heatmap"]}
        shown = InspectionSerializer(rows, many=True, context=context)
        return Response(shown.data, status=status.HTTP_201_CREATED)


class InspectionFilter(django_filters.FilterSet):
    inspector = django_filters.CharFilter(
        method="of_inspector", label="Name of the inspector, number of its part, or id."
    )
    verdict = django_filters.MultipleChoiceFilter(choices=Inspection.Verdict.choices, label="One or several.")
    serial_number = django_filters.CharFilter(lookup_expr="iexact", label="Of the part.")
    inspected_after = django_filters.DateFilter(
        field_name="created_at", lookup_expr="date__gte", label="Inspected on this day or later."
    )
    inspected_before = django_filters.DateFilter(
        field_name="created_at", lookup_expr="date__lte", label="Inspected on this day or earlier."
    )
    evaluation = django_filters.ModelChoiceFilter(
        queryset=Evaluation.objects.all(),
        label="Id of an evaluation: its test pictures, which are not in the list otherwise.",
    )

    class Meta:
        model = Inspection
        fields = []

    def filter_queryset(self, queryset):
        found = super().filter_queryset(queryset)
        return found if self.form.cleaned_data["evaluation"] else found.of_parts()

    def of_inspector(self, queryset, name, value):
        named = [inspector.pk for inspector in inspectors_named(value)]
        if not named and value.isascii() and value.isdigit():
            named = [int(value[:19])]
        return queryset.filter(version__inspector__in=named)


@extend_schema_view(list=_tagged, retrieve=_tagged)
class InspectionViewSet(ServesFiles, viewsets.ReadOnlyModelViewSet):
    """What inspectors said of pictures, the newest first."""

    queryset = Inspection.objects.all()
    serializer_class = InspectionSerializer
    lookup_value_regex = r"[0-9]+"
    filterset_class = InspectionFilter
    file_actions = ("heatmap", "overlay")
    action_permissions = {name: ["vision.view_inspection"] for name in file_actions}

    def get_queryset(self):
        return Inspection.objects.select_related("version__inspector", "file", "created_by")

    @extend_schema(summary="The heat map of an inspection", responses=_PNG, tags=["inspection"])
    @action(detail=True)
    def heatmap(self, request, pk):
        """The bright places are unlike good parts; the rest is transparent. At most 1600 pixels."""
        return _png(inspection_heat(self.get_object()))

    @extend_schema(summary="The picture with its heat map", responses=_PNG, tags=["inspection"])
    @action(detail=True)
    def overlay(self, request, pk):
        """The picture at its own size, with the heat map laid over it and suspicious regions outlined."""
        try:
            return _png(inspection_overlay(self.get_object()))
        except GoodPictureError as error:
            raise NotFound(str(error)) from error


def _png(data: bytes) -> HttpResponse:
    response = HttpResponse(data, content_type="image/png")
    # What an inspection says never changes; other people's caches must not keep it.
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


class InspectorFilter(django_filters.FilterSet):
    name = django_filters.CharFilter(lookup_expr="icontains", label="A piece of the name.")
    part = django_filters.CharFilter(
        field_name="part__number", lookup_expr="iexact", label="Number of the part, all its revisions."
    )

    class Meta:
        model = Inspector
        fields = []


@extend_schema_view(list=_tagged, retrieve=_tagged, create=_tagged, update=_tagged, partial_update=_tagged)
class InspectorViewSet(FreshAfterWriting, ReadCreateUpdate):
    """Inspectors learn what good parts of one product look like, and reject what is unlike them."""

    queryset = Inspector.objects.all()
    serializer_class = InspectorSerializer
    lookup_value_regex = r"[0-9]+"
    filterset_class = InspectorFilter
    throttle_scopes = {"add_pictures": "upload"}
    action_permissions = {
        "pictures": ["vision.view_inspector", "vision.view_inspectorpicture"],
        "add_pictures": ["vision.view_inspector", "vision.add_inspectorpicture"],
        "remove_picture": ["vision.view_inspector", "vision.delete_inspectorpicture"],
        "train": ["vision.view_inspector", "vision.add_inspectorversion"],
        "evaluate": ["vision.view_inspector", "vision.add_evaluation"],
        "versions": ["vision.view_inspector", "vision.view_inspectorversion"],
        "activate": ["vision.view_inspector", "vision.change_inspectorversion"],
        "evaluation": ["vision.view_inspector", "vision.view_evaluation"],
        "reload": ["vision.change_inspectorversion"],
    }

    def get_queryset(self):
        serving = InspectorVersion.objects.filter(inspector=OuterRef("pk"), state="active")
        counted = Inspector.objects.annotate(
            active_version=Subquery(serving.values("number")[:1]),
            good_pictures=Count("pictures", filter=Q(pictures__purpose="fit")),
            test_pictures=Count("pictures", filter=Q(pictures__purpose="test")),
        )
        return counted.select_related("part", "created_by").order_by("name")

    def get_parsers(self):
        if self.request is not None and self.action_map.get(self.request.method.lower()) == "add_pictures":
            return [MultiPartParser()]
        return super().get_parsers()

    def _page_of(self, rows, serializer_class):
        shown = serializer_class(self.paginate_queryset(rows), many=True)
        return self.get_paginated_response(shown.data)

    @extend_schema(
        summary="List the pictures of an inspector",
        responses=InspectorPictureSerializer(many=True),
        tags=["inspection"],
    )
    @action(detail=True, filterset_class=None)
    def pictures(self, request, pk):
        """Pictures of good parts that it learns from, and test pictures that its versions are judged by."""
        rows = self.get_object().pictures.select_related("file", "added_by").order_by("id")
        return self._page_of(rows, InspectorPictureSerializer)

    @extend_schema(
        summary="Add pictures to an inspector",
        request={"multipart/form-data": InspectorPicturesRequestSerializer},
        parameters=[OpenApiParameter(name, exclude=True) for name in ("page", "page_size", "search")],
        responses={201: InspectorPictureSerializer(many=True)},
        tags=["inspection"],
    )
    @pictures.mapping.post
    def add_pictures(self, request, pk):
        """Add good pictures to learn from, or test pictures: all or none.

        A picture that the inspector has already stays as it is, and is in the answer as it is.
        """
        inspector = self.get_object()
        serializer = InspectorPicturesRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        mask = pictures_read([values["mask"]])[0] if values.get("mask") else None
        how = {"purpose": values["purpose"], "defect": values.get("defect", ""), "user": request.user}
        with transaction.atomic():
            rows = _pictures_add(inspector, pictures_read(values["images"]), mask=mask, **how)
        shown = InspectorPictureSerializer(rows, many=True)
        return Response(shown.data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Take a picture away from an inspector",
        parameters=[OpenApiParameter("picture", int, OpenApiParameter.PATH, description="Its id.")],
        responses={204: None},
        tags=["inspection"],
    )
    @action(detail=True, methods=["delete"], url_path=r"pictures/(?P<picture>[0-9]+)", url_name="picture")
    def remove_picture(self, request, pk, picture):
        """Versions that have learned from it stay as they are; the next training does without it."""
        get_object_or_404(self.get_object().pictures, pk=picture).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Train an inspector", request=None, responses={202: JobSerializer}, tags=["inspection"]
    )
    @action(detail=True, methods=["post"])
    def train(self, request, pk):
        """Learn a new version from the good pictures, in the background; follow it at the job.

        The first version serves at once. A later one waits until it is activated, and the old one serves on.
        """
        with _refusals_told():
            job = inspector_train_start(self.get_object(), user=request.user)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Evaluate an inspector",
        request=EvaluateRequestSerializer,
        responses={202: JobSerializer},
        tags=["inspection"],
    )
    @action(detail=True, methods=["post"])
    def evaluate(self, request, pk):
        """Inspect the test pictures with a version, in the background; `evaluation` has the measures then."""
        inspector = self.get_object()
        serializer = EvaluateRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        number = serializer.validated_data.get("version")
        with _refusals_told():
            version = _version(inspector, number) if number else version_active(inspector)
            job = version_evaluate_start(version, user=request.user)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Show the newest evaluation",
        parameters=[OpenApiParameter("version", int, description="Number of a version: only of this one.")],
        responses=EvaluationSerializer,
        tags=["inspection"],
    )
    @action(detail=True, filterset_class=None, pagination_class=None)
    def evaluation(self, request, pk):
        """The newest measures of any of its versions, or of one of them."""
        inspector = self.get_object()
        rows = Evaluation.objects.filter(version__inspector=inspector).select_related("version", "created_by")
        request_serializer = EvaluateRequestSerializer(data=request.query_params)
        request_serializer.is_valid(raise_exception=True)
        if number := request_serializer.validated_data.get("version"):
            rows = rows.filter(version=_version(inspector, number))
        newest = rows.first()
        if newest is None:
            raise NotFound(f"{inspector} has not been evaluated yet: `evaluate` does that.")
        return Response(EvaluationSerializer(newest).data)

    @extend_schema(
        summary="List the versions of an inspector",
        responses=InspectorVersionSerializer(many=True),
        tags=["inspection"],
    )
    @action(detail=True, filterset_class=None)
    def versions(self, request, pk):
        """Its trainings, the newest first; at most one is active."""
        rows = self.get_object().versions.select_related("created_by", "activated_by")
        return self._page_of(rows, InspectorVersionSerializer)

    @extend_schema(
        summary="Activate a version",
        request=None,
        parameters=[OpenApiParameter("number", int, OpenApiParameter.PATH, description="Of the version.")],
        responses=InspectorVersionSerializer,
        tags=["inspection"],
    )
    @action(detail=True, methods=["post"], url_path=r"versions/(?P<number>[0-9]+)/activate")
    def activate(self, request, pk, number):
        """Have it serve instead of the present one, from the next request on, in every process."""
        version = _version(self.get_object(), number)
        with _refusals_told():
            version = version_activate(version, user=request.user)
        return Response(InspectorVersionSerializer(version).data)

    @extend_schema(
        summary="Open versions anew", request=None, responses=ReloadedSerializer, tags=["inspection"]
    )
    @action(detail=False, methods=["post"])
    def reload(self, request):
        """Have the process that answers open every version again at its next use.

        Only for files that were put back by hand: which version is active is asked of the database at every
        request, and followed by itself.
        """
        return Response(ReloadedSerializer({"forgotten": versions_forget()}).data)


def _version(inspector: Inspector, number) -> InspectorVersion:
    return get_object_or_404(inspector.versions.select_related("inspector"), number=number)


def _pictures_add(inspector: Inspector, pictures, **how) -> list:
    rows, problems = [], []
    for picture in pictures:
        try:
            rows.append(inspector_picture_add(inspector, picture, **how)[0])
        except ValidationError as error:
            if "images" not in error.message_dict or len(pictures) == 1:
                raise
            problems += error.messages
    if problems:
        raise ValidationError({"images": problems})
    return rows
