"""The demo library is whole, believable, the same everywhere, and written once."""

from collections import Counter

import pytest
from django.core.management import call_command

from cases.models import (
    ActionTaken,
    Case,
    CaseImage,
    CategoryExample,
    CorrectiveAction,
    FaultCategory,
    Resolution,
)
from cases.models.case import CaseStatus
from tests import factories
from vision.engine.synthesis.gallery import FAULT_KINDS, MATERIALS
from vision.services.demo import seeding
from vision.services.demo.drawing import SIZE, Drawing, draw, drawings_draw
from vision.services.demo.plan import PRESENT, cases_plan, catalogue, faults, scenarios


def test_every_category_gets_its_pictures_and_every_reference_exists():
    plan = cases_plan(30)
    pictures = Counter(case.category for case in plan for _ in case.views)
    pictures.pop(None)
    assert len(pictures) >= 8
    assert set(pictures.values()) == {30}
    parts = {row["number"] for row in catalogue()["part"]}
    assert {case.part for case in plan} <= parts
    assert {row["usual_part"] for row in faults()} <= parts
    assert {row["kind"] for row in faults()} <= set(FAULT_KINDS)
    assert {row["material"] for row in catalogue()["part"]} <= set(MATERIALS)
    actions = {row["code"] for row in catalogue()["action"]}
    for happened in scenarios().values():
        for scenario in happened:
            assert {code for code, _ in scenario["actions"]} <= actions
            assert set(scenario["kinds"]) <= set(Case.Kind.values)
            assert scenario["disposition"] in Resolution.Disposition.values


def test_the_plan_is_the_same_each_time_and_grows_without_changing():
    small, large = cases_plan(12), cases_plan(30)
    assert large == cases_plan(30)
    by_source = {case.source: case for case in large}
    assert len(by_source) == len(large)
    whole = [case for case in small if len(case.views) == len(by_source[case.source].views)]
    assert len(whole) > 0.9 * len(small)
    assert all(by_source[case.source] == case for case in whole)


def test_cases_are_as_far_as_their_status_says():
    plan = cases_plan(30)
    assert {case.status for case in plan} >= {"new", "triaged", "contained", "analysis", "actions", "closed"}
    assert sum(case.status == CaseStatus.CLOSED for case in plan) > 0.7 * len(plan)
    for case in plan:
        assert case.fields["reported_at"].date() <= PRESENT
        if case.status == "closed":
            assert case.resolution.root_cause
            assert len(case.resolution.whys) >= 3
            assert {action.effectiveness for action in case.resolution.actions} <= {
                "effective",
                "ineffective",
            }
        if case.resolution:
            for text in (case.resolution.problem, case.resolution.root_cause, case.resolution.summary):
                assert "{" not in text
            for action in case.resolution.actions:
                assert action.done_on is None or action.done_on <= PRESENT


def test_drawings_repeat_in_any_process():
    drawing = Drawing("crack", 7, "machined_gear", is_close_up=True)
    (elsewhere,) = drawings_draw([drawing], processes=1)
    assert elsewhere == draw(drawing)
    assert draw(Drawing("crack", 8, "machined_gear", is_close_up=True)) != elsewhere


def test_a_close_up_differs_from_its_overview_however_large_the_fault():
    for seed in range(3):
        views = [Drawing("uneven", seed, "painted_panel", is_close_up=close) for close in (True, False)]
        assert draw(views[0]) != draw(views[1])


@pytest.fixture
def quick_drawings(monkeypatch):
    """Drawing takes a tenth of a second each: two pictures stand for all, the bytes of each still differ."""

    def drawn(drawings):
        for number, _ in enumerate(drawings):
            yield factories.image_bytes(number, "JPEG", (SIZE // 8, SIZE // 8))

    monkeypatch.setattr(seeding, "drawings_draw", drawn)


@pytest.mark.django_db
def test_seeding_writes_everything_once(quick_drawings, capsys):
    call_command("seed_demo", "--images-per-category", "3")
    cases, images = Case.objects.count(), CaseImage.objects.count()
    assert cases == len(cases_plan(3))
    assert CaseImage.objects.labelled().count() == 3 * len(faults())
    assert FaultCategory.objects.count() == len(catalogue()["category"])
    assert FaultCategory.objects.get(code="MAT-CRK").parent.code == "MAT"
    assert CorrectiveAction.objects.filter(categories__isnull=True).count() == 0
    assert set(CategoryExample.objects.values_list("verdict", flat=True)) == {"ok", "limit", "not_ok"}
    assert ActionTaken.objects.filter(effectiveness="effective").exists()
    assert Case.objects.filter(status="new", images__confirmed_category=None).exists()
    call_command("seed_demo", "--images-per-category", "3")
    assert (Case.objects.count(), CaseImage.objects.count()) == (cases, images)
    assert f"{cases} cases" in capsys.readouterr().out


@pytest.mark.django_db
def test_seeding_again_leaves_changes_alone(quick_drawings):
    seeding.demo_seed(1)
    FaultCategory.objects.filter(code="SURF-SCR").update(name="Groove")
    seeding.demo_seed(2)
    assert FaultCategory.objects.get(code="SURF-SCR").name == "Groove"


@pytest.mark.django_db
def test_a_used_installation_gets_no_demo(capsys):
    factories.case()
    call_command("seed_demo", "--if-empty")
    assert Case.objects.count() == 1
    assert "not needed" in capsys.readouterr().out


@pytest.mark.django_db
def test_an_interrupted_seeding_leaves_nothing(quick_drawings, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(seeding, "_examples_store", fail)
    with pytest.raises(KeyboardInterrupt):
        seeding.demo_seed(1)
    assert not Case.objects.exists()
    assert not FaultCategory.objects.exists()
