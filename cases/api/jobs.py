"""Long work and its progress."""

from rest_framework import serializers, viewsets

from cases.models import Job


class JobSerializer(serializers.ModelSerializer):
    created_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = Job
        fields = [
            "id", "kind", "state", "progress", "total", "message", "result", "error", "created_by",
            "created_at", "started_at", "heartbeat_at", "finished_at",
        ]  # fmt: skip


class JobViewSet(viewsets.ReadOnlyModelViewSet):
    """Imports and other long work: `progress` of `total` steps are done. The newest come first."""

    queryset = Job.objects.select_related("created_by")
    serializer_class = JobSerializer
    lookup_value_regex = r"[0-9]+"
    filterset_fields = ["state", "kind"]
