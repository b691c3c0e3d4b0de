"""The fault catalogue and the corrective actions."""

from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.validators import UniqueValidator

from cases.api.fields import CodeField, LinkField
from cases.api.viewsets import CheckedModelSerializer, CodeLookup, FreshAfterWriting
from cases.models import CategoryExample, CorrectiveAction, FaultCategory
from cases.selectors import actions_with_effectiveness, categories_with_counts, category_best_actions
from cases.services.catalogue import category_delete


class ExampleLinksSerializer(serializers.Serializer):
    preview = LinkField("api-example-preview")
    thumbnail = LinkField("api-example-thumbnail")


class ExampleSerializer(serializers.ModelSerializer):
    """A picture that shows where a category begins."""

    links = ExampleLinksSerializer(source="*", read_only=True)

    class Meta:
        model = CategoryExample
        fields = ["id", "verdict", "caption", "links"]


class CategoryLinksSerializer(serializers.Serializer):
    page = LinkField("category-detail", key="code")
    best_actions = LinkField("api-category-best-actions", key="code")


class CategorySerializer(CheckedModelSerializer):
    parent = CodeField(queryset=FaultCategory.objects.all(), allow_null=True, required=False)
    path = serializers.ListField(
        child=serializers.CharField(),
        source="tree_codes",
        read_only=True,
        help_text="Codes from the root of the tree down to this category.",
    )
    image_count = serializers.IntegerField(read_only=True, help_text="Pictures confirmed as this category.")
    case_count = serializers.IntegerField(read_only=True, help_text="Cases that have such pictures.")
    examples = ExampleSerializer(many=True, read_only=True)
    links = CategoryLinksSerializer(source="*", read_only=True)

    class Meta:
        model = FaultCategory
        fields = [
            "code", "name", "definition", "severity", "is_safety_relevant", "state", "parent", "path",
            "image_count", "case_count", "examples", "links", "created_at", "updated_at",
        ]  # fmt: skip


class ActionLinksSerializer(serializers.Serializer):
    page = LinkField("action-detail", key="code")


class ActionSerializer(CheckedModelSerializer):
    code = serializers.RegexField(
        r"^[^/\s]+$",
        max_length=40,
        validators=[UniqueValidator(CorrectiveAction.objects.all())],
        error_messages={"invalid": "Use no spaces and no slashes: the code is part of addresses."},
    )
    categories = CodeField(queryset=FaultCategory.objects.all(), many=True, required=False)
    times_taken = serializers.IntegerField(read_only=True)
    times_judged = serializers.IntegerField(read_only=True)
    times_effective = serializers.IntegerField(read_only=True)
    share_effective = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Effective among judged; null before the first judgement."
    )
    links = ActionLinksSerializer(source="*", read_only=True)

    class Meta:
        model = CorrectiveAction
        fields = [
            "code", "title", "type", "description", "categories", "state", "times_taken", "times_judged",
            "times_effective", "share_effective", "links", "created_at", "updated_at",
        ]  # fmt: skip


class CategoryViewSet(FreshAfterWriting, CodeLookup, viewsets.ModelViewSet):
    """The fault catalogue: a tree of defect types, depth first, with example pictures."""

    queryset = FaultCategory.objects.all()
    serializer_class = CategorySerializer
    filterset_fields = ["state", "is_safety_relevant", "severity"]
    search_fields = ["code", "name", "definition"]
    action_permissions = {"best_actions": ["cases.view_faultcategory", "cases.view_correctiveaction"]}

    def get_queryset(self):
        examples = Prefetch("examples", CategoryExample.objects.select_related("file"))
        return (
            categories_with_counts()
            .tree_fields(tree_codes="code")
            .select_related("parent")
            .prefetch_related(examples)
            .order_by("tree_ordering")
        )

    def perform_destroy(self, instance):
        category_delete(instance)

    @extend_schema(summary="List the actions that worked best", responses=ActionSerializer(many=True))
    @action(detail=True, url_path="best-actions", filterset_fields=None, search_fields=None)
    def best_actions(self, request, code):
        """Actions taken in cases of this category or of those below it, the surest first."""
        found = category_best_actions(self.get_object()).prefetch_related("categories")
        page = self.paginate_queryset(found)
        context = self.get_serializer_context()
        return self.get_paginated_response(ActionSerializer(page, many=True, context=context).data)


class ActionViewSet(FreshAfterWriting, CodeLookup, viewsets.ModelViewSet):
    """Corrective actions that can be taken again, and how often they worked."""

    queryset = CorrectiveAction.objects.all()
    serializer_class = ActionSerializer
    filterset_fields = {"state": ["exact"], "type": ["exact"], "categories__code": ["exact"]}
    search_fields = ["code", "title", "description"]

    def get_queryset(self):
        return actions_with_effectiveness().prefetch_related("categories")
