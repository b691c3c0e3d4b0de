"""Every address of the project with every role: a new address without a row here fails.

A page sends anonymous people to the login and refuses others with 403 or 404; the API answers 401 and 403.
Who is let through gets any other answer below 500: nothing is filled in, so 400 and 422 are fine.
"""

from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from cases.api.throttles import LoginThrottle
from cases.models import CategoryExample, Job
from tests import factories
from tests.vision.inspection_rows import made_inspection
from vision.services.diagnosis import case_diagnose

pytestmark = pytest.mark.django_db

ROLES = ("anonymous", "nobody", *factories.ROLES, "superuser")
EVERYBODY = frozenset(ROLES)
LOGGED_IN = EVERYBODY - {"anonymous"}
READ = LOGGED_IN - {"nobody"}
INTAKE = READ - {"Viewer"}
WORK = INTAKE - {"Integration"}
CURATE = frozenset({"Knowledge manager", "superuser"})
ADMINISTER = frozenset({"superuser"})

PAGES = {
    "healthz": {"GET": EVERYBODY},
    "readyz": {"GET": EVERYBODY},
    "login": {"GET": EVERYBODY, "POST": EVERYBODY},
    "logout": {"POST": LOGGED_IN},
    "password_change": {"GET": LOGGED_IN, "POST": LOGGED_IN},
    "password_change_done": {"GET": LOGGED_IN},
    "case-list": {"GET": READ},
    "case-create": {"GET": INTAKE, "POST": INTAKE},
    "case-detail": {"GET": READ},
    "case-edit": {"GET": WORK, "POST": WORK},
    "case-move": {"POST": WORK},
    "case-images-add": {"POST": WORK},
    "case-triage": {"GET": READ},
    "case-verdict": {"GET": READ},
    "case-decide": {"POST": WORK},
    "resolution-edit": {"GET": WORK, "POST": WORK},
    "category-list": {"GET": READ},
    "category-detail": {"GET": READ},
    "action-list": {"GET": READ},
    "action-detail": {"GET": READ},
    "option-list": {"GET": READ},
    "image-thumbnail": {"GET": READ},
    "image-preview": {"GET": READ},
    "image-original": {"GET": READ},
    "example-thumbnail": {"GET": READ},
    "example-preview": {"GET": READ},
    "text-search": {"GET": READ},
    "picture-search": {"GET": READ, "POST": READ},
    "image-similar": {"GET": READ},
    "library-status": {"GET": READ},
    "library-progress": {"GET": READ},
    "library-adapt": {"POST": CURATE},
    "library-adapt-undo": {"POST": CURATE},
    "inspection-console": {"GET": READ, "POST": INTAKE},
    "inspection-history": {"GET": READ},
    "inspection-export": {"GET": READ},
    "inspection-detail": {"GET": READ},
    "inspection-similar": {"GET": READ},
    "inspection-case": {"POST": INTAKE},
    "inspection-report": {"GET": READ},
    "inspection-picture": {"GET": READ},
    "inspection-thumbnail": {"GET": READ},
    "inspection-heat": {"GET": READ},
    "inspection-overlay": {"GET": READ},
    "inspection-region": {"GET": READ},
    "inspection-evidence": {"GET": READ},
    "inspector-list": {"GET": READ},
    "inspector-create": {"GET": CURATE, "POST": CURATE},
    "inspector-detail": {"GET": READ},
    "inspector-edit": {"GET": CURATE, "POST": CURATE},
    "inspector-train": {"POST": CURATE},
    "inspector-progress": {"GET": READ},
    "inspector-pictures": {"GET": READ, "POST": CURATE},
    "inspector-version-activate": {"POST": CURATE},
    "inspector-version-evaluate": {"POST": CURATE},
    "inspector-picture-remove": {"POST": CURATE},
    "inspector-picture-thumbnail": {"GET": READ},
    "inspector-picture-preview": {"GET": READ},
    "api-docs": {"GET": LOGGED_IN},
}

