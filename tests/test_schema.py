"""The description of the API is whole, says something about everything, and needs no outside host."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.urls import reverse
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from tests import factories

_VERBS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def generated():
    """The schema, and what the generator complained about on the way."""
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)
    complaints = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    return schema, complaints


@pytest.fixture(scope="module")
def schema(generated):
    return generated[0]


def operations(schema):
    for path, item in schema["paths"].items():
        for verb in _VERBS:
            if verb in item:
                yield f"{verb.upper()} {path}", item[verb]


def test_it_is_generated_without_a_warning_and_valid(generated):
    schema, complaints = generated
    assert complaints == []
    validate_schema(schema)


def test_the_words_of_the_issue_are_there(schema):
    for path, verb in (
        ("/api/v1/search", "post"),
        ("/api/v1/stats", "get"),
        ("/api/v1/inspect", "post"),
        ("/api/v1/inspectors/{id}/train", "post"),
        ("/api/v1/inspectors/{id}/versions/{number}/activate", "post"),
        ("/api/v1/inspections/{id}/heatmap", "get"),
        ("/api/v1/cases", "post"),
        ("/api/v1/cases/{number}/transition", "post"),
        ("/api/v1/cases/{number}/diagnose", "post"),
        ("/api/v1/resolutions/{number}", "patch"),
        ("/api/v1/auth/login", "post"),
    ):
        assert verb in schema["paths"][path], path


def test_every_operation_has_a_summary_and_a_description(schema):
    bare = [
        name
        for name, operation in operations(schema)
        if not operation.get("summary") or not operation.get("description")
    ]
    assert bare == []


def test_every_operation_but_the_login_says_that_it_needs_a_token_and_how_it_refuses(schema):
    known = schema["components"]["securitySchemes"]
    for name, operation in operations(schema):
        assert {scheme for option in operation["security"] for scheme in option} <= set(known), name
        if name == "POST /api/v1/auth/login":
            continue
        schemes = {scheme for option in operation["security"] for scheme in option}
        assert "knoxApiToken" in schemes, name
        for code in ("401", "403", "429"):
            content = operation["responses"][code]["content"]["application/json"]
            assert content["schema"]["$ref"].endswith("/Problem"), name


def test_files_are_files(schema):
    for path, name, required in (
        ("/api/v1/search", "SearchRequestRequest", ["images"]),
        ("/api/v1/inspect", "InspectRequestRequest", ["images", "inspector"]),
        ("/api/v1/inspectors/{id}/pictures", "InspectorPicturesRequestRequest", ["images"]),
    ):
        body = schema["paths"][path]["post"]["requestBody"]["content"]
        assert list(body) == ["multipart/form-data"], path
        request = schema["components"]["schemas"][name]
        assert request["properties"]["images"]["items"]["format"] == "binary", path
        assert request["required"] == required, path


@pytest.mark.django_db
def test_the_documentation_comes_from_the_package_alone(client):
    client.force_login(factories.user())
    answer = client.get(reverse("api-docs"))
    html = answer.content.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)["']""", html)
    assert len(addresses) >= 2
    for address in addresses:
        assert address.startswith("/"), address
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address
    assert "https://" not in html
    assert not re.search(r"<script(?![^>]*src=)|<style", html), "the security policy blocks inline code"


@pytest.mark.django_db
def test_the_schema_is_for_people_with_an_account(client):
    assert client.get(reverse("api-schema")).status_code == 401
    client.force_login(factories.user())
    assert client.get(reverse("api-schema")).status_code == 200
