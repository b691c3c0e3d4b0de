"""Pictures of cases and what people said that they show."""

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError

from cases.admin.base import EMPTY, HistoryAdmin, ReadOnlyAdmin, ReadOnlyInline, admin_link, thumbnail
from cases.admin.steps import chosen_page, is_answer
from cases.models import CaseImage, FaultCategory, Label
from cases.services.deletion import images_delete
from cases.services.labels import images_label


class LabelForm(forms.Form):
    """One verdict for all chosen pictures."""

    verdict = forms.ChoiceField(choices=Label.Verdict.choices)
    category = forms.ModelChoiceField(
        FaultCategory.objects.exclude(state=FaultCategory.State.DEPRECATED),
        required=False,
        help_text="For the verdict Fault only.",
    )
    note = forms.CharField(max_length=500, required=False)


class LabelInline(ReadOnlyInline):
    model = Label
    fields = ["verdict", "category", "note", "made_by", "made_at"]
    readonly_fields = fields

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("category", "made_by")


@admin.register(CaseImage)
class CaseImageAdmin(HistoryAdmin):
    list_display = [
        "picture", "view", "role", "confirmed_category", "labelled_by", "labelled_at", "case_part"
    ]  # fmt: skip
    list_display_links = ["view"]
    list_filter = [
        ("confirmed_category", admin.RelatedOnlyFieldListFilter),
        ("confirmed_category", admin.EmptyFieldListFilter),
        "role",
        "case__status",
    ]
    list_select_related = ["case__part", "confirmed_category", "labelled_by"]
    list_per_page = 50
    search_fields = ["case__number", "case__title", "case__part__number", "name", "file__sha256"]
    date_hierarchy = "created_at"
    actions = ["label"]
    fields = [
        "picture", "case_link", ("position", "role"), "name", "size", "confirmed_category", "labelled_by",
        "labelled_at",
    ]  # fmt: skip
    readonly_fields = [
        "picture", "case_link", "name", "size", "confirmed_category", "labelled_by", "labelled_at"
    ]  # fmt: skip
    inlines = [LabelInline]

    def has_add_permission(self, request):
        return False  # pictures come in with their case

    def delete_model(self, request, image):
        images_delete([image])

    def delete_queryset(self, request, queryset):
        images_delete(queryset)

    def has_label_permission(self, request):
        return request.user.has_perm("cases.add_label")

    @admin.display(description="picture")
    def picture(self, image):
        return thumbnail("image", image.pk, str(image))

    @admin.display(description="image", ordering="case__number")
    def view(self, image):
        return str(image)

    @admin.display(description="part", ordering="case__part__number")
    def case_part(self, image):
        return image.case.part or EMPTY

    @admin.display(description="case")
    def case_link(self, image):
        return admin_link(image.case)

    @admin.display(description="size")
    def size(self, image):
        return f"{image.file.width} by {image.file.height} pixels, {image.file.size / 1024:.0f} KiB"

    @admin.action(description="Label the selected images…", permissions=["label"])
    def label(self, request, queryset):
        form = LabelForm(request.POST if is_answer(request) else None)
        if form.is_valid():
            try:
                labels = images_label(queryset, user=request.user, **form.cleaned_data)
            except ValidationError as error:
                for field, sentences in error.message_dict.items():
                    form.add_error(field, sentences)
            else:
                what = form.cleaned_data["category"] or Label.Verdict(form.cleaned_data["verdict"]).label
                self.message_user(request, f"Images labelled {what}: {len(labels)}.", messages.SUCCESS)
                return None
        shown = [thumbnail("image", image.pk, str(image)) for image in queryset[:48]]
        return chosen_page(
            self,
            request,
            queryset,
            form,
            title="Label images",
            action="label",
            submit="Label images",
            pictures=shown,
        )


@admin.register(Label)
class LabelAdmin(ReadOnlyAdmin):
    list_display = ["picture", "image_name", "verdict", "category", "note", "made_by", "made_at"]
    list_display_links = ["image_name"]
    list_filter = ["verdict", ("category", admin.RelatedOnlyFieldListFilter), "made_by"]
    list_select_related = ["image__case", "category", "made_by"]
    list_per_page = 50
    ordering = ["-id"]
    search_fields = ["image__case__number", "category__code", "category__name", "note"]
    date_hierarchy = "made_at"

    @admin.display(description="picture")
    def picture(self, label):
        return thumbnail("image", label.image_id, str(label.image))

    @admin.display(description="image", ordering="image__case__number")
    def image_name(self, label):
        return str(label.image)
