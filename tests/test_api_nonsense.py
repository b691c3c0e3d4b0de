"""No value in any field or parameter of the API's description is answered with a server error."""

import json

import pytest
from django.db import transaction
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from tests import factories
from tests.vision.inspection_rows import made_inspection

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

NONSENSE = (
    "",
    "\x00",
    "\ud800",
    "💥" * 3000,
    "9" * 400,
    10**30,
    -1,
    True,
    "0001-01-01T00:00:00+14:00",
    [[None]],
    {"a": [1]},
)


@pytest.fixture(scope="module")
def schema():
    with GENERATOR_STATS.silence():
        return SchemaGenerator().get_schema(request=None, public=True)


@pytest.fixture
def client():
    client = factories.api_client(factories.user("superuser"))
    client.raise_request_exception = False
    return client


@pytest.fixture
def rows():
    """Parts of addresses that exist, by the list that they belong to."""
    category, part, customer = factories.category("PIT"), factories.part(), factories.customer("ACME")
    case = factories.case(labelled=category, part=part, customer=customer)
    action = factories.resolution(case).actions_taken.get().action
    inspection = made_inspection()
    return {
        "cases": case.number,
        "resolutions": case.number,
        "images": case.images.get().pk,
        "categories": "PIT",
        "actions": action.code,
        "parts": part.pk,
        "customers": "ACME",
        "inspections": inspection.pk,
        "inspectors": inspection.version.inspector_id,
    }


def address(path: str, rows) -> str:
    parts = path.split("/")
    return "/".join(str(rows.get(parts[3], 1)) if part.startswith("{") else part for part in parts)


def undone(client, method, url, **options) -> int:
    with transaction.atomic():
        code = getattr(client, method)(url, **options).status_code
        transaction.set_rollback(True)
    return code


def test_parameters(schema, client, rows):
    broken = []
    for path, item in schema["paths"].items():
        for parameter in item.get("get", {}).get("parameters", []):
            if parameter["in"] != "query":
                continue
            for value in NONSENSE[:7]:
                text = str(value).encode(errors="replace").decode()
                code = undone(client, "get", address(path, rows), data={parameter["name"]: text})
                if code >= 500:
                    broken.append(f"{path}?{parameter['name']}={text[:20]!r}: {code}")
    assert not broken, "\n".join(broken)


def test_fields(schema, client, rows):
    broken, tried = [], 0
    for path, item in schema["paths"].items():
        for verb in ("post", "patch"):
            content = item.get(verb, {}).get("requestBody", {}).get("content", {})
            if "application/json" not in content or "/auth/" in path:
                continue
            name = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
            for field in schema["components"]["schemas"][name]["properties"]:
                for value in NONSENSE:
                    tried += 1
                    body = json.dumps({field: value})
                    options = {"data": body, "content_type": "application/json"}
                    code = undone(client, verb, address(path, rows), **options)
                    if code >= 500:
                        broken.append(f"{verb.upper()} {path} {field}={body[:60]}: {code}")
    assert tried > 500
    assert not broken, "\n".join(broken)