API = {
    "api-root": {"GET": LOGGED_IN},
    "api-schema": {"GET": LOGGED_IN},
    "api-login": {"POST": EVERYBODY},
    "api-logout": {"POST": LOGGED_IN},
    "api-logout-all": {"POST": LOGGED_IN},
    "api-search": {"POST": READ},
    "api-search-text": {"GET": READ},
    "api-stats": {"GET": READ},
    "api-adaptation": {"GET": READ, "POST": CURATE},
    "api-adaptation-undo": {"POST": CURATE},
    "api-case-list": {"GET": READ, "POST": INTAKE},
    "api-case-detail": {"GET": READ, "PUT": WORK, "PATCH": WORK},
    "api-case-transition": {"POST": WORK},
    "api-case-images": {"POST": INTAKE},
    "api-case-label": {"POST": WORK},
    "api-case-history": {"GET": READ},
    "api-case-diagnose": {"POST": WORK},
    "api-case-decide": {"POST": WORK},
    "api-image-list": {"GET": READ},
    "api-image-detail": {"GET": READ, "PUT": WORK, "PATCH": WORK},
    "api-image-original": {"GET": READ},
    "api-image-preview": {"GET": READ},
    "api-image-thumbnail": {"GET": READ},
    "api-image-similar": {"GET": READ},
    "api-category-list": {"GET": READ, "POST": CURATE},
    "api-category-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE, "DELETE": CURATE},
    "api-category-best-actions": {"GET": READ},
    "api-example-preview": {"GET": READ},
    "api-example-thumbnail": {"GET": READ},
    "api-part-list": {"GET": READ, "POST": CURATE},
    "api-part-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE, "DELETE": CURATE},
    "api-customer-list": {"GET": READ, "POST": CURATE},
    "api-customer-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE, "DELETE": ADMINISTER},
    "api-supplier-list": {"GET": READ, "POST": CURATE},
    "api-supplier-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE, "DELETE": ADMINISTER},
    "api-site-list": {"GET": READ, "POST": CURATE},
    "api-site-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE, "DELETE": ADMINISTER},
    "api-action-list": {"GET": READ, "POST": CURATE},
    "api-action-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE, "DELETE": CURATE},
    "api-resolution-list": {"GET": READ, "POST": WORK},
    "api-resolution-detail": {"GET": READ, "PUT": WORK, "PATCH": WORK},
    "api-diagnosis-list": {"GET": READ},
    "api-diagnosis-detail": {"GET": READ},
    "api-inspect": {"POST": INTAKE},
    "api-inspection-list": {"GET": READ},
    "api-inspection-detail": {"GET": READ},
    "api-inspection-heatmap": {"GET": READ},
    "api-inspection-overlay": {"GET": READ},
    "api-inspector-list": {"GET": READ, "POST": CURATE},
    "api-inspector-detail": {"GET": READ, "PUT": CURATE, "PATCH": CURATE},
    "api-inspector-pictures": {"GET": READ, "POST": CURATE},
    "api-inspector-picture": {"DELETE": CURATE},
    "api-inspector-train": {"POST": CURATE},
    "api-inspector-evaluate": {"POST": CURATE},
    "api-inspector-evaluation": {"GET": READ},
    "api-inspector-versions": {"GET": READ},
    "api-inspector-activate": {"POST": CURATE},
    "api-inspector-reload": {"POST": CURATE},
    "api-job-list": {"GET": READ},
    "api-job-detail": {"GET": READ},
}


@dataclass(frozen=True)
class Address:
    name: str
    parameters: tuple[str, ...]


def addresses(patterns=None, namespace: str = "") -> list[Address]:
    """Every pattern of the project."""
    found = []
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            found += addresses(pattern.url_patterns, inner)
        elif isinstance(pattern, URLPattern):
            parameters = tuple(pattern.pattern.regex.groupindex)
            found.append(Address(f"{namespace}{pattern.name}", parameters))
    return found


