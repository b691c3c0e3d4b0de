"""Search, diagnoses, decisions and figures through the API, with the network that ships."""

import io
from datetime import UTC, datetime

import pytest
from PIL import Image

from cases.models import Case, CaseImage, ImageFile
from cases.services.intake import Picture, case_create
from cases.services.labels import images_label
from tests import factories
from tests.hostile import ACCEPTED, REFUSED
from vision.engine.synthesis.gallery import draw_fault_image
from vision.models import Decision, Diagnosis
from vision.services.embedding import pending_embed

pytestmark = pytest.mark.django_db
SEARCH = "/api/v1/search"


def drawn(kind: str, seed: int) -> bytes:
    pixels, _ = draw_fault_image(kind, seed, 160)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def known_case(category, kind, seed, **fields) -> Case:
    case = case_create(
        pictures=[Picture(f"{kind}{seed}.png", drawn(kind, seed))], status="closed", bulk=True, **fields
    )
    images_label(case.images.all(), verdict="fault", category=category)
    factories.resolution(case, root_cause=f"Cause {seed}")
    return case


@pytest.fixture
def scratch():
    return factories.category("SCR", name="Scratch")


@pytest.fixture
def library(scratch):
    crazing = factories.category("CRZ", name="Crazing")
    part, customer = factories.part("4711"), factories.customer("ACME")
    old = datetime(2020, 1, 2, tzinfo=UTC)
    cases = [known_case(scratch, "scratch", seed, part=part, reported_at=old) for seed in range(6)]
    cases += [known_case(crazing, "crazing", seed, customer=customer) for seed in range(6)]
    while pending_embed():
        pass
    return cases


@pytest.fixture
def client():
    return factories.api_client(factories.user("Integration"))


@pytest.fixture
def engineer():
    return factories.api_client(factories.user("Engineer", "erika"))


def search(client, *files, **fields):
    return client.post(SEARCH, {"images": list(files), **fields}, format="multipart")


def test_one_request_answers_with_similar_cases_and_all_that_was_done_about_them(client, library):
    answer = search(client, factories.upload(drawn("scratch", 3), "part.png"), top_k=4)
    assert answer.status_code == 200, answer.data
    assert [match["rank"] for match in answer.data["matches"]] == [1, 2, 3, 4]
    first = answer.data["matches"][0]
    twin = library[3]
    assert (first["case"], first["category"]) == (twin.number, {"code": "SCR", "name": "Scratch"})
    assert first["similarity"] == pytest.approx(1, abs=0.01)
    assert (first["root_cause"], first["disposition"], first["part"]["number"]) == (
        "Cause 3",
        "rework",
        "4711",
    )
    assert first["actions"][0]["effectiveness"] == "effective"
    assert first["links"]["case_page"] == f"http://testserver/cases/{twin.number}"
    assert first["links"]["resolution_page"] == f"http://testserver/cases/{twin.number}#resolution"
    for name in ("case", "resolution", "image", "thumbnail"):
        assert client.get(first["links"][name]).status_code == 200, name
    assert answer.data["categories"][0]["code"] == "SCR"
    assert sum(row["probability"] for row in answer.data["categories"]) == pytest.approx(1, abs=0.01)
    assert answer.data["outcome"] in Diagnosis.Outcome.values
    assert answer.data["reason"]
    assert answer.data["library_size"] == 12
    assert answer.data["query_time_ms"] > 0
    assert ImageFile.objects.count() == 12


def test_filters_narrow_the_library_before_the_search(client, library):
    picture = drawn("scratch", 99)
    for filters, kept in (
        ({"category": "CRZ"}, library[6:]),
        ({"part": "4711"}, library[:6]),
        ({"customer": "ACME"}, library[6:]),
        ({"reported_before": "2020-01-02"}, library[:6]),
        ({"reported_after": "2020-01-03", "category": "SCR"}, []),
    ):
        found = search(client, factories.upload(picture), top_k=100, **filters).data["matches"]
        assert {match["case"] for match in found} == {case.number for case in kept}, filters


def test_several_views_give_one_answer(client, library):
    def similarities(*views):
        files = [factories.upload(view, f"{place}.png") for place, view in enumerate(views)]
        matches = search(client, *files, top_k=12).data["matches"]
        return {match["case"]: match["similarity"] for match in matches}

    scratch, crazing = drawn("scratch", 3), drawn("crazing", 2)
    alone, together = similarities(scratch), similarities(scratch, crazing)
    assert len(together) == 12
    assert together[library[3].number] < alone[library[3].number]
    assert together[library[8].number] > alone[library[8].number]


