"""How inspectors, their versions and inspections are written, and what requests about them hold."""

from base64 import b64encode

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cases.api.fields import LinkField, PartField, is_storable
from cases.services.intake import image_limits
from vision.models import Evaluation, Inspection, Inspector, InspectorPicture, InspectorVersion
from vision.services.inspection.drawings import inspection_heat
from vision.services.inspection.inspectors import inspector_change, inspector_create, inspectors_named


@extend_schema_field(OpenApiTypes.STR)
class InspectorField(serializers.RelatedField):
    """An inspector by its name, by the number of its part, or by its id."""

    default_error_messages = {
        "unknown": "There is no inspector “{value}”, and none of a part with this number.",
        "several": "{count} inspectors are meant by “{value}”: give the id of one of them: {ids}.",
        "invalid": "Give the name of an inspector, the number of its part, or its id.",
    }

    def to_internal_value(self, data):
        if isinstance(data, bool) or not isinstance(data, str | int) or not is_storable(str(data)):
            self.fail("invalid")
        text = str(data)
        found = inspectors_named(text)
        if not found and text.isascii() and text.isdigit():
            found = list(self.get_queryset().filter(pk=int(text[:19])))
        if not found:
            self.fail("unknown", value=text)
        if len(found) > 1:
            self.fail(
                "several",
                count=len(found),
                value=text,
                ids=", ".join(map(str, sorted(row.pk for row in found))),
            )
        return found[0]

    def to_representation(self, value):
        return value.name


class _Uploads(serializers.Serializer):
    images = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        allow_empty=False,
        help_text="Repeat the field for each picture, ten at most.",
    )

    def validate_images(self, images):
        most = image_limits().max_files
        if len(images) > most:
            raise serializers.ValidationError(
                f"{len(images)} files were sent, and {most} at most are taken at once: send fewer.",
                code="too_many_files",
            )
        return images


class InspectRequestSerializer(_Uploads):
    """Pictures of parts, and the inspector that is to look at them."""

    inspector = InspectorField(
        queryset=Inspector.objects.all(), help_text="Name, number of its part, or id; in this order."
    )
    serial_number = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="Of the part, to find it again."
    )
    heatmap = serializers.ChoiceField(
        ["url", "base64", "none"],
        default="url",
        help_text="How the answer gives heat maps: as addresses, in it as PNG in base64, or not at all.",
    )


class GoodPatchSerializer(serializers.Serializer):
    """A place in a good picture that looks most like it."""

    sha256 = serializers.CharField(help_text="Of the good picture.")
    box = serializers.ListField(child=serializers.IntegerField(), help_text="x, y, width, height in pixels.")
    distance = serializers.FloatField(help_text="1 is what is usual between good parts.")


class InspectionRegionSerializer(serializers.Serializer):
    """A part of the picture that is unlike good ones."""

    box = serializers.ListField(child=serializers.IntegerField(), help_text="x, y, width, height in pixels.")
    area = serializers.IntegerField(help_text="Pixels.")
    peak = serializers.FloatField(
        help_text="Its largest anomaly: 1 is that of one in ten places of good parts, 2 that of one in 100."
    )
    peak_at = serializers.ListField(child=serializers.IntegerField(), help_text="x, y of that pixel.")
    outline = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()), help_text="Corners x, y of a polygon."
    )
    nearest = GoodPatchSerializer(many=True, help_text="What is most like it among good parts.")


class InspectionSerializer(serializers.ModelSerializer):
    """What one version of an inspector said of one picture; it never changes."""

    inspector = serializers.CharField(source="version.inspector.name", read_only=True)
    inspector_id = serializers.IntegerField(source="version.inspector_id", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True, help_text="Number.")
    rule = serializers.CharField(source="version.rule", read_only=True, help_text="How the threshold is set.")
    alpha = serializers.FloatField(
        source="version.alpha", read_only=True, help_text="Share of good parts that may be rejected."
    )
    sha256 = serializers.CharField(source="file.sha256", read_only=True, help_text="Of the picture.")
    width = serializers.IntegerField(source="file.width", read_only=True, help_text="Pixels, upright.")
    height = serializers.IntegerField(source="file.height", read_only=True, help_text="Pixels, upright.")
    notes = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What to know about this result."
    )
    regions = InspectionRegionSerializer(many=True, read_only=True, help_text="The most suspicious first.")
    nearest = GoodPatchSerializer(
        many=True, read_only=True, help_text="Good patches nearest to the most suspicious one."
    )
    heatmap = serializers.SerializerMethodField(
        help_text="Address of the heat map, or the PNG in base64 where the request asked for that, or null."
    )
    overlay = serializers.SerializerMethodField(
        help_text="Address of the picture with heat map and outlines; null where no heat map was asked for."
    )
    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = Inspection
        fields = [
            "id", "inspector", "inspector_id", "version", "name", "serial_number", "sha256", "width",
            "height", "verdict", "score", "threshold", "p_value", "rule", "alpha", "is_foreign", "notes",
            "regions", "nearest", "heatmap", "overlay", "milliseconds", "evaluation", "truth", "created_by",
            "created_at",
        ]  # fmt: skip

    def get_heatmap(self, inspection) -> str | None:
        how = self.context.get("heatmap", "url")
        if how == "base64":
            return b64encode(inspection_heat(inspection)).decode()
        return None if how == "none" else self._address("api-inspection-heatmap", inspection)

    def get_overlay(self, inspection) -> str | None:
        if self.context.get("heatmap") == "none":
            return None
        return self._address("api-inspection-overlay", inspection)

    def _address(self, name, inspection):
        link = LinkField(name)
        link.bind("link", self)
        return link.to_representation(inspection)


