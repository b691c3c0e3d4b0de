"""Cases: their data, pictures, way through the statuses and resolution."""

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, Subquery

from cases.admin.base import EMPTY, HistoryAdmin, PicturesField, ReadOnlyInline, admin_link, thumbnail
from cases.admin.steps import chosen_page, is_answer
from cases.admin.transfer import TransferMixin
from cases.models import Case, CaseImage, CaseTransition, Resolution
from cases.resources import CaseResource
from cases.services.deletion import cases_delete
from cases.services.intake import case_add_images, case_create, pictures_check
from cases.services.workflow import case_transition

_PARTIES = ["part", "customer", "supplier", "site", "owner"]


class CaseForm(forms.ModelForm):
    pictures = PicturesField(
        required=False,
        label="Add pictures",
        help_text=f"A case shows {CaseImage.MAX_PER_CASE} pictures at most.",
    )

    def clean(self):
        cleaned = super().clean()
        pictures = cleaned.get("pictures")
        if pictures:
            try:
                if self.instance.pk is None:
                    pictures_check(pictures)
                else:
                    # Stored here, where a refusal can stand beside the field; CaseAdmin takes it back when
                    # something else on the page is refused.
                    case_add_images(self.instance, pictures)
            except ValidationError as error:
                self.add_error("pictures", error.messages)
        return cleaned


class TransitionForm(forms.Form):
    """Where the chosen cases go."""

    to_status = forms.ChoiceField(choices=Case.Status.choices, label="New status")
    note = forms.CharField(max_length=500, required=False)
    duplicate_of = forms.CharField(
        max_length=20,
        required=False,
        label="Original",
        help_text="For Duplicate: the number of the case repeated.",
    )

    def clean_duplicate_of(self):
        number = self.cleaned_data["duplicate_of"].strip()
        if not number:
            return None
        original = Case.objects.filter(number__iexact=number).first()
        if original is None:
            raise ValidationError(f"There is no case {number}. Give a number such as FD-2026-000123.")
        return original


class CaseImageInline(admin.TabularInline):
    model = CaseImage
    extra = 0
    max_num = 0  # new pictures come through the field "Add pictures"
    fields = ["picture", "position", "role", "name", "confirmed_category", "labelled_by", "labelled_at"]
    readonly_fields = ["picture", "name", "confirmed_category", "labelled_by", "labelled_at"]

    def has_add_permission(self, request, obj=None):
        return False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("confirmed_category", "labelled_by", "case")

    @admin.display(description="picture")
    def picture(self, image):
        return thumbnail("image", image.pk, str(image))


class ResolutionInline(ReadOnlyInline):
    model = Resolution
    fields = ["edit", "root_cause", "disposition", "summary"]
    readonly_fields = fields

    @admin.display(description="")
    def edit(self, resolution):
        return admin_link(resolution)


class TransitionInline(ReadOnlyInline):
    model = CaseTransition
    fields = ["made_at", "from_status", "to_status", "note", "made_by"]
    readonly_fields = fields

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("made_by", "case")


@admin.register(Case)
class CaseAdmin(TransferMixin, HistoryAdmin):
    form = CaseForm
    resource_classes = [CaseResource]
    history_parts = [CaseImage, Resolution]
    list_display = [
        "picture", "number", "title", "status", "kind", "part", "customer", "severity", "owner",
        "reported_at", "images",
    ]  # fmt: skip
    list_display_links = ["number", "title"]
    list_filter = [
        "status",
        "kind",
        "severity",
        ("part", admin.RelatedOnlyFieldListFilter),
        ("customer", admin.RelatedOnlyFieldListFilter),
        ("site", admin.RelatedOnlyFieldListFilter),
    ]
    list_select_related = ["part", "customer", "owner"]
    list_per_page = 50
    date_hierarchy = "reported_at"
    search_fields = [
        "number", "title", "description", "customer_reference", "lot", "serial_number", "part__number",
    ]  # fmt: skip
    search_help_text = "Number, title, description, RMA, lot, serial or part number"
    autocomplete_fields = _PARTIES
    readonly_fields = ["number", "status", "duplicate_of", "created_by", "source", "created_at", "updated_at"]
    inlines = [CaseImageInline, ResolutionInline, TransitionInline]
    actions = ["change_status"]
    save_on_top = True
    delete_confirmation_template = "admin/cases/case_delete.html"
    delete_selected_confirmation_template = "admin/cases/case_delete_selected.html"

    def get_fieldsets(self, request, obj=None):
        described = ["title", "kind", ("part", "lot", "serial_number"), "produced_on", "description"]
        complaint = [
            ("customer", "customer_reference"), ("supplier", "site"), "reported_at", "detection_point",
            ("quantity_complained", "quantity_confirmed"), ("severity", "owner"),
        ]  # fmt: skip
        if obj is None:
            return [(None, {"fields": [*described, "pictures"]}), ("Complaint", {"fields": complaint})]
        addable = ["pictures"] if self.has_change_permission(request, obj) else []
        record = [("created_by", "created_at", "updated_at"), "source"]
        return [
            (None, {"fields": [("number", "status"), "duplicate_of", *described, *addable]}),
            ("Complaint", {"fields": complaint}),
            ("Record", {"fields": record, "classes": ["collapse"]}),
        ]

    def get_inlines(self, request, obj):
        return self.inlines if obj else []

    def get_queryset(self, request):
        first = CaseImage.objects.filter(case=OuterRef("pk")).order_by("position").values("pk")[:1]
        rows = super().get_queryset(request).visible_to(request.user)
        return rows.annotate(image_count=Count("images"), picture_pk=Subquery(first))

    @admin.display(description="picture")
    def picture(self, case):
        return thumbnail("image", case.picture_pk, f"First picture of {case}")

    @admin.display(description="images", ordering="image_count")
    def images(self, case):
        return case.image_count or EMPTY

    def view_on_site(self, case):
        return case.get_absolute_url()

    # Adding and changing

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        with transaction.atomic():
            response = super().changeform_view(request, object_id, form_url, extra_context)
            if response.status_code != 302:
                # Refused, or only shown: nothing of the page is kept, its pictures neither.
                transaction.set_rollback(True)
        return response

    def save_model(self, request, case, form, change):
        if change:
            super().save_model(request, case, form, change)
            return
        values = dict(form.cleaned_data)
        created = case_create(pictures=values.pop("pictures"), user=request.user, **values)
        case.pk = created.pk
        case.refresh_from_db()

    def has_import_permission(self, request):
        return super().has_import_permission(request) and request.user.has_perm("cases.import_case")

    def has_delete_permission(self, request, obj=None):
        return request.user.is_superuser

    def delete_model(self, request, case):
        cases_delete([case])

    def delete_queryset(self, request, queryset):
        cases_delete(queryset)

    # Statuses

    @admin.action(description="Change the status of the selected cases…", permissions=["change"])
    def change_status(self, request, queryset):
        form = TransitionForm(request.POST if is_answer(request) else None)
        if not form.is_valid():
            return chosen_page(
                self,
                request,
                queryset,
                form,
                title="Change status",
                action="change_status",
                submit="Change status",
            )
        moved = 0
        for case in queryset:
            try:
                case_transition(case, user=request.user, **form.cleaned_data)
                moved += 1
            except ValidationError as error:
                self.message_user(request, f"{case} stays: {' '.join(error.messages)}", messages.ERROR)
        if moved:
            status = Case.Status(form.cleaned_data["to_status"]).label
            self.message_user(request, f"Cases that are {status} now: {moved}.", messages.SUCCESS)
        return None