def two_sided() -> bytes:
    """A scratch of the library at the left, a crazing of it at the right."""
    picture = Image.new("RGB", (320, 160))
    for place, (kind, seed) in enumerate([("scratch", 3), ("crazing", 2)]):
        picture.paste(Image.open(io.BytesIO(drawn(kind, seed))), (160 * place, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("region", "place"), [("0,0,0.5,1", 3), ("0.5,0,0.5,1", 8)])
def test_only_the_region_is_looked_at(client, library, region, place):
    answer = search(client, factories.upload(two_sided()), region=region, top_k=1)
    assert answer.status_code == 200, answer.data
    found = answer.data["matches"][0]
    assert found["case"] == library[place].number
    assert found["similarity"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("region", "code", "said"),
    [
        ("0,0,1", "malformed_region", "'0,0,1' is not four numbers"),
        ("left", "malformed_region", "such as 0.25,0.25,0.5,0.5"),
        ("nan,0,1,1", "malformed_region", "not four numbers"),
        ("0,0,9e999,1", "malformed_region", "finite"),
        ("9" * 5000, "malformed_region", "not four numbers"),
        ("0.5,0,0.6,1", "region_outside", "x + width is 1.1"),
        ("-0.1,0,0.5,0.5", "region_outside", "reaches out of the picture"),
        ("0.1,0.1,0,0.5", "region_too_small", "is empty"),
        ("0,0,0.04,0.5", "region_too_small", "13 x 80 pixels of the picture's 320 x 160"),
    ],
)
def test_a_region_that_can_t_be_used_is_refused_with_a_sentence(client, region, code, said):
    answer = search(client, factories.upload(two_sided()), region=region)
    assert (answer.status_code, answer.data["code"]) == (400, code)
    assert said in answer.data["errors"]["region"][0]


def test_an_empty_region_is_the_whole_picture_and_several_pictures_have_none(client):
    assert search(client, factories.upload(), region="").status_code == 200
    assert search(client, factories.upload(), factories.upload(seed=1), region="0,0,1,1").status_code == 200
    answer = search(client, factories.upload(), factories.upload(seed=1), region="0,0,0.5,0.5")
    assert (answer.status_code, answer.data["code"]) == (400, "region_of_several")
    assert "2 were sent" in answer.data["detail"]


def similar(client, image, **fields):
    return client.get(f"/api/v1/images/{image.pk}/similar", fields)


def test_a_picture_of_a_case_is_searched_with_but_its_case_is_not_in_the_answer(client, library, scratch):
    case = case_create(pictures=[Picture("both.png", two_sided()), Picture("twin.png", drawn("scratch", 3))])
    images_label(case.images.all(), verdict="fault", category=scratch)
    pending_embed()
    image = case.images.first()
    left = similar(client, image, region="0,0,0.5,1")
    assert left.status_code == 200, left.data
    assert left.data["matches"][0]["case"] == library[3].number
    assert left.data["matches"][0]["similarity"] == pytest.approx(1, abs=0.01)
    assert (
        similar(client, image, region="0.5,0,0.5,1", top_k=1).data["matches"][0]["case"] == library[8].number
    )
    for region in ("0,0,0.5,1", ""):
        found = similar(client, image, region=region, top_k=100).data["matches"]
        assert {match["case"] for match in found} == {known.number for known in library}
    narrowed = similar(client, image, category="CRZ", top_k=100).data["matches"]
    assert {match["case"] for match in narrowed} == {known.number for known in library[6:]}


def test_nonsense_about_a_picture_of_a_case_is_named(client):
    image = factories.case().images.get()
    for field, value in (("region", "0,0,2,2"), ("region", "0,0,0.1,0.1"), ("top_k", "0"), ("part", "NONE")):
        answer = similar(client, image, **{field: value})
        assert (answer.status_code, list(answer.data["errors"])) == (400, [field])
    assert client.get("/api/v1/images/999999999999999999999/similar").status_code == 404
    name = image.file.original.name
    image.file.original.storage.delete(name)
    lost = similar(client, image)
    assert (lost.status_code, list(lost.data["errors"])) == (400, ["images"])
    assert "is missing: upload it again" in lost.data["detail"]
    with image.file.original.storage.open(name, "wb") as torn:
        torn.write(b"gone")
    assert "can't be read" in similar(client, image).data["detail"]


def test_an_empty_library_answers_unknown(client):
    answer = search(client, factories.upload())
    assert answer.status_code == 200, answer.data
    assert (answer.data["matches"], answer.data["outcome"]) == ([], "unknown")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", "0"),
        ("top_k", "101"),
        ("top_k", "many"),
        ("top_k", "1e3"),
        ("top_k", "9" * 5000),
        ("category", "NONE"),
        ("category", "\x00"),
        ("part", "NONE"),
        ("customer", "NONE"),
        ("site", "NONE"),
        ("reported_after", "soon"),
        ("reported_before", "2026-02-30"),
    ],
)
def test_nonsense_is_named(client, field, value):
    answer = search(client, factories.upload(), **{field: value})
    assert (answer.status_code, list(answer.data["errors"])) == (400, [field])


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_name(client, name):
    data, said = REFUSED[name]
    answer = search(client, factories.upload(), factories.upload(data, name))
    assert answer.status_code == 400
    assert name in answer.data["detail"]
    assert said in answer.data["detail"]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_strange_picture_is_searched_for(client, name):
    assert search(client, factories.upload(ACCEPTED[name][0], name)).status_code == 200


