"""What the admin pages share: thumbnails, read-only records, history and uploads."""

from collections.abc import Sequence

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from cases.history import record_history, records_deleted
from cases.services.intake import Picture
from vision.engine.images import ACCEPTED_MIME_TYPES

#: What stands where there is nothing.
EMPTY = "-"


def thumbnail(name: str, pk: int | None, alt: str):
    """A small picture that opens the larger one; `name` is "image" (of a case) or "example"."""
    if pk is None:
        return EMPTY
    return format_html(
        '<a href="{}" class="thumbnail"><img src="{}" alt="{}" loading="lazy"></a>',
        reverse(f"{name}-preview", args=[pk]),
        reverse(f"{name}-thumbnail", args=[pk]),
        alt,
    )


def admin_link(row):
    """A link to the change page of a row."""
    if row is None:
        return EMPTY
    opts = row._meta
    return format_html(
        '<a href="{}">{}</a>', reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk]), row
    )


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that are written by services and database triggers only."""

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


class ReadOnlyInline(admin.TabularInline):
    """Rows that are shown with their owner and never changed there."""

    extra = 0
    max_num = 0
    can_delete = False

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


class HistoryAdmin(admin.ModelAdmin):
    """Shows what the database triggers recorded: each change of a record, and the records deleted."""

    #: Models whose rows belong to a record: their changes stand in its history.
    history_parts: Sequence[type[Model]] = ()
    object_history_template = "admin/cases/record_history.html"

    def history_view(self, request, object_id, extra_context=None):
        record = self.get_object(request, object_id)
        entries = record_history({record: self.history_parts}) if record is not None else []
        return super().history_view(
            request, object_id, {**(extra_context or {}), "title": f"History of {record}", "entries": entries}
        )

    def get_urls(self):
        name = f"{self.opts.app_label}_{self.opts.model_name}_deleted"
        return [
            path("deleted/", self.admin_site.admin_view(self.deleted_view), name=name),
            *super().get_urls(),
        ]

    def deleted_view(self, request):
        """The records of this kind that were deleted, newest first."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"Deleted {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "entries": records_deleted(self.model),
        }
        return TemplateResponse(request, "admin/cases/deleted.html", context)

    def get_deleted_objects(self, objs, request):
        """Rows that nobody may delete alone (labels, transitions…) go with the record that owns them.

        Whoever may delete the record has been asked for by then.
        """
        to_delete, counts, _, protected = super().get_deleted_objects(objs, request)
        return to_delete, counts, set(), protected


class PicturesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class PicturesField(forms.FileField):
    """Any number of uploads; cleans to a list of Picture, which the guard of intake has not seen yet."""

    def __init__(self, *, multiple: bool = True, **kwargs):
        widget = PicturesInput if multiple else forms.FileInput
        super().__init__(widget=widget(attrs={"accept": ",".join(ACCEPTED_MIME_TYPES)}), **kwargs)

    def clean(self, data, initial=None):
        files = [file for file in (data if isinstance(data, list | tuple) else [data]) if file]
        if self.required and not files:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return [Picture(file.name, file.read()) for file in files]
