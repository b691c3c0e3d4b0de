"""The library searched in words."""

from django import forms
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cases.views.access import needs
from cases.views.options import datalists
from vision.engine.backbones import EXTRA_COMMAND
from vision.engine.clip import MOST_CHARACTERS
from vision.services.text_search import NoTextSide, text_search, text_understood
from vision.views.search_forms import FiltersForm

#: Past cases shown; the order is all that is known, so a long list would only hold more that do not fit.
SHOWN = 20


class TextSearchForm(FiltersForm):
    """What to look for, and the filters of every search."""

    q = forms.CharField(label="What the pictures show", max_length=MOST_CHARACTERS)


@require_safe
@needs("cases.view_case", "see cases")
def text_search_page(request):
    """The words, and the cases that fit; what to install where the backbone understands none."""
    if not text_understood():
        return render(request, "vision/text_search_missing.html", {"install": EXTRA_COMMAND})
    asked = "q" in request.GET
    form = TextSearchForm(request.GET if asked else None)
    context = {"form": form}
    if asked and form.is_valid():
        try:
            context["result"] = text_search(form.cleaned_data["q"], top_k=SHOWN, filters=form.filters())
        except NoTextSide as reason:
            context["missing"] = str(reason)
    return render(request, "vision/text_search.html", context | datalists("part", "customer", "category"))