def test_the_number_of_files_and_the_content_type_are_checked(client):
    assert search(client).status_code == 400
    eleven = [factories.upload(seed=seed, name=f"{seed}.png") for seed in range(11)]
    assert search(client, *eleven).data["code"] == "too_many_files"
    assert client.post(SEARCH, {"top_k": 3}).status_code == 415
    assert client.post(SEARCH, "x", content_type="multipart/form-data; boundary=y").status_code == 400
    assert client.get(SEARCH).status_code == 405


def test_a_case_is_diagnosed_decided_and_the_next_search_knows(engineer, library, scratch):
    sent = {"images": [factories.upload(drawn("scratch", 50), "new.png")]}
    number = engineer.post("/api/v1/cases", sent, format="multipart").data["number"]
    made = engineer.post(f"/api/v1/cases/{number}/diagnose")
    assert made.status_code == 201, made.data
    assert len(made.data["matches"]) == 10
    assert engineer.get(f"/api/v1/diagnoses/{made.data['id']}").data == made.data
    assert engineer.get(f"/api/v1/diagnoses?case={number}").data["count"] == 1
    decided = engineer.post(
        f"/api/v1/cases/{number}/decide",
        {"verdict": "fault", "category": "SCR", "diagnosis": made.data["id"]},
    )
    assert decided.status_code == 201, decided.data
    assert decided.data["agrees"] is (made.data["category"] == {"code": "SCR", "name": "Scratch"})
    assert decided.data["made_by"] == "erika"
    assert engineer.get(f"/api/v1/cases/{number}").data["status"] == "triaged"
    again = search(engineer, factories.upload(drawn("scratch", 50), "again.png"), top_k=1)
    assert again.data["matches"][0]["case"] == number
    figures = engineer.get("/api/v1/stats").data
    assert (figures["library"]["size"], figures["library"]["watermark"]) == (
        13,
        again.data["library_watermark"],
    )
    assert figures["decisions"]["count"] == 1
    assert figures["decisions"]["agreement_rate"] == float(decided.data["agrees"])
    assert figures["images_by_category"][0] == {"code": "SCR", "name": "Scratch", "count": 7}
    assert {row["code"]: row["count"] for row in figures["cases_by_status"]}["triaged"] == 1


def test_decisions_that_don_t_fit_leave_nothing(engineer, scratch):
    case, other = factories.case(), factories.case()
    foreign = engineer.post(f"/api/v1/cases/{other.number}/diagnose").data["id"]
    for wrong in (
        {"verdict": "fault"},
        {"verdict": "no_defect", "category": "SCR"},
        {"verdict": "perhaps"},
        {"verdict": "fault", "category": "NONE"},
        {"verdict": "unknown", "diagnosis": foreign},
        {"verdict": "unknown", "diagnosis": 10**30},
        {"verdict": "unknown", "diagnosis": "x"},
        [],
    ):
        assert engineer.post(f"/api/v1/cases/{case.number}/decide", wrong).status_code == 400, wrong
    empty = factories.case(pictures=0)
    for action in ("decide", "diagnose"):
        answer = engineer.post(f"/api/v1/cases/{empty.number}/{action}", {"verdict": "unknown"})
        assert (answer.status_code, list(answer.data["errors"])) == (400, ["images"])
    assert not Decision.objects.exists()
    assert not CaseImage.objects.labelled().exists()


def test_figures_of_an_empty_system(client):
    figures = client.get("/api/v1/stats").data
    assert figures["library"] == {"space": None, "size": 0, "watermark": 0, "waiting": 0, "index": None}
    assert figures["decisions"] == {"count": 0, "agreed": 0, "agreement_rate": None}
