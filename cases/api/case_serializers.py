"""How cases are read and written."""

from django.contrib.auth import get_user_model
from rest_framework import serializers

from cases.api.fields import CodeField, LinkField, PartField
from cases.api.images import ImageSerializer
from cases.api.parties import CustomerSerializer, PartSerializer, SiteSerializer, SupplierSerializer
from cases.api.uploads import PicturesSerializer
from cases.api.viewsets import CheckedModelSerializer
from cases.models import Case, CaseImage, CaseTransition, Customer, FaultCategory, Label, Site, Supplier

_DESCRIBING = [
    "title", "kind", "customer_reference", "reported_at", "detection_point", "lot", "serial_number",
    "produced_on", "quantity_complained", "quantity_confirmed", "severity", "description",
]  # fmt: skip


class CaseLinksSerializer(serializers.Serializer):
    page = LinkField("case-detail", key="number")
    triage = LinkField("case-triage", key="number")
    history = LinkField("api-case-history", key="number")
    resolution = LinkField(
        "api-resolution-detail", key="resolution.case.number", allow_null=True, help_text="Once written."
    )


class CaseSerializer(serializers.ModelSerializer):
    """A case as it is shown."""

    part = PartSerializer(allow_null=True)
    customer = CustomerSerializer(allow_null=True)
    supplier = SupplierSerializer(allow_null=True)
    site = SiteSerializer(allow_null=True)
    owner = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    duplicate_of = serializers.SlugRelatedField("number", read_only=True, allow_null=True)
    next_statuses = serializers.ListField(
        child=serializers.ChoiceField(Case.Status.choices), help_text="Where a transition may lead from here."
    )
    images = ImageSerializer(many=True)
    links = CaseLinksSerializer(source="*")

    class Meta:
        model = Case
        fields = [
            "number", "status", "next_statuses", *_DESCRIBING, "part", "customer", "supplier", "site",
            "owner", "duplicate_of", "images", "links", "source", "created_by", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class CaseChangeSerializer(CheckedModelSerializer):
    """The head data of a case. Rows are named by their codes."""

    part = PartField(allow_null=True, required=False, help_text="Number, or id where revisions share it.")
    customer = CodeField(queryset=Customer.objects.all(), allow_null=True, required=False)
    supplier = CodeField(queryset=Supplier.objects.all(), allow_null=True, required=False)
    site = CodeField(queryset=Site.objects.all(), allow_null=True, required=False)
    owner = CodeField(
        "username",
        queryset=get_user_model().objects.filter(is_active=True),
        allow_null=True,
        required=False,
        help_text="User name.",
    )

    class Meta:
        model = Case
        fields = [*_DESCRIBING, "part", "customer", "supplier", "site", "owner"]

    def to_representation(self, instance):
        return CaseSerializer(instance, context=self.context).data


class CaseCreateSerializer(PicturesSerializer, CaseChangeSerializer):
    """A new case, best with its pictures at once (multipart); they can also follow."""

    class Meta(CaseChangeSerializer.Meta):
        fields = [*CaseChangeSerializer.Meta.fields, "images", "roles"]

    def get_fields(self):
        fields = super().get_fields()
        fields["images"].required = False
        return fields


class TransitionSerializer(serializers.ModelSerializer):
    """One change of a case's status."""

    made_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = CaseTransition
        fields = ["from_status", "to_status", "note", "made_by", "made_at"]


class TransitionRequestSerializer(serializers.Serializer):
    to_status = serializers.ChoiceField(Case.Status.choices)
    note = serializers.CharField(max_length=500, required=False, allow_blank=True)
    duplicate_of = CodeField(
        "number",
        queryset=Case.objects.all(),
        required=False,
        allow_null=True,
        help_text="The case that this one repeats: needed for the status duplicate.",
    )


class VerdictSerializer(serializers.Serializer):
    """What pictures show: a fault with its category, or another verdict without one."""

    verdict = serializers.ChoiceField(Label.Verdict.choices)
    category = CodeField(queryset=FaultCategory.objects.all(), required=False, allow_null=True)
    note = serializers.CharField(max_length=500, required=False, allow_blank=True)


class LabelRequestSerializer(VerdictSerializer):
    images = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        allow_empty=False,
        max_length=CaseImage.MAX_PER_CASE,
        help_text="Ids of pictures of this case; all but nameplates when left out.",
    )


class ChangeSerializer(serializers.Serializer):
    field = serializers.CharField()
    old = serializers.CharField()
    new = serializers.CharField()


class HistoryEntrySerializer(serializers.Serializer):
    """One recorded change of the case, of its pictures, its resolution or the actions taken."""

    at = serializers.DateTimeField()
    who = serializers.CharField()
    verb = serializers.CharField()
    record = serializers.CharField()
    changes = ChangeSerializer(many=True)


class HistorySerializer(serializers.Serializer):
    transitions = TransitionSerializer(many=True)
    entries = HistoryEntrySerializer(many=True, help_text="The newest first, 100 at most.")