@pytest.fixture
def samples():
    """What every parameter of an address is, or each of them, by the beginning of the address's name."""
    category = factories.category("PIT")
    case = factories.case(labelled=category, part=factories.part(), customer=factories.customer("ACME"))
    action = factories.resolution(case).actions_taken.get().action
    image = case.images.get()
    example = CategoryExample.objects.create(category=category, file=image.file)
    inspection = made_inspection()
    inspector = inspection.version.inspector
    return {
        "option-list": "part",
        "image": image.pk,
        "example": example.pk,
        "category": category.code,
        "action": action.code,
        "part": case.part.pk,
        "customer": "ACME",
        "supplier": "NONE",
        "site": "NONE",
        "diagnosis": case_diagnose(case).pk,
        "job": Job.objects.create(kind="tests.job").pk,
        "case": case.number,
        "resolution": case.number,
        "inspection": {"pk": inspection.pk, "number": 1, "place": 0},
        "inspector-version": inspection.version.pk,
        "inspector-pictures": {"pk": inspector.pk, "purpose": "test"},
        "inspector-picture": inspector.pictures.get().pk,
        "inspector": inspector.pk,
    }


def url_of(address: Address, samples) -> str:
    name = address.name.removeprefix("api-")
    kind = next((kind for kind in samples if name.startswith(kind)), None)
    sample = samples.get(kind)
    values = sample if isinstance(sample, dict) else dict.fromkeys(address.parameters, sample)
    return reverse(address.name, kwargs={name: values[name] for name in address.parameters})


def call(client, verb: str, url: str):
    """Send an empty request and undo whatever it did."""
    cookies = client.cookies.copy()
    with transaction.atomic():
        answer = client.generic(verb, url, b"{}", content_type="application/json")
        if answer.streaming:
            list(answer.streaming_content)  # closes the file
        transaction.set_rollback(True)
    client.cookies = cookies
    return answer


def is_refusal(answer, role: str, *, api: bool) -> bool:
    if role == "anonymous":
        if api:
            return answer.status_code == 401
        return answer.status_code == 302 and answer["Location"].startswith(reverse("login"))
    return answer.status_code == 403 or (answer.status_code == 404 and not api)


def walk(address: Address, verbs, expected, clients, samples, *, api: bool) -> list[str]:
    """What is wrong, a line for each request that was answered otherwise than the table says."""
    url, wrong = url_of(address, samples), []
    for verb in verbs:
        # What nobody may do is not there for the mightiest either.
        roles = clients if verb in expected else ("anonymous", "superuser")
        for role in roles:
            answer = call(clients[role], verb, url)
            code = answer.status_code
            refused = is_refusal(answer, role, api=api)
            if verb not in expected:
                right = code == 405 or refused
            elif role in expected[verb]:
                right = not refused and (code < 500 or address.name == "readyz") and code != 405
            else:
                right = refused
            if not right:
                wrong.append(f"{verb} {url} ({address.name}) as {role}: {code}")
    return wrong


def test_every_address_has_a_row():
    named = [address.name for address in addresses() if not address.name.startswith("admin:")]
    assert sorted(set(named)) == sorted(PAGES | API)


def test_pages(samples):
    clients = {role: Client() for role in ROLES}
    for role, client in clients.items():
        if role != "anonymous":
            client.force_login(factories.user(role))
    wrong = []
    for address in addresses():
        if address.name in PAGES:
            expected = PAGES[address.name]
            wrong += walk(address, ("GET", "POST"), expected, clients, samples, api=False)
    assert not wrong, "\n".join(wrong)


def test_api(samples, monkeypatch):
    monkeypatch.setitem(LoginThrottle.THROTTLE_RATES, "login", None)
    clients = {
        role: factories.api_client(None if role == "anonymous" else factories.user(role)) for role in ROLES
    }
    wrong = []
    for address in addresses():
        if address.name in API:
            verbs = ("GET", "POST", "PUT", "PATCH", "DELETE")
            wrong += walk(address, verbs, API[address.name], clients, samples, api=True)
    assert not wrong, "\n".join(wrong)


