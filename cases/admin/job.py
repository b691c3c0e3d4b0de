"""Long work: what runs, how far it is, how it ended."""

from django.contrib import admin
from django.utils.html import format_html

from cases.admin.base import EMPTY, ReadOnlyAdmin
from cases.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "kind",
        "state",
        "progress_bar",
        "message",
        "created_by",
        "created_at",
        "finished_at",
    ]
    list_display_links = ["id", "kind"]
    list_filter = ["state", "kind"]
    list_select_related = ["created_by"]
    search_fields = ["kind", "message", "error"]
    date_hierarchy = "created_at"
    readonly_fields = ["progress_bar"]

    @admin.display(description="progress", ordering="progress")
    def progress_bar(self, job):
        if not job.total:
            return EMPTY
        return format_html(
            '<span class="nowrap"><progress value="{}" max="{}"></progress> {} of {}</span>',
            job.progress,
            job.total,
            job.progress,
            job.total,
        )
