"""Categories as a tree, actions with what they achieved, parts and parties."""

import pytest

from cases.models import CategoryExample, FaultCategory, Part
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return factories.api_client(factories.user("Knowledge manager"))


def test_the_tree_is_listed_depth_first_with_paths_counts_and_examples(client):
    metal = factories.category("METAL")
    pit = factories.category("PIT", parent=metal)
    factories.category("AIR")
    case = factories.case(pictures=2, labelled=pit)
    CategoryExample.objects.create(
        category=pit, file=case.images.first().file, verdict="limit", caption="edge"
    )
    rows = client.get("/api/v1/categories").data["results"]
    assert [row["path"] for row in rows] == [["AIR"], ["METAL"], ["METAL", "PIT"]]
    assert (rows[2]["parent"], rows[2]["image_count"], rows[2]["case_count"]) == ("METAL", 2, 1)
    (example,) = rows[2]["examples"]
    assert (example["verdict"], example["caption"]) == ("limit", "edge")
    assert client.get(example["links"]["thumbnail"])["Content-Type"] == "image/webp"
    assert client.get("/api/v1/categories?search=pit").data["count"] == 1
    assert client.get("/api/v1/categories?state=draft").data["count"] == 0


def test_a_category_is_made_moved_and_deleted(client):
    factories.category("METAL")
    made = client.post("/api/v1/categories", {"code": "PIT", "name": "Pitting", "parent": "METAL"})
    assert (made.status_code, made.data["path"]) == (201, ["METAL", "PIT"])
    loop = client.patch("/api/v1/categories/METAL", {"parent": "PIT"})
    assert (loop.status_code, loop.data["detail"]) == (400, "A node cannot be made a descendant of itself.")
    above = client.delete("/api/v1/categories/METAL")
    assert above.status_code == 400
    assert "PIT" in above.data["detail"]
    moved = client.patch("/api/v1/categories/PIT", {"parent": None, "severity": 9})
    assert (moved.data["path"], moved.data["severity"]) == (["PIT"], 9)
    assert client.delete("/api/v1/categories/METAL").status_code == 204
    assert list(FaultCategory.objects.values_list("code", flat=True)) == ["PIT"]


def test_what_is_in_use_is_not_deleted(client):
    pit, part = factories.category("PIT"), factories.part()
    factories.case(labelled=pit, part=part)
    refused = client.delete("/api/v1/categories/PIT")
    assert (refused.status_code, refused.data["code"]) == (409, "conflict")
    assert "label" in refused.data["detail"]
    refused = client.delete(f"/api/v1/parts/{part.pk}")
    assert refused.status_code == 409
    assert "1 case" in refused.data["detail"]
    assert Part.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "lower case"),
        ("code", "PIT"),
        ("severity", 0),
        ("severity", 11),
        ("parent", "NONE"),
        ("state", "x"),
    ],
)
def test_wrong_categories_are_refused(client, field, value):
    factories.category("PIT")
    sent = {"code": "NEW", "name": "New", field: value}
    answer = client.post("/api/v1/categories", sent)
    assert (answer.status_code, list(answer.data["errors"])) == (400, [field])
    assert FaultCategory.objects.count() == 1


def test_actions_tell_how_often_they_worked(client):
    pit = factories.category("PIT")
    made = client.post("/api/v1/actions", {"code": "A1", "title": "Change tool", "categories": ["PIT"]})
    assert (made.status_code, made.data["categories"], made.data["times_taken"]) == (201, ["PIT"], 0)
    resolution = factories.resolution(factories.case(labelled=pit))
    taken = resolution.actions_taken.get().action
    shown = client.get(f"/api/v1/actions/{taken.code}").data
    assert (shown["times_taken"], shown["times_effective"], shown["share_effective"]) == (1, 1, 1.0)
    best = client.get("/api/v1/categories/PIT/best-actions").data["results"]
    assert [row["code"] for row in best] == [taken.code]
    changed = client.patch("/api/v1/actions/A1", {"categories": [], "title": "Change the tool"})
    assert (changed.data["categories"], changed.data["title"]) == ([], "Change the tool")
    assert client.get("/api/v1/actions?categories__code=PIT").data["count"] == 0
    assert client.delete(f"/api/v1/actions/{taken.code}").status_code == 409
    assert client.post("/api/v1/actions", {"code": "A/1", "title": "x"}).status_code == 400


def test_parts_and_parties(client):
    made = client.post("/api/v1/parts", {"number": "4711", "revision": "A", "family": "flanges"})
    assert made.status_code == 201
    twice = client.post("/api/v1/parts", {"number": "4711", "revision": "A"})
    assert twice.status_code == 400
    assert client.get("/api/v1/parts?search=flang").data["count"] == 1
    assert client.get("/api/v1/parts/99999999999999999999").status_code == 404
    for kind in ("customers", "suppliers", "sites"):
        assert client.post(f"/api/v1/{kind}", {"code": "X-1", "name": "Exes"}).status_code == 201
        assert client.patch(f"/api/v1/{kind}/X-1", {"name": "Why"}).data["name"] == "Why"
        assert client.post(f"/api/v1/{kind}", {"code": "X-1", "name": "Again"}).status_code == 400
        assert client.get(f"/api/v1/{kind}?search=why").data["count"] == 1


def test_a_list_of_categories_costs_the_same_whatever_its_length(client, django_assert_max_num_queries):
    root = factories.category("ROOT")
    for _ in range(8):
        pit = factories.category(parent=root)
        CategoryExample.objects.create(category=pit, file=factories.case(labelled=pit).images.get().file)
    with django_assert_max_num_queries(9):
        client.get("/api/v1/categories")