def any_row_of(address: Address):
    """The key of a row that the admin page can show: app_model_change, app_model_history..."""
    for model in admin.site._registry:
        if address.name.startswith(f"admin:{model._meta.app_label}_{model._meta.model_name}_"):
            return model._default_manager.values_list("pk", flat=True).first() or 1
    return 1


def test_the_admin_is_for_staff(samples):
    """People of any group stay outside without the staff flag; nobody gets a server error."""
    clients = {role: Client() for role in ROLES}
    staff = {"Knowledge manager", "superuser"}
    for role, client in clients.items():
        if role != "anonymous":
            client.force_login(factories.user(role, is_staff=role in staff))
    outside_of_walk = ("admin:None", "admin:login", "admin:logout")
    wrong, seen = [], 0
    for address in addresses():
        if not address.name.startswith("admin:") or address.name in outside_of_walk:
            continue
        seen += 1
        values = {"content_type_id": 1, "app_label": "auth"}
        if "object_id" in address.parameters:
            values["object_id"] = any_row_of(address)
        url = reverse(address.name, kwargs={name: values.get(name, 1) for name in address.parameters})
        for role, client in clients.items():
            answer = call(client, "GET", url)
            outside = answer.status_code == 302 and "login" in answer["Location"]
            inside = answer.status_code < 500 and not outside
            if not (inside if role in staff else outside or answer.status_code in (403, 405)):
                wrong.append(f"GET {url} as {role}: {answer.status_code}")
    assert seen > 50
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", factories.ROLES)
def test_a_group_lets_through_what_its_members_need(role):
    account = factories.user(role)
    assert account.has_perm("cases.view_case")
    assert account.has_perm("cases.add_case") is (role != "Viewer")
    assert account.has_perm("cases.change_case") is (role in ("Engineer", "Knowledge manager"))
    assert account.has_perm("cases.import_case") is (role == "Knowledge manager")
    assert account.has_perm("vision.add_adaptation") is (role == "Knowledge manager")
    assert account.has_perm("vision.view_inspection")
    assert account.has_perm("vision.add_inspection") is (role != "Viewer")
    for name in ("add_inspector", "add_inspectorpicture", "add_inspectorversion", "change_inspectorversion"):
        assert account.has_perm(f"vision.{name}") is (role == "Knowledge manager")
    for name in ("delete_inspector", "delete_inspection", "change_inspection"):
        assert not account.has_perm(f"vision.{name}")
    assert not account.has_perm("cases.delete_case")
    assert not account.has_perm("auth.change_user")


def test_the_migration_leaves_what_a_customer_added_and_can_be_undone():
    migration = import_module("vision.migrations.0003_roles")
    adaptation = import_module("vision.migrations.0007_spaces")
    *_, inspection = import_module("vision.migrations.0009_inspection").Migration.operations
    editor = SimpleNamespace(connection=connection)
    viewer, engineer = Group.objects.get(name="Viewer"), Group.objects.get(name="Engineer")
    added = Permission.objects.get(codename="delete_case")
    viewer.permissions.add(added)
    engineer.user_set.add(factories.user())
    before = set(viewer.permissions.all())
    migration.add_groups(apps, editor)
    assert set(viewer.permissions.all()) == before
    inspection.reverse_code(apps, editor)
    adaptation.revoke(apps, editor)
    migration.take_groups(apps, editor)
    assert list(viewer.permissions.all()) == [added]
    assert set(Group.objects.values_list("name", flat=True)) == {"Viewer", "Engineer"}
    migration.add_groups(apps, editor)
    adaptation.grant(apps, editor)
    inspection.code(apps, editor)
    assert set(viewer.permissions.all()) == before
