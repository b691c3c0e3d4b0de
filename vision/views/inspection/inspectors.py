"""Inspectors: the list, the form, the page with versions and evaluation, and starting long work."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases.views.access import needs
from cases.views.options import datalists
from vision.engine.backbones import WeightsError
from vision.models import Evaluation, Inspection, Inspector, InspectorVersion
from vision.selectors import inspectors_with_state
from vision.services.inspection.evaluation import EvaluationRefused, version_evaluate_start
from vision.services.inspection.inspectors import inspector_change, inspector_create
from vision.services.inspection.training import TrainingRefused, inspector_train_start
from vision.services.inspection.versions import InspectorUnusable, version_activate
from vision.services.inspection.work import inspector_failed, inspector_work
from vision.views.inspection.charts import evaluation_charts
from vision.views.inspection.forms import InspectorForm

#: Wrongly judged test pictures that are shown of each kind, and good pictures beside their count.
FAILURES_SHOWN = 12
PICTURES_SHOWN = 6


@require_safe
@needs("vision.view_inspector", "see inspectors")
def inspector_list(request):
    return render(request, "vision/inspection/inspector_list.html", {"inspectors": inspectors_with_state()})


@require_http_methods(["GET", "HEAD", "POST"])
@needs("vision.add_inspector", "make inspectors")
def inspector_new(request):
    def save(fields):
        if fields["part"] is None:
            fields.pop("part")  # the service looks for one with the name as its number
        return inspector_create(fields.pop("name"), user=request.user, **fields)

    return _form(request, None, save)


@require_http_methods(["GET", "HEAD", "POST"])
@needs("vision.change_inspector", "change inspectors")
def inspector_edit(request, pk: int):
    inspector = get_object_or_404(Inspector, pk=pk)
    return _form(request, inspector, lambda fields: inspector_change(inspector, **fields))


def _form(request, inspector, save):
    form = InspectorForm(request.POST or None, instance=inspector)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save(dict(form.cleaned_data))
        except ValidationError as error:
            for name, sentences in error.message_dict.items():
                form.add_error(name if name in form.fields else None, sentences)
        else:
            return redirect(saved)
    status = 422 if request.method == "POST" else 200
    # What was refused must not stand in the heading.
    shown = Inspector.objects.get(pk=inspector.pk) if inspector else None
    context = {"form": form, "inspector": shown, **datalists("part")}
    return render(request, "vision/inspection/inspector_form.html", context, status=status)


@require_safe
@needs("vision.view_inspector", "see inspectors")
def inspector_detail(request, pk: int):
    inspector = get_object_or_404(Inspector.objects.select_related("part"), pk=pk)
    versions = list(
        inspector.versions.select_related("created_by", "activated_by")
        .defer("good_scores")
        .annotate(inspected=Count("inspections", filter=Q(inspections__evaluation=None)))
        .order_by("-number")  # a query with counts leaves out the model's own order
    )
    evaluations = list(
        Evaluation.objects.filter(version__inspector=inspector).select_related("version", "created_by")
    )
    context = {
        "inspector": inspector,
        "versions": versions,
        "active": next((one for one in versions if one.state == InspectorVersion.State.ACTIVE), None),
        "evaluations": evaluations,
        "good": inspector.pictures.fitted().select_related("file").order_by("-id")[:PICTURES_SHOWN],
        **_counts(inspector),
        **_work(inspector),
        **_evaluation(evaluations, request.GET.get("evaluation", "")),
    }
    return render(request, "vision/inspection/inspector_detail.html", context)


@require_safe
@needs("vision.view_inspector", "see inspectors")
def inspector_progress(request, pk: int):
    """The progress of long work for a page that shows some; when it is over, the page is loaded again."""
    inspector = get_object_or_404(Inspector, pk=pk)
    context = {"inspector": inspector, **_counts(inspector), **_work(inspector)}
    if not context["work"]:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "vision/inspection/inspector_progress.html", context)


@require_POST
@needs("vision.add_inspectorversion", "train inspectors")
def inspector_train(request, pk: int):
    inspector = get_object_or_404(Inspector, pk=pk)
    return _start(request, inspector, lambda: inspector_train_start(inspector, user=request.user))


@require_POST
@needs("vision.add_evaluation", "evaluate inspectors")
def version_evaluate(request, pk: int):
    version = _version(pk)
    return _start(request, version.inspector, lambda: version_evaluate_start(version, user=request.user))


@require_POST
@needs("vision.change_inspectorversion", "choose which version of an inspector serves")
def version_serve(request, pk: int):
    version = _version(pk)
    try:
        version_activate(version, user=request.user)
    except (InspectorUnusable, WeightsError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{version} serves from now on.")
    return redirect(version.inspector)


def _version(pk: int) -> InspectorVersion:
    return get_object_or_404(InspectorVersion.objects.select_related("inspector"), pk=pk)


def _start(request, inspector, start):
    try:
        start()
    except (TrainingRefused, EvaluationRefused) as refused:
        messages.error(request, str(refused))
    return redirect(inspector)


def _counts(inspector: Inspector) -> dict:
    return inspector.pictures.aggregate(
        good_count=Count("pk", filter=Q(purpose="fit")),
        test_good=Count("pk", filter=Q(purpose="test", defect="")),
        test_bad=Count("pk", filter=Q(purpose="test") & ~Q(defect="")),
    )


def _work(inspector: Inspector) -> dict:
    return {"work": inspector_work(inspector), "failed": inspector_failed(inspector)}


def _evaluation(evaluations: list[Evaluation], wanted: str) -> dict:
    """The evaluation that was asked for, else the newest, with its charts and what it judged wrongly."""
    chosen = next((one for one in evaluations if str(one.pk) == wanted), None)
    chosen = chosen or (evaluations[0] if evaluations else None)
    if chosen is None:
        return {"evaluation": None}
    rows = chosen.inspections.select_related("file", "version").defer(
        "grid", "regions", "nearest", "version__good_scores"
    )
    passed = rows.filter(verdict=Inspection.Verdict.PASS).exclude(truth="").order_by("score")
    failed = rows.filter(verdict=Inspection.Verdict.FAIL, truth="").order_by("-score")
    return {
        "evaluation": chosen,
        "measures": chosen.measures,
        "charts": evaluation_charts(chosen.measures, chosen.inspections.values_list("truth", "score")),
        "failures": [
            (
                "False passes",
                "Defective, and passed: the lowest scores first.",
                passed[:FAILURES_SHOWN],
                len(passed),
            ),
            (
                "False fails",
                "Good, and failed: the highest scores first.",
                failed[:FAILURES_SHOWN],
                len(failed),
            ),
        ],
    }
