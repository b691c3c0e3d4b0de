"""The fault catalogue and the corrective actions that serve it."""

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone
from django.utils.html import format_html

from cases.admin.base import EMPTY, HistoryAdmin, PicturesField, thumbnail
from cases.admin.transfer import TransferMixin
from cases.models import CaseImage, CategoryExample, CorrectiveAction, FaultCategory
from cases.resources import ActionResource, CategoryResource
from cases.selectors import actions_with_effectiveness, categories_with_counts
from cases.services.catalogue import category_delete
from cases.services.intake import image_file_store, pictures_check
from cases.templatetags.ui import percent


class ExampleForm(forms.ModelForm):
    upload = PicturesField(multiple=False, required=False, label="picture")

    class Meta:
        model = CategoryExample
        fields = ["verdict", "caption"]

    def clean(self):
        pictures = self.cleaned_data.get("upload")
        if self.instance.pk is None and not pictures and "upload" not in self.errors:
            self.add_error("upload", "Choose the picture of this example.")
        if pictures:
            try:
                (self.checked,) = pictures_check(pictures)
            except ValidationError as error:
                self.add_error("upload", error.messages)
        return super().clean()

    def save(self, commit=True):
        if self.cleaned_data["upload"]:
            self.instance.file = image_file_store(self.cleaned_data["upload"][0], self.checked)
        return super().save(commit)


class ExampleFormSet(forms.BaseInlineFormSet):
    def clean(self):
        super().clean()
        shown = dict(self.instance.examples.values_list("file__sha256", "pk")) if self.instance.pk else {}
        for form in self.forms:
            digest = getattr(getattr(form, "checked", None), "sha256", None)
            if digest is None or self._should_delete_form(form):
                continue
            if shown.get(digest, form.instance.pk) != form.instance.pk or shown.get(digest) == "new":
                form.add_error("upload", "The category shows this picture already.")
            shown[digest] = form.instance.pk or "new"


class ExampleInline(admin.TabularInline):
    model = CategoryExample
    form = ExampleForm
    formset = ExampleFormSet
    extra = 0
    fields = ["preview", "upload", "verdict", "caption"]
    readonly_fields = ["preview"]

    @admin.display(description="")
    def preview(self, example):
        return thumbnail("example", example.pk, str(example) if example.pk else "")


class CategoryForm(forms.ModelForm):
    def clean_parent(self):
        parent = self.cleaned_data.get("parent")
        if parent and self.instance.pk and parent.ancestors(include_self=True).contains(self.instance):
            raise ValidationError(
                f"{self.instance.code} can't lie below {parent.code}, because {parent.code} lies below"
                f" {self.instance.code} itself. Choose another parent."
                if parent != self.instance
                else f"{self.instance.code} can't lie below itself. Choose another parent."
            )
        return parent


class TreeList(ChangeList):
    """Depth first, as the tree reads, until a column is chosen to sort by."""

    def get_ordering(self, request, queryset):
        return super().get_ordering(request, queryset) if self.params.get(ORDER_VAR) else ["tree_ordering"]


