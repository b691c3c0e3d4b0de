"""Tuning the embedding to the library's labels: offer, start, state, and the way back."""

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.api.jobs import JobSerializer
from vision.models import Adaptation, EmbeddingSpace
from vision.services.adaptation import (
    AdaptationRefused,
    adaptation_start,
    adaptation_state,
    adaptation_undo,
)


class AdaptationOfferSerializer(serializers.Serializer):
    available = serializers.BooleanField(help_text="An adaptation may be started now.")
    missing = serializers.ListField(child=serializers.CharField(), help_text="What there is too little of.")
    images = serializers.IntegerField(help_text="Confirmed pictures.")
    categories = serializers.IntegerField(help_text="Categories with enough of them.")
    running = JobSerializer(allow_null=True, help_text="The attempt or the building of a space under way.")


class AdaptationAttemptSerializer(serializers.ModelSerializer):
    """One attempt: what it measured on held-out cases, and what followed."""

    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    compared_with = serializers.SlugRelatedField("slug", read_only=True)
    measures = serializers.DictField(
        read_only=True,
        help_text="before and after (map_at_r, precision_at_5, top1, unknown_auroc), gain in mAP@R with low"
        " and high of its 95 % interval, queries, groups.",
    )

    class Meta:
        model = Adaptation
        fields = [
            "id", "method", "compared_with", "passed", "reason", "measures", "sha256", "data_sha256",
            "created_by", "created_at",
        ]  # fmt: skip


class EmbeddingSpaceSerializer(serializers.ModelSerializer):
    """A space: the active one serves."""

    base = serializers.SlugRelatedField("slug", read_only=True, allow_null=True)
    parent = serializers.SlugRelatedField("slug", read_only=True, allow_null=True)

    class Meta:
        model = EmbeddingSpace
        fields = [
            "slug", "backbone", "weights_sha256", "preprocessing", "dimension", "state", "base", "parent",
            "adaptation", "created_at", "activated_at",
        ]  # fmt: skip


class AdaptationStateSerializer(serializers.Serializer):
    """The offer, the newest attempts and the spaces, the newest first."""

    offer = AdaptationOfferSerializer()
    can_undo = serializers.BooleanField(help_text="The active space was adapted from another one.")
    attempts = AdaptationAttemptSerializer(many=True)
    spaces = EmbeddingSpaceSerializer(many=True)


class AdaptationRequestSerializer(serializers.Serializer):
    network = serializers.BooleanField(
        default=False, help_text="Tune the whole network to the pictures: much slower than a projection."
    )


class AdaptationView(APIView):
    @property
    def required_permissions(self):
        return ["vision.add_adaptation" if self.request.method == "POST" else "vision.view_adaptation"]

    @extend_schema(
        summary="State of the adaptation",
        responses=AdaptationStateSerializer,
        operation_id="adaptation",
        tags=["adaptation"],
    )
    def get(self, request):
        """Is there enough data to tune the embedding, what did attempts measure, which spaces are there."""
        return Response(AdaptationStateSerializer(adaptation_state()).data)

    @extend_schema(
        summary="Start an adaptation",
        request=AdaptationRequestSerializer,
        responses={202: JobSerializer},
        operation_id="adaptation_start",
        tags=["adaptation"],
    )
    def post(self, request):
        """Tune the embedding to the confirmed pictures in the background; follow it at the job."""
        serializer = AdaptationRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return _job(lambda: adaptation_start(request.user, **serializer.validated_data))


class AdaptationUndoView(APIView):
    required_permissions = ["vision.add_adaptation"]

    @extend_schema(
        summary="Undo the adaptation",
        request=None,
        responses={202: JobSerializer},
        operation_id="adaptation_undo",
        tags=["adaptation"],
    )
    def post(self, request):
        """Complete the space that the active one was adapted from, in the background, and go back to it."""
        return _job(lambda: adaptation_undo(request.user))


def _job(start):
    try:
        job = start()
    except AdaptationRefused as refused:
        raise ValidationError(str(refused)) from refused
    return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)
