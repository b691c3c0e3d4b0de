"""Cases through the API: created whole or not at all, found, changed, moved, labelled."""

from datetime import UTC, datetime

import pytest

from cases.models import Case, CaseImage, Label
from tests import factories

pytestmark = pytest.mark.django_db
URL = "/api/v1/cases"


@pytest.fixture
def engineer():
    return factories.user("Engineer", "erika")


@pytest.fixture
def client(engineer):
    return factories.api_client(engineer)


def test_a_case_comes_with_its_pictures_in_one_request(client, engineer):
    part, customer = factories.part("4711", revision="B"), factories.customer("ACME")
    sent = {
        "title": "Pits on the flange",
        "kind": "0km",
        "part": "4711",
        "customer": "ACME",
        "reported_at": "2026-03-04T05:06:07Z",
        "quantity_complained": 3,
        "images": [factories.upload(seed=1, name="a.png"), factories.upload(seed=2, name="b.png")],
        "roles": ["overview", "close_up"],
    }
    answer = client.post(URL, sent, format="multipart")
    assert answer.status_code == 201, answer.data
    stored = Case.objects.get(number=answer.data["number"])
    assert stored.number == "FD-2026-000001"
    assert (stored.part, stored.customer, stored.created_by) == (part, customer, engineer)
    assert [image.role for image in stored.images.all()] == ["overview", "close_up"]
    assert [image["name"] for image in answer.data["images"]] == ["a.png", "b.png"]
    assert answer.data["part"]["revision"] == "B"
    assert answer.data["links"]["page"] == f"http://testserver/cases/{stored.number}"
    assert answer.data["links"]["resolution"] is None
    assert client.get(answer.data["images"][0]["links"]["preview"]).status_code == 200