@admin.register(FaultCategory)
class FaultCategoryAdmin(TransferMixin, HistoryAdmin):
    form = CategoryForm
    resource_classes = [CategoryResource]
    history_parts = [CategoryExample]
    list_display = ["example", "tree_name", "state", "safety", "severity", "images", "cases"]
    list_display_links = ["tree_name"]
    list_filter = ["state", "is_safety_relevant", "severity"]
    list_per_page = 100
    sortable_by = ["severity", "images", "cases", "state"]
    search_fields = ["code", "name", "definition"]
    autocomplete_fields = ["parent"]
    inlines = [ExampleInline]
    actions = ["activate", "deprecate"]
    fieldsets = [
        (None, {"fields": [("code", "name"), "parent", "definition"]}),
        ("Rating", {"fields": [("severity", "is_safety_relevant"), "state"]}),
    ]

    def get_queryset(self, request):
        first = CategoryExample.objects.filter(category=OuterRef("pk")).order_by("id").values("pk")[:1]
        return categories_with_counts().annotate(example_pk=Subquery(first))

    def get_changelist(self, request, **kwargs):
        return TreeList

    @admin.display(description="")
    def example(self, category):
        return thumbnail("example", category.example_pk, f"Example of {category.name}")

    @admin.display(description="category")
    def tree_name(self, category):
        depth = min(category.tree_depth, 4)
        return format_html('<span class="tree-{}">{}</span>', depth, category)

    @admin.display(description="safety", ordering="is_safety_relevant")
    def safety(self, category):
        return "Safety relevant" if category.is_safety_relevant else EMPTY

    @admin.display(description="labelled images", ordering="image_count")
    def images(self, category):
        return category.image_count

    @admin.display(description="cases", ordering="case_count")
    def cases(self, category):
        return category.case_count

    def get_deleted_objects(self, objs, request):
        to_delete, counts, perms, protected = super().get_deleted_objects(objs, request)
        # What lies below a category would go with it: it stands in the way instead.
        below = FaultCategory.objects.filter(parent__in=[category.pk for category in objs])
        return to_delete, counts, perms, [*protected, *(f"Fault category: {category}" for category in below)]

    def delete_model(self, request, category):
        category_delete(category)

    def delete_queryset(self, request, queryset):
        for category in queryset:
            category_delete(category)

    @admin.action(description="Activate the selected categories", permissions=["change"])
    def activate(self, request, queryset):
        changed = _state_change(FaultCategory, queryset, FaultCategory.State.ACTIVE)
        self.message_user(request, f"Categories activated: {changed}.", messages.SUCCESS)

    @admin.action(description="Deprecate the selected categories", permissions=["change"])
    def deprecate(self, request, queryset):
        changed = _state_change(FaultCategory, queryset, FaultCategory.State.DEPRECATED)
        kept = CaseImage.objects.filter(confirmed_category__in=_keys(queryset)).count()
        self.message_user(
            request,
            f"Categories deprecated: {changed}. Nothing new can be labelled so;"
            f" {kept} labelled images keep that label and stay in the library.",
            messages.SUCCESS,
        )


@admin.register(CorrectiveAction)
class CorrectiveActionAdmin(TransferMixin, HistoryAdmin):
    resource_classes = [ActionResource]
    list_display = ["code", "title", "type", "state", "taken", "effective"]
    list_display_links = ["code", "title"]
    list_filter = ["state", "type", "categories"]
    list_per_page = 50
    search_fields = ["code", "title", "description"]
    autocomplete_fields = ["categories"]
    actions = ["activate", "deprecate"]
    fields = [("code", "title"), "type", "description", "categories", "state"]

    def get_queryset(self, request):
        return actions_with_effectiveness()

    @admin.display(description="times taken", ordering="times_taken")
    def taken(self, action):
        return action.times_taken

    @admin.display(description="effective", ordering=F("share_effective").desc(nulls_last=True))
    def effective(self, action):
        if action.share_effective is None:
            return EMPTY
        return f"{percent(action.share_effective)} of {action.times_judged}"

    @admin.action(description="Activate the selected actions", permissions=["change"])
    def activate(self, request, queryset):
        changed = _state_change(CorrectiveAction, queryset, CorrectiveAction.State.ACTIVE)
        self.message_user(request, f"Actions activated: {changed}.", messages.SUCCESS)

    @admin.action(description="Deprecate the selected actions", permissions=["change"])
    def deprecate(self, request, queryset):
        changed = _state_change(CorrectiveAction, queryset, CorrectiveAction.State.DEPRECATED)
        self.message_user(
            request,
            f"Actions deprecated: {changed}. Cases that took them keep them, new ones can't choose them.",
            messages.SUCCESS,
        )


def _keys(queryset) -> list[int]:
    return list(queryset.values_list("pk", flat=True))


def _state_change(model, queryset, state) -> int:
    rows = model.objects.filter(pk__in=_keys(queryset)).exclude(state=state)
    return rows.update(state=state, updated_at=timezone.now())
