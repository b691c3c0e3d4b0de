"""The page between choosing rows and acting on them."""

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse

#: The submit button of the page; its absence tells that the action was only just chosen.
ANSWER = "answered"


def is_answer(request) -> bool:
    return ANSWER in request.POST


def chosen_page(
    model_admin: admin.ModelAdmin, request, queryset, form, *, title, action, submit, pictures=()
) -> TemplateResponse:
    """Ask `form` for the chosen rows; it comes back to the same action."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "form": form,
        "action": action,
        "submit": submit,
        "answer": ANSWER,
        "rows": queryset,
        "pictures": pictures,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "media": model_admin.media + form.media,
    }
    return TemplateResponse(request, "admin/cases/chosen.html", context)
