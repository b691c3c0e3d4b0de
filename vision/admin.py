"""What the program saw and suggested: for reading only, because services and triggers write it.

Inspectors are the exception: what they are called and how they are to learn is for people to say.
"""

from django.contrib import admin
from django.db.models import Count, Q

from cases.admin.base import EMPTY, ReadOnlyAdmin, admin_link
from cases.templatetags.ui import percent
from vision.models import (
    Decision,
    Diagnosis,
    EmbeddingSpace,
    Evaluation,
    Inspection,
    Inspector,
    InspectorVersion,
    LibraryChange,
)
from vision.services.inspection.wording import p_value_words


@admin.register(EmbeddingSpace)
class EmbeddingSpaceAdmin(ReadOnlyAdmin):
    list_display = ["slug", "backbone", "dimension", "preprocessing", "state", "vectors", "created_at"]
    list_filter = ["state", "backbone"]

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(vector_count=Count("embeddings"))

    @admin.display(description="vectors", ordering="vector_count")
    def vectors(self, space):
        return space.vector_count


@admin.register(Diagnosis)
class DiagnosisAdmin(ReadOnlyAdmin):
    list_display = ["id", "case", "outcome", "category", "likelihood", "library_size", "space", "created_at"]
    list_display_links = ["id", "case"]
    list_filter = ["outcome", "space", ("category", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["case", "category", "space"]
    list_per_page = 50
    search_fields = ["case__number", "category__code", "category__name"]
    date_hierarchy = "created_at"

    @admin.display(description="probability", ordering="probability")
    def likelihood(self, diagnosis):
        return percent(diagnosis.probability) or EMPTY


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ["id", "case", "verdict", "category", "agrees", "made_by", "made_at"]
    list_display_links = ["id", "case"]
    list_filter = ["verdict", "agrees", ("category", admin.RelatedOnlyFieldListFilter), "made_by"]
    list_select_related = ["case", "category", "made_by"]
    list_per_page = 50
    search_fields = ["case__number", "category__code", "category__name"]
    date_hierarchy = "made_at"
    readonly_fields = ["suggestion"]
    exclude = ["diagnosis"]

    @admin.display(description="diagnosis")
    def suggestion(self, decision):
        return admin_link(decision.diagnosis)


@admin.register(LibraryChange)
class LibraryChangeAdmin(ReadOnlyAdmin):
    list_display = ["id", "operation", "image_id", "space", "made_at"]
    list_filter = ["operation", "space"]
    list_select_related = ["space"]
    ordering = ["-id"]
    search_fields = ["=image_id"]
    date_hierarchy = "made_at"
    show_full_result_count = False


@admin.register(Inspector)
class InspectorAdmin(admin.ModelAdmin):
    """Pictures and training are on the inspector's own page, "View on site"."""

    list_display = ["name", "part", "backbone", "rule", "alpha", "good_pictures", "versions_trained"]
    list_filter = ["rule", "backbone"]
    list_select_related = ["part"]
    search_fields = ["name", "part__number", "description"]
    autocomplete_fields = ["part"]
    fields = ["name", "part", "description", "backbone", "resolution", "rule", "alpha", "hold_out"]

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .annotate(
                good_count=Count("pictures", filter=Q(pictures__purpose="fit"), distinct=True),
                version_count=Count("versions", distinct=True),
            )
        )

    def save_model(self, request, obj, form, change):
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    @admin.display(description="good pictures", ordering="good_count")
    def good_pictures(self, inspector):
        return inspector.good_count

    @admin.display(description="versions", ordering="version_count")
    def versions_trained(self, inspector):
        return inspector.version_count


@admin.register(InspectorVersion)
class InspectorVersionAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "state", "backbone", "rule", "alpha", "threshold", "created_by", "created_at"]
    list_filter = ["state", "rule", ("inspector", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["inspector", "created_by"]
    search_fields = ["inspector__name"]
    exclude = ["learned_from", "held_out", "good_scores"]
    readonly_fields = ["good_parts"]
    date_hierarchy = "created_at"

    @admin.display(description="good parts")
    def good_parts(self, version):
        return f"{len(version.learned_from)} learned from, {len(version.held_out)} held out for good"


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "auroc", "recall", "false_rejects", "created_by", "created_at"]
    list_filter = [("version__inspector", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["version__inspector", "created_by"]
    date_hierarchy = "created_at"

    @admin.display(description="AUROC")
    def auroc(self, evaluation):
        found = evaluation.measures.get("image_auroc")
        return f"{found['value']:.3f}" if found else EMPTY

    @admin.display(description="recall")
    def recall(self, evaluation):
        return percent(evaluation.measures.get("recall")) or EMPTY

    @admin.display(description="false rejects")
    def false_rejects(self, evaluation):
        return percent(evaluation.measures.get("false_reject_rate")) or EMPTY


@admin.register(Inspection)
class InspectionAdmin(ReadOnlyAdmin):
    list_display = ["id", "version", "verdict", "score", "threshold", "serial_number", "case", "created_at"]
    list_filter = ["verdict", "is_foreign", ("version__inspector", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["version__inspector", "case"]
    list_per_page = 50
    search_fields = ["=id", "serial_number", "name", "case__number"]
    exclude = ["grid"]
    readonly_fields = ["likelihood"]
    date_hierarchy = "created_at"
    show_full_result_count = False

    @admin.display(description="in words")
    def likelihood(self, inspection):
        return p_value_words(inspection.p_value) or EMPTY
