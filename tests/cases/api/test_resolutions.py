"""Resolutions are written with their whys and actions as a whole, or not at all."""

import pytest

from cases.models import ActionTaken, Resolution, WhyStep
from tests import factories

pytestmark = pytest.mark.django_db
URL = "/api/v1/resolutions"


@pytest.fixture
def client():
    return factories.api_client(factories.user("Engineer"))


@pytest.fixture
def case():
    return factories.case()


def complete(case, *actions):
    return {
        "case": case.number,
        "root_cause": "Worn tool",
        "disposition": "scrap",
        "why_steps": [{"answer": "The edge was torn"}, {"answer": "The tool was blunt"}],
        "actions_taken": [
            {"action": action.code, "done_on": "2026-02-01", "effectiveness": "effective"}
            for action in actions
        ],
    }


def test_a_resolution_comes_with_its_whys_and_actions(client, case):
    action = factories.corrective_action("A1")
    answer = client.post(URL, complete(case, action))
    assert answer.status_code == 201, answer.data
    assert [(step["position"], step["answer"]) for step in answer.data["why_steps"]] == [
        (1, "The edge was torn"),
        (2, "The tool was blunt"),
    ]
    assert answer.data["actions_taken"][0]["title"] == action.title
    assert answer.data["links"]["page"].endswith(f"/cases/{case.number}#resolution")
    assert client.get(f"{URL}/{case.number}").data == answer.data
    assert client.get(f"/api/v1/cases/{case.number}").data["links"]["resolution"].endswith(case.number)
    again = client.post(URL, complete(case))
    assert (again.status_code, list(again.data["errors"])) == (400, ["case"])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"case": "FD-1999-1"}, "case"),
        ({"disposition": "forget"}, "disposition"),
        ({"why_steps": [{"answer": ""}]}, "why_steps.0.answer"),
        ({"why_steps": "because"}, "why_steps"),
        ({"why_steps": [{"position": 1, "answer": "a"}, {"position": 1, "answer": "b"}]}, "why_steps"),
        ({"actions_taken": [{"action": "NONE"}]}, "actions_taken.0.action"),
        ({"actions_taken": [{"action": "A1"}, {"action": "A1"}]}, "actions_taken"),
        ({"actions_taken": [{"action": "A1", "effectiveness": "effective"}]}, "actions_taken"),
        ({"actions_taken": [{"action": "A1", "done_on": "soon"}]}, "actions_taken.0.done_on"),
        ({"actions_taken": [{"action": "A1", "owner": "ghost"}]}, "actions_taken.0.owner"),
    ],
)
def test_one_wrong_row_stores_nothing(client, case, wrong, field):
    factories.corrective_action("A1")
    answer = client.post(URL, {**complete(case), **wrong})
    assert (answer.status_code, list(answer.data["errors"])) == (400, [field]), answer.data
    assert not Resolution.objects.exists()
    assert not WhyStep.objects.exists()


def test_rows_that_are_sent_replace_those_of_before_and_the_others_stay(client, case):
    first, second = factories.corrective_action("A1"), factories.corrective_action("A2")
    client.post(URL, complete(case, first))
    kept = ActionTaken.objects.get()
    answer = client.patch(f"{URL}/{case.number}", {"summary": "Tool changed."})
    assert len(answer.data["why_steps"]) == 2
    answer = client.patch(
        f"{URL}/{case.number}",
        {
            "why_steps": [{"position": 1, "answer": "Another"}],
            "actions_taken": [{"action": "A1", "evidence": "SPC chart"}, {"action": "A2"}],
        },
    )
    assert answer.status_code == 200, answer.data
    assert [step["answer"] for step in answer.data["why_steps"]] == ["Another"]
    assert [row["action"] for row in answer.data["actions_taken"]] == ["A1", "A2"]
    kept.refresh_from_db()
    assert (kept.evidence, kept.effectiveness) == ("SPC chart", "effective")
    failed = client.patch(
        f"{URL}/{case.number}",
        {
            "summary": "lost",
            "why_steps": [],
            "actions_taken": [{"action": "A2", "effectiveness": "ineffective"}],
        },
    )
    assert failed.status_code == 400
    assert "after it was done" in failed.data["detail"]
    assert WhyStep.objects.count() == 1
    assert Resolution.objects.get().summary == "Tool changed."
    assert set(ActionTaken.objects.values_list("action", flat=True)) == {first.pk, second.pk}


def test_the_history_names_only_what_was_changed(client, case):
    action = factories.corrective_action("A1")
    client.post(URL, complete(case, action))
    before = client.get(f"/api/v1/cases/{case.number}/history").data["entries"]
    client.put(f"{URL}/{case.number}", {**complete(case, action), "root_cause": "Wrong tool"})
    after = client.get(f"/api/v1/cases/{case.number}/history").data["entries"]
    fresh = [entry for entry in after if entry not in before]
    assert [(entry["record"], entry["changes"]) for entry in fresh] == [
        ("resolution", [{"field": "root cause", "old": "Worn tool", "new": "Wrong tool"}])
    ]


def test_resolutions_are_found_by_action_disposition_and_words(client, case):
    resolution = factories.resolution(case, root_cause="Blunt cutter")
    factories.resolution(factories.case(), disposition="scrap")
    code = resolution.actions_taken.get().action.code
    for query in (f"action={code}", "disposition=rework", "search=cutter", f"case={case.number}"):
        found = client.get(f"{URL}?{query}").data["results"]
        assert [row["case"] for row in found] == [case.number], query
