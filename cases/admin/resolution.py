"""Resolutions with their 5-Why chain and the actions taken."""

from django.contrib import admin
from django.db.models import Count, Q

from cases.admin.base import HistoryAdmin, admin_link
from cases.admin.transfer import TransferMixin
from cases.models import ActionTaken, Resolution, WhyStep
from cases.resources import ResolutionResource


class WhyStepInline(admin.TabularInline):
    model = WhyStep
    extra = 0
    max_num = 7


class ActionTakenInline(admin.StackedInline):
    model = ActionTaken
    extra = 0
    autocomplete_fields = ["action", "owner"]
    fields = ["action", "owner", ("due_on", "done_on"), "effectiveness", "evidence"]


@admin.register(Resolution)
class ResolutionAdmin(TransferMixin, HistoryAdmin):
    resource_classes = [ResolutionResource]
    history_parts = [WhyStep, ActionTaken]
    list_display = ["case", "disposition", "root_cause", "times_acted", "effective", "updated_at"]
    list_filter = ["disposition", "actions_taken__effectiveness", "case__status"]
    list_select_related = ["case"]
    list_per_page = 50
    search_fields = ["case__number", "case__title", "problem", "root_cause", "summary"]
    date_hierarchy = "updated_at"
    autocomplete_fields = ["case"]
    inlines = [WhyStepInline, ActionTakenInline]

    def get_queryset(self, request):
        effective = Q(actions_taken__effectiveness=ActionTaken.Effectiveness.EFFECTIVE)
        return (
            super()
            .get_queryset(request)
            .annotate(
                action_count=Count("actions_taken"), effective_count=Count("actions_taken", filter=effective)
            )
        )

    def get_readonly_fields(self, request, obj=None):
        return ["case_link"] if obj else []

    def get_fields(self, request, obj=None):
        fields = ["problem", "containment", "root_cause", "disposition", "summary"]
        return ["case_link" if obj else "case", *fields]

    @admin.display(description="case")
    def case_link(self, resolution):
        return admin_link(resolution.case)

    @admin.display(description="actions", ordering="action_count")
    def times_acted(self, resolution):
        return resolution.action_count

    @admin.display(description="effective", ordering="effective_count")
    def effective(self, resolution):
        return resolution.effective_count
