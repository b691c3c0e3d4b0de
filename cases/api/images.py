"""The pictures of cases: what is known about each, and the files themselves."""

import django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action

from cases.api.fields import LinkField
from cases.api.viewsets import CheckedModelSerializer
from cases.models import CaseImage, CategoryExample, FaultCategory
from cases.views import media

_PICTURE = OpenApiResponse(OpenApiTypes.BINARY, description="The picture.")


class ImageLinksSerializer(serializers.Serializer):
    original = LinkField("api-image-original")
    preview = LinkField("api-image-preview")
    thumbnail = LinkField("api-image-thumbnail")
    case = LinkField("api-case-detail", key="case.number")


class ImageSerializer(CheckedModelSerializer):
    """One view of a case."""

    case = serializers.CharField(source="case.number", read_only=True)
    confirmed_category = serializers.SlugRelatedField("code", read_only=True, allow_null=True)
    labelled_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    mime = serializers.CharField(source="file.mime", read_only=True)
    width = serializers.IntegerField(source="file.width", read_only=True, help_text="Pixels, upright.")
    height = serializers.IntegerField(source="file.height", read_only=True, help_text="Pixels, upright.")
    size = serializers.IntegerField(source="file.size", read_only=True, help_text="Bytes.")
    sha256 = serializers.CharField(source="file.sha256", read_only=True)
    perceptual_hash = serializers.SerializerMethodField(help_text="64-bit DCT hash, 16 hexadecimal digits.")
    links = ImageLinksSerializer(source="*", read_only=True)

    class Meta:
        model = CaseImage
        fields = [
            "id", "case", "position", "role", "name", "confirmed_category", "labelled_by", "labelled_at",
            "mime", "width", "height", "size", "sha256", "perceptual_hash", "links", "created_at",
        ]  # fmt: skip
        read_only_fields = ["position", "name", "labelled_at"]

    def get_perceptual_hash(self, image) -> str:
        return f"{image.file.perceptual_hash & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def images_complete():
    """The pictures of cases with all that ImageSerializer shows."""
    return CaseImage.objects.select_related("case", "file", "confirmed_category", "labelled_by")


class ImageFilter(django_filters.FilterSet):
    case = django_filters.CharFilter(
        field_name="case__number", lookup_expr="iexact", label="Number of a case."
    )
    category = django_filters.ModelChoiceFilter(
        field_name="confirmed_category",
        queryset=FaultCategory.objects.all(),
        to_field_name="code",
        label="Code of the confirmed category.",
    )
    labelled = django_filters.BooleanFilter(
        field_name="confirmed_category", lookup_expr="isnull", exclude=True, label="Has a confirmed category."
    )

    class Meta:
        model = CaseImage
        fields = ["role"]


class ServesFiles:
    """Files are sent whatever the client says that it accepts: there is one kind of each."""

    file_actions = ("original", "preview", "thumbnail")

    def perform_content_negotiation(self, request, force=False):
        return super().perform_content_negotiation(request, force or self.action in self.file_actions)


class ImageViewSet(
    ServesFiles,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet,
):
    """The pictures of cases. Their role can be changed; labels come through the case."""

    queryset = CaseImage.objects.all()
    serializer_class = ImageSerializer
    lookup_value_regex = r"[0-9]+"
    filterset_class = ImageFilter
    action_permissions = {name: ["cases.view_caseimage"] for name in ServesFiles.file_actions}

    def get_queryset(self):
        return images_complete().visible_to(self.request.user).order_by("-id")

    @extend_schema(summary="The file as it was uploaded", responses=_PICTURE)
    @action(detail=True)
    def original(self, request, pk):
        """The original, byte for byte."""
        return media.image(request._request, pk=int(pk), size="original")

    @extend_schema(summary="The picture for a screen", responses=_PICTURE)
    @action(detail=True)
    def preview(self, request, pk):
        """Upright, re-encoded as WebP, at most 1600 pixels wide or high."""
        return media.image(request._request, pk=int(pk), size="preview")

    @extend_schema(summary="The picture for a list", responses=_PICTURE)
    @action(detail=True)
    def thumbnail(self, request, pk):
        """Upright, re-encoded as WebP, at most 256 pixels wide or high."""
        return media.image(request._request, pk=int(pk), size="thumbnail")


class ExampleViewSet(ServesFiles, viewsets.GenericViewSet):
    """The example pictures of the catalogue; the categories list them."""

    queryset = CategoryExample.objects.all()
    lookup_value_regex = r"[0-9]+"
    action_permissions = {
        name: ["cases.view_categoryexample", "cases.view_faultcategory"] for name in ("preview", "thumbnail")
    }

    @extend_schema(summary="An example picture for a screen", responses=_PICTURE)
    @action(detail=True)
    def preview(self, request, pk):
        """Upright, re-encoded as WebP, at most 1600 pixels wide or high."""
        return media.example(request._request, pk=int(pk), size="preview")

    @extend_schema(summary="An example picture for a list", responses=_PICTURE)
    @action(detail=True)
    def thumbnail(self, request, pk):
        """Upright, re-encoded as WebP, at most 256 pixels wide or high."""
        return media.example(request._request, pk=int(pk), size="thumbnail")
