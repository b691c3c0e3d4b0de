"""What the program saw and suggested: for reading only, because services and triggers write it."""

from django.contrib import admin
from django.db.models import Count

from cases.admin.base import EMPTY, ReadOnlyAdmin, admin_link
from cases.templatetags.ui import percent
from vision.models import Decision, Diagnosis, EmbeddingSpace, LibraryChange


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
