"""Triage: the query, what it seems to be, similar past cases, and the engineer's decision."""

import time
from datetime import timedelta

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from cases.forms import CategoryField
from cases.models import Case, CategoryExample, FaultCategory, Label
from cases.selectors import case_next_to_triage
from cases.views.access import needs
from cases.views.case import visible_case
from cases.views.options import datalists
from vision.engine.regions import MIN_SIDE
from vision.models import Decision, Diagnosis, EmbeddingFailure
from vision.selectors import case_latest_diagnosis, diagnosis_matches
from vision.services.diagnosis import ANY_DECISION, case_decide

#: When a page that waits says what to check.
LATE = timedelta(seconds=20)
CANDIDATES = 9


class DecisionForm(forms.Form):
    """A verdict, with its category when it is a fault, on the suggestion that was on the screen."""

    verdict = forms.ChoiceField(choices=Label.Verdict.choices)
    category = CategoryField(required=False)
    diagnosis = forms.ModelChoiceField(queryset=Diagnosis.objects.all(), required=False)
    after = forms.ModelChoiceField(queryset=Decision.objects.all(), required=False)
    note = forms.CharField(max_length=500, required=False)

    def clean(self):
        data = super().clean()
        if data.get("verdict") == Label.Verdict.FAULT and "category" in data and data["category"] is None:
            self.add_error("category", "Choose the category that the pictures show.")
        return data


@require_safe
@needs("cases.view_case", "see cases")
def triage(request, number: str):
    case = visible_case(request, number, Case.objects.with_people_and_parts())
    return render(request, "vision/triage.html", _context(request, case, _answer(case)))


@require_safe
@needs("cases.view_case", "see cases")
def verdict(request, number: str):
    """The answer for a page that waits: 204 until there is something new to show."""
    started = time.perf_counter()
    case = visible_case(request, number, Case.objects.with_people_and_parts())
    answer = _answer(case)
    if answer["state"] == "waiting" or (answer["state"] == "late" and "late" in request.GET):
        return HttpResponse(status=204)
    response = _render_answer(request, case, answer)
    if answer["state"] == "ready":
        stages = {**answer["diagnosis"].timings, "render": round((time.perf_counter() - started) * 1000, 2)}
        response["Server-Timing"] = ", ".join(f"{name};dur={value}" for name, value in stages.items())
    return response


@require_POST
@needs("cases.change_caseimage", "label pictures")
def decide(request, number: str):
    """Record the decision; a script gets the new answer, a plain browser the page."""
    case = visible_case(request, number, Case.objects.with_people_and_parts())
    form = DecisionForm(request.POST)
    try:
        if not form.is_valid():
            raise ValidationError([sentence for some in form.errors.values() for sentence in some])
        case_decide(
            case,
            verdict=form.cleaned_data["verdict"],
            category=form.cleaned_data["category"],
            user=request.user,
            note=form.cleaned_data["note"],
            diagnosis=_of_case(form.cleaned_data["diagnosis"], case),
            after=form.cleaned_data["after"] if "after" in request.POST else ANY_DECISION,
        )
    except ValidationError as error:
        sentence = " ".join(error.messages)
        if request.htmx:
            # htmx swaps only answers that succeed: the sentence comes with the unchanged answer.
            return _render_answer(request, case, _answer(case), decision_error=sentence)
        messages.error(request, sentence)
        return redirect("case-triage", number=case.number)
    if not request.htmx:
        return redirect("case-triage", number=case.number)
    case.refresh_from_db(fields=["status"])
    return _render_answer(request, case, _answer(case), just_decided=True)


def _render_answer(request, case, answer, **extra):
    return render(request, "vision/answer.html", _context(request, case, answer) | extra)


def _context(request, case, answer):
    return {
        "case": case,
        "images": list(case.images.select_related("file")),
        "least": MIN_SIDE,
        "next_case": case_next_to_triage(request.user, after=case),
        **datalists("category"),
        **answer,
    }


def _of_case(diagnosis, case):
    return diagnosis if diagnosis and diagnosis.case_id == case.pk else None


def _answer(case) -> dict:
    """State (ready, waiting, late, failed, empty) with what the template shows of it."""
    decision = case.decisions.select_related("category", "made_by").first()
    diagnosis = case_latest_diagnosis(case)
    base = {"decision": decision, "diagnosis": diagnosis, "safety": _safety(decision, diagnosis)}
    if diagnosis:
        return base | {
            "state": "ready",
            "matches": diagnosis_matches(diagnosis),
            "rules": _rules(diagnosis),
            **_candidates(diagnosis),
        }
    if not case.images.diagnostic().exists():
        return base | {"state": "empty"}
    failure = EmbeddingFailure.objects.filter(image__case=case).first()
    if failure:
        return base | {"state": "failed", "failure": failure}
    late = timezone.now() - case.updated_at > LATE
    return base | {"state": "late" if late else "waiting"}


def _safety(decision, diagnosis) -> bool:
    category = (decision and decision.category) or (diagnosis and diagnosis.category)
    return bool(category and category.is_safety_relevant)


def _candidates(diagnosis) -> dict:
    """The category in front and those behind it, each with its probability, as rows of today."""
    examples = Prefetch(
        "examples",
        CategoryExample.objects.filter(verdict=CategoryExample.Verdict.NOT_OK).select_related("file"),
    )
    entries = diagnosis.categories[:CANDIDATES]
    rows = FaultCategory.objects.prefetch_related(examples).in_bulk([entry["category"] for entry in entries])
    candidates = [
        {
            "category": rows[entry["category"]],
            "probability": entry["probability"],
            "in_set": entry.get("in_set"),
            "few_examples": entry.get("few_examples"),
            "cases": entry.get("cases"),
        }
        for entry in entries
        if entry["category"] in rows
    ]
    if diagnosis.outcome == Diagnosis.Outcome.UNKNOWN or not candidates:
        return {"best": None, "candidates": candidates}
    return {"best": candidates[0], "candidates": candidates[1:]}


def _rules(diagnosis) -> list[dict]:
    """What the outcome rests on, each figure against its limit; none for a diagnosis made before the rule."""
    limits = diagnosis.thresholds
    if diagnosis.novelty_p is None or "coverage" not in limits or not diagnosis.categories:
        return []
    best, possible = diagnosis.categories[0], diagnosis.prediction_set
    return [
        {
            "name": "Of a known category (p-value)",
            "figure": _share(diagnosis.novelty_p),
            "limit": f"at least {_share(limits['unknown_p'])}, else Unknown",
            "holds": diagnosis.novelty_p >= limits["unknown_p"],
        },
        {
            "name": f"Categories possible at {_share(limits['coverage'])} coverage",
            "figure": ", ".join(entry["name"] for entry in possible) or "none",
            "limit": f"{best['name']} alone",
            "holds": [entry["code"] for entry in possible] == [best["code"]],
        },
        {
            "name": f"Probability of {best['name']}",
            "figure": _share(best["probability"]),
            "limit": f"at least {_share(limits['min_probability'])}",
            "holds": best["probability"] >= limits["min_probability"],
        },
        {
            "name": f"Confirmed cases of {best['name']}",
            "figure": str(best["cases"]),
            "limit": f"at least {limits['min_cases']:.0f}",
            "holds": best["cases"] >= limits["min_cases"],
        },
    ]


def _share(value: float) -> str:
    return "under 0.1 %" if value < 0.001 else f"{100 * value:.3g} %"