class InspectorLinksSerializer(serializers.Serializer):
    pictures = LinkField("api-inspector-pictures")
    versions = LinkField("api-inspector-versions")
    evaluation = LinkField("api-inspector-evaluation")


class InspectorSerializer(serializers.ModelSerializer):
    """An inspector; what changes how it learns holds from its next training on."""

    part = PartField(required=False, allow_null=True, help_text="Number, or id where revisions share it.")
    active_version = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Number of the version that serves; null before the first."
    )
    good_pictures = serializers.IntegerField(read_only=True, help_text="Pictures to learn from.")
    test_pictures = serializers.IntegerField(read_only=True, help_text="Pictures to evaluate on.")
    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    links = InspectorLinksSerializer(source="*", read_only=True)

    class Meta:
        model = Inspector
        fields = [
            "id", "name", "part", "description", "backbone", "resolution", "rule", "alpha", "hold_out",
            "active_version", "good_pictures", "test_pictures", "links", "created_by", "created_at",
        ]  # fmt: skip

    def create(self, validated_data):
        return inspector_create(user=self.context["request"].user, **validated_data)

    def update(self, instance, validated_data):
        return inspector_change(instance, **validated_data)


class InspectorPictureSerializer(serializers.ModelSerializer):
    """A picture that an inspector learns from, or is judged by."""

    has_mask = serializers.SerializerMethodField(help_text="A mask says where the defect is.")
    sha256 = serializers.CharField(source="file.sha256", read_only=True)
    width = serializers.IntegerField(source="file.width", read_only=True, help_text="Pixels, upright.")
    height = serializers.IntegerField(source="file.height", read_only=True, help_text="Pixels, upright.")
    added_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = InspectorPicture
        fields = [
            "id", "name", "purpose", "defect", "has_mask", "sha256", "width", "height", "added_by", "added_at"
        ]  # fmt: skip

    def get_has_mask(self, picture) -> bool:
        return picture.mask_id is not None


class InspectorPicturesRequestSerializer(_Uploads):
    """Pictures for an inspector, all for the same purpose and with the same kind of defect."""

    purpose = serializers.ChoiceField(InspectorPicture.Purpose.choices, default=InspectorPicture.Purpose.FIT)
    defect = serializers.CharField(
        max_length=80, required=False, allow_blank=True, help_text="Kind of defect; empty for good parts."
    )
    mask = serializers.FileField(
        required=False,
        allow_empty_file=True,
        help_text="White where the defect is, as large as the picture; with one picture only.",
    )

    def validate(self, attrs):
        if attrs.get("mask") and len(attrs["images"]) != 1:
            raise serializers.ValidationError({"mask": "A mask belongs to one picture: send them in pairs."})
        return attrs


class InspectorVersionSerializer(serializers.ModelSerializer):
    """One training: what it learned from, and how its threshold came about."""

    learned_from = serializers.SerializerMethodField(help_text="How many good pictures it learned from.")
    held_out = serializers.SerializerMethodField(
        help_text="How many it never learned from, which set the threshold; 0 when held out in turns."
    )
    good_scores = serializers.ListField(
        child=serializers.FloatField(), read_only=True, help_text="Scores of held-out good parts, ascending."
    )
    parameters = serializers.DictField(read_only=True)
    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    activated_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = InspectorVersion
        fields = [
            "number", "state", "rule", "alpha", "threshold", "reason", "learned_from", "held_out",
            "good_scores", "level", "foreign_from", "is_grey", "backbone", "weights_sha256", "resolution",
            "parameters", "data_sha256", "seconds", "job", "created_by", "created_at", "activated_by",
            "activated_at",
        ]  # fmt: skip

    def get_learned_from(self, version) -> int:
        return len(version.learned_from)

    def get_held_out(self, version) -> int:
        return len(version.held_out)


class EvaluateRequestSerializer(serializers.Serializer):
    version = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=2**31 - 1,
        help_text="Number of the version; the active one when left out.",
    )


class EvaluationSerializer(serializers.ModelSerializer):
    """How well a version told the test pictures apart."""

    version = serializers.IntegerField(source="version.number", read_only=True, help_text="Number.")
    measures = serializers.DictField(
        read_only=True,
        help_text="image_auroc, pixel_auroc, aupro, f1, precision, recall, false_reject_rate, confusion,"
        " by_defect, roc, histogram, counts, notes; what can't be measured is left out.",
    )
    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = Evaluation
        fields = ["id", "version", "measures", "job", "created_by", "created_at"]


class ReloadedSerializer(serializers.Serializer):
    forgotten = serializers.IntegerField(help_text="How many versions were open in this process.")
