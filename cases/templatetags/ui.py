"""Small pieces that templates share: icons, badges with shape, word and colour, numbers."""

from django import template
from django.templatetags.static import static
from django.utils.html import format_html

from cases.models import ActionTaken, Case, CategoryExample, FaultCategory, Job, Label

register = template.Library()

#: Shape and colour by value; the word beside them is the value's own label.
_BADGES = {
    Case.Status.NEW: ("dot", "info"),
    Case.Status.TRIAGED: ("circle", "info"),
    Case.Status.CONTAINED: ("shield", "info"),
    Case.Status.ANALYSIS: ("search", "info"),
    Case.Status.ACTIONS: ("wrench", "info"),
    Case.Status.EFFECTIVENESS: ("clock", "info"),
    Case.Status.CLOSED: ("check", "ok"),
    Case.Status.WAITING: ("clock", "warn"),
    Case.Status.NOT_CONFIRMED: ("dash", ""),
    Case.Status.DUPLICATE: ("compare", ""),
    Case.Status.REOPENED: ("warning", "warn"),
    Case.Status.CANCELLED: ("cross", ""),
    ActionTaken.Effectiveness.PENDING: ("clock", ""),
    ActionTaken.Effectiveness.EFFECTIVE: ("check", "ok"),
    ActionTaken.Effectiveness.INEFFECTIVE: ("cross", "bad"),
    FaultCategory.State.DRAFT: ("dash", ""),
    FaultCategory.State.ACTIVE: ("check", "ok"),
    FaultCategory.State.DEPRECATED: ("cross", "warn"),
    CategoryExample.Verdict.OK: ("check", "ok"),
    CategoryExample.Verdict.LIMIT: ("half", "warn"),
    CategoryExample.Verdict.NOT_OK: ("cross", "bad"),
    Label.Verdict.FAULT: ("check", "ok"),
    Label.Verdict.UNKNOWN: ("question", ""),
    Label.Verdict.NO_DEFECT: ("check", ""),
    Label.Verdict.UNUSABLE: ("cross", ""),
    Job.State.QUEUED: ("dash", ""),
    Job.State.RUNNING: ("clock", "info"),
    Job.State.DONE: ("check", "ok"),
    Job.State.FAILED: ("cross", "bad"),
    "building": ("clock", "info"),
    "active": ("check", "ok"),
    "retired": ("dash", ""),
    "confident": ("check", "ok"),
    "ambiguous": ("half", "warn"),
    "pass": ("check", "ok"),
    "fail": ("cross", "bad"),
    "undecided": ("half", "warn"),
    "ready": ("circle", "info"),
}


@register.simple_tag
def icon(name: str) -> str:
    """An icon of the sprite; it says nothing that the text beside it does not say."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("icons.svg"), name
    )


@register.simple_tag
def badge(value: str, label: str) -> str:
    """A state as shape, word and colour, so that none of them is needed alone."""
    shape, colour = _BADGES.get(value, ("dot", ""))
    return format_html('<span class="badge {}">{} {}</span>', colour, icon(shape), label)


@register.filter
def percent(share: float | None) -> str:
    """0.874 becomes "87 %"; shares that round to none or all stay apart from 0 and 1."""
    if share is None:
        return ""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{share * 100:.0f} %"


@register.simple_tag(takes_context=True)
def here(context, *names: str) -> str:
    """aria-current for the navigation entry whose pages have these URL names."""
    match = getattr(context.get("request"), "resolver_match", None)
    return format_html('aria-current="{}"', "page") if match and match.url_name in names else ""
