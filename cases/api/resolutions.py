"""Resolutions: what was found, done, and whether it worked."""

import django_filters
from django.contrib.auth import get_user_model
from django.db.models import Prefetch
from rest_framework import serializers

from cases.api.fields import CodeField, LinkField
from cases.api.viewsets import FreshAfterWriting, ReadCreateUpdate
from cases.models import ActionTaken, Case, CorrectiveAction, Resolution, WhyStep
from cases.services.resolutions import resolution_create, resolution_update


class WhyStepSerializer(serializers.ModelSerializer):
    class Meta:
        model = WhyStep
        fields = ["position", "answer"]


class ActionTakenSerializer(serializers.ModelSerializer):
    action = CodeField(queryset=CorrectiveAction.objects.all())
    title = serializers.CharField(source="action.title", read_only=True)
    type = serializers.CharField(source="action.type", read_only=True)
    owner = CodeField("username", queryset=get_user_model().objects.all(), allow_null=True, required=False)

    class Meta:
        model = ActionTaken
        fields = ["action", "title", "type", "owner", "due_on", "done_on", "effectiveness", "evidence"]


class ResolutionLinksSerializer(serializers.Serializer):
    page = LinkField("case-detail", key="case.number", fragment="#resolution")
    case = LinkField("api-case-detail", key="case.number")


class ResolutionSerializer(serializers.ModelSerializer):
    """`why_steps` and `actions_taken`, when sent, replace those of before as a whole."""

    case = CodeField("number", queryset=Case.objects.all())
    why_steps = WhyStepSerializer(many=True, required=False)
    actions_taken = ActionTakenSerializer(many=True, required=False)
    links = ResolutionLinksSerializer(source="*", read_only=True)

    class Meta:
        model = Resolution
        fields = [
            "case", "problem", "containment", "root_cause", "disposition", "summary", "why_steps",
            "actions_taken", "links", "created_at", "updated_at",
        ]  # fmt: skip

    def create(self, validated_data):
        return resolution_create(**validated_data)

    def update(self, instance, validated_data):
        return resolution_update(instance, **validated_data)


class ResolutionChangeSerializer(ResolutionSerializer):
    """A resolution stays with its case."""

    case = serializers.SlugRelatedField("number", read_only=True)


class ResolutionFilter(django_filters.FilterSet):
    case = django_filters.CharFilter(
        field_name="case__number", lookup_expr="iexact", label="Number of the case."
    )
    action = django_filters.ModelChoiceFilter(
        field_name="actions_taken__action",
        queryset=CorrectiveAction.objects.all(),
        to_field_name="code",
        label="Code of an action taken.",
    )

    class Meta:
        model = Resolution
        fields = ["disposition"]


class ResolutionViewSet(FreshAfterWriting, ReadCreateUpdate):
    """Resolutions, addressed by the number of their case: problem, containment, root cause, actions taken.

    `why_steps` and `actions_taken`, when sent, replace those of before as a whole; all is stored or nothing.
    """

    queryset = Resolution.objects.all()
    serializer_class = ResolutionSerializer
    lookup_field = "case__number"
    lookup_url_kwarg = "number"
    lookup_value_regex = r"[^/\x00]+"
    filterset_class = ResolutionFilter
    search_fields = ["problem", "containment", "root_cause", "summary"]

    def get_serializer_class(self):
        changes = self.action in ("update", "partial_update")
        return ResolutionChangeSerializer if changes else ResolutionSerializer

    def get_queryset(self):
        taken = ActionTaken.objects.select_related("action", "owner")
        return (
            Resolution.objects.filter(case__in=Case.objects.visible_to(self.request.user))
            .select_related("case")
            .prefetch_related("why_steps", Prefetch("actions_taken", taken))
        )