def test_pictures_may_follow_and_those_present_are_left_out(client):
    number = client.post(URL, {"title": "later"}).data["number"]
    sent = {"images": [factories.upload(seed=1), factories.upload(seed=2, name="c.png")]}
    answer = client.post(f"{URL}/{number}/images", sent, format="multipart")
    assert answer.status_code == 201
    assert [image["position"] for image in answer.data] == [0, 1]
    again = client.post(f"{URL}/{number}/images/", {"images": [factories.upload(seed=2)]}, format="multipart")
    assert (again.status_code, again.data) == (201, [])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("kind", "weird", "not a valid choice"),
        ("severity", 11, "less than or equal to 10"),
        ("quantity_complained", -1, "greater than or equal to 0"),
        ("quantity_complained", 10**12, "less than or equal to"),
        ("reported_at", "yesterday", "wrong format"),
        ("customer", "NOBODY", "Nothing has the code “NOBODY”."),
        ("customer", "\x00", "Invalid"),
        ("customer", {"code": "x"}, "Invalid"),
        ("part", "404", "No part has the number “404”."),
        ("part", [1], "Give the number of a part"),
        ("part", "9" * 30, "No part has the number"),
        ("owner", "ghost", "Nothing has the username “ghost”."),
        ("title", "x" * 201, "no more than 200 characters"),
        ("title", "a\x00b", "Null characters are not allowed"),
        ("images", ["no file"], "not a file"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_stored(client, field, value, sentence):
    answer = client.post(URL, {field: value})
    assert answer.status_code == 400
    assert any(sentence in text for name in answer.data["errors"] for text in answer.data["errors"][name])
    assert answer.data["detail"].startswith(field)
    assert not Case.objects.exists()


def test_rules_between_fields_are_the_models_own(client):
    answer = client.post(URL, {"quantity_complained": 1, "quantity_confirmed": 2})
    assert answer.status_code == 400
    assert answer.data["detail"] == "More parts are confirmed than were complained about."
    number = client.post(URL, {"quantity_complained": 2}).data["number"]
    answer = client.patch(f"{URL}/{number}", {"quantity_confirmed": 3})
    assert answer.status_code == 400
    assert Case.objects.get().quantity_confirmed is None


def test_a_number_with_several_revisions_asks_for_the_id(client):
    old, new = factories.part("4711", revision="A"), factories.part("4711", revision="B")
    answer = client.post(URL, {"part": "4711"})
    assert f"give the id of one of them: {old.pk}, {new.pk}" in answer.data["detail"]
    assert client.post(URL, {"part": new.pk}).data["part"]["revision"] == "B"


def test_broken_requests_get_a_sentence(client):
    broken = client.post(URL, "{", content_type="application/json")
    assert (broken.status_code, broken.data["code"]) == (400, "parse_error")
    assert client.post(URL, "[1, 2]", content_type="application/json").status_code == 400
    assert client.post(URL, "x", content_type="multipart/form-data").status_code == 400
    wrong = client.post(URL, "<case/>", content_type="application/xml")
    assert (wrong.status_code, wrong.data["code"]) == (415, "unsupported_media_type")
    assert client.delete(URL).status_code == 405


def test_too_long_bodies_are_refused_before_they_are_read(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = client.post(URL, {"description": "x" * 2000})
    assert (answer.status_code, answer.data["code"]) == (413, "too_large")
    assert "more than 0.000953674 MiB" in answer.data["detail"]
    settings.MAX_IMAGE_BYTES = 1
    answer = client.post(URL, {"images": [factories.upload(b"x" * 2**20, "a.png")]}, format="multipart")
    assert (answer.status_code, answer.data["code"]) == (413, "too_large")
    assert "at most 1.00001 MiB are taken" in answer.data["detail"]


def test_a_change_touches_only_what_was_sent(client):
    case = factories.case(title="before", lot="L1")
    Case.objects.filter(pk=case.pk).update(status="triaged")
    answer = client.patch(f"{URL}/{case.number}", {"title": "after"})
    assert answer.status_code == 200
    case.refresh_from_db()
    assert (case.title, case.lot, case.status) == ("after", "L1", "triaged")
    answer = client.patch(f"{URL}/{case.number}", {"status": "closed", "number": "X"})
    assert (answer.data["status"], answer.data["number"]) == ("triaged", case.number)


def test_transitions_take_allowed_steps_only(client, engineer):
    case = factories.case()
    answer = client.post(f"{URL}/{case.number}/transition", {"to_status": "triaged", "note": "seen"})
    assert (answer.status_code, answer.data["status"]) == (200, "triaged")
    assert "analysis" in answer.data["next_statuses"]
    refused = client.post(f"{URL}/{case.number}/transition", {"to_status": "closed"})
    assert refused.status_code == 400
    assert "from there it can go to" in refused.data["errors"]["status"][0]
    assert client.post(f"{URL}/{case.number}/transition", {"to_status": "nirvana"}).status_code == 400
    assert client.post(f"{URL}/{case.number}/transition", {"to_status": "duplicate"}).status_code == 400
    other = factories.case()
    answer = client.post(
        f"{URL}/{case.number}/transition", {"to_status": "duplicate", "duplicate_of": other.number}
    )
    assert answer.data["duplicate_of"] == other.number
    history = client.get(f"{URL}/{case.number}/history").data
    assert [step["to_status"] for step in history["transitions"]] == ["new", "triaged", "duplicate"]
    assert history["transitions"][1]["made_by"] == "erika"
    assert any(entry["who"] == "erika" for entry in history["entries"])


def test_labels_of_single_pictures_and_of_the_whole_case(client, engineer):
    pit, case = factories.category("PIT"), factories.case(pictures=2)
    first, second = case.images.all()
    answer = client.post(
        f"{URL}/{case.number}/label", {"verdict": "fault", "category": "PIT", "images": [first.pk]}
    )
    assert answer.status_code == 200
    assert [image["confirmed_category"] for image in answer.data["images"]] == ["PIT", None]
    client.post(f"{URL}/{case.number}/label", {"verdict": "fault", "category": "PIT"})
    second.refresh_from_db()
    assert (second.confirmed_category, second.labelled_by) == (pit, engineer)
    foreign = factories.case().images.get()
    answer = client.post(f"{URL}/{case.number}/label", {"verdict": "unknown", "images": [foreign.pk]})
    assert f"has no picture with the id {foreign.pk}" in answer.data["detail"]
    before = Label.objects.count()
    for wrong in ({"verdict": "fault"}, {"verdict": "maybe"}, {"verdict": "unknown", "category": "PIT"}, {}):
        assert client.post(f"{URL}/{case.number}/label", wrong).status_code == 400
    pit.state = "deprecated"
    pit.save()
    wrong = client.post(f"{URL}/{case.number}/label", {"verdict": "fault", "category": "PIT"})
    assert "deprecated" in wrong.data["detail"]
    assert Label.objects.count() == before


def test_cases_are_found_by_each_filter(client):
    metal = factories.category("METAL")
    pit = factories.category("PIT", parent=metal)
    part, customer = factories.part("4711"), factories.customer("ACME")
    wanted = factories.case(
        labelled=pit,
        part=part,
        customer=customer,
        kind="internal",
        lot="LOT-77",
        title="Grübchen am Flansch",
        reported_at=datetime(2026, 2, 3, 10, tzinfo=UTC),
        status="closed",
    )
    factories.case(reported_at=datetime(2025, 1, 1, tzinfo=UTC), title="other")
    for query in (
        "category=METAL",
        "category=PIT",
        "part=4711",
        "customer=ACME",
        "kind=internal&kind=supplier",
        "status=closed",
        "reported_after=2026-02-03&reported_before=2026-02-03",
        "q=flansch",
        "q=OT-7",
    ):
        answer = client.get(f"{URL}?{query}")
        assert [case["number"] for case in answer.data["results"]] == [wanted.number], query
    assert client.get(URL).data["count"] == 2


@pytest.mark.parametrize(
    "query",
    [
        "category=NONE",
        "status=lost",
        "reported_after=soon",
        "customer=%00",
        "category=%00",
        "q=%00",
        "part=%00",
        "customer=" + "9" * 400,
        "ordering=password",
        "page=0",
        "page=-1",
        "page=99999999999999999999",
        "page=" + "9" * 5000,
        "page=one",
    ],
)
def test_nonsense_in_a_filter_is_never_a_server_error(client, query):
    factories.case()
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code in (400, 404)
    assert answer.data["detail"]


def test_nonsense_in_a_page_size_is_passed_over(client):
    for size in ("0", "-5", "x", "1000000000000"):
        assert client.get(f"{URL}?page_size={size}").status_code == 200


@pytest.mark.parametrize("number", ["FD-1999-000001", "%00", "..%2f..%2fetc", "x" * 500, "'--"])
def test_an_unknown_number_is_not_found(client, number):
    assert client.get(f"{URL}/{number}").status_code == 404


def test_pages_link_to_the_next(client):
    for _ in range(3):
        factories.case(pictures=0)
    first = client.get(f"{URL}?page_size=2").data
    assert (first["count"], len(first["results"])) == (3, 2)
    assert len(client.get(first["next"]).data["results"]) == 1


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(client, django_assert_max_num_queries):
    for _ in range(6):
        factories.resolution(factories.case(labelled=factories.category(), part=factories.part()))
    with django_assert_max_num_queries(12):
        answer = client.get(URL)
    assert answer.data["count"] == 6
    assert all(case["links"]["resolution"] for case in answer.data["results"])


def test_images_are_listed_filtered_and_given_a_role(client):
    pit = factories.category("PIT")
    case = factories.case(labelled=pit)
    factories.case()
    found = client.get(f"/api/v1/images?category=PIT&labelled=true&case={case.number.lower()}").data[
        "results"
    ]
    assert [image["case"] for image in found] == [case.number]
    assert len(found[0]["perceptual_hash"]) == 16
    assert (found[0]["width"], found[0]["height"], found[0]["mime"]) == (48, 40, "image/png")
    image = f"/api/v1/images/{found[0]['id']}"
    assert client.patch(image, {"role": "scale", "name": "x"}).data["role"] == "scale"
    assert client.patch(image, {"role": "poster"}).status_code == 400
    assert CaseImage.objects.get(pk=found[0]["id"]).name != "x"
    original = client.get(found[0]["links"]["original"], HTTP_ACCEPT="image/png")
    assert b"".join(original.streaming_content) == case.images.get().file.original.read()
    assert original["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in original["Content-Security-Policy"]
    assert client.get("/api/v1/images/99999999999999999999999").status_code == 404
