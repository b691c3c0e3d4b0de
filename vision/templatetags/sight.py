"""What templates ask about the sight that is configured, and how they say what was seen."""

from django import template

from vision.services.inspection.wording import p_value_words
from vision.services.text_search import text_understood

register = template.Library()

register.simple_tag(text_understood, name="words_understood")
register.filter("p_words", p_value_words)
#: Width of the bar of a score in its own units. The threshold is always in the middle.
_BAR = 200


@register.inclusion_tag("vision/inspection/score_bar.html")
def score_bar(inspection):
    """The score against the threshold, which stands in the middle; twice the threshold fills the bar."""
    if not inspection.threshold or inspection.threshold <= 0:
        return {"inspection": inspection, "width": None}
    share = min(inspection.score / inspection.threshold / 2, 1)
    return {"inspection": inspection, "width": round(max(share, 0.01) * _BAR, 1), "middle": _BAR / 2}
