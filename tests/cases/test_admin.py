"""The admin as its people use it: lists, forms, actions, uploads, permissions."""

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases.models import (
    Case,
    CaseImage,
    CategoryExample,
    FaultCategory,
    ImageFile,
    Job,
    Label,
    Site,
    Supplier,
)
from tests import factories as make

pytestmark = pytest.mark.django_db

MODELS = [model for model in admin.site._registry if model._meta.app_label == "cases"]


def names(model):
    return model._meta.model_name


@pytest.fixture
def root(client):
    account = make.user("superuser", is_staff=True)
    client.force_login(account)
    return account


@pytest.fixture
def manager(client):
    account = make.user("Knowledge manager", is_staff=True)
    client.force_login(account)
    return account


def library():
    """A row of every model."""
    parent = make.category("SURF")
    pit = make.category("SURF-PIT", parent=parent)
    case = make.case(pictures=2, labelled=pit, part=make.part(), customer=make.customer())
    make.resolution(case)
    example = ImageFile.objects.first()
    CategoryExample.objects.create(category=pit, file=example)
    make.category("OTHER")
    Job.objects.create(kind="cases.tasks.import_folder", progress=3, total=10)
    Supplier.objects.create(code="FORGE", name="Forge")
    Site.objects.create(code="NORTH", name="North plant")
    return case


def url(model, page="changelist", *args):
    model = model if isinstance(model, type) else type(model)
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def run(client, action, rows, **data):
    """Choose an admin action for rows."""
    chosen = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], **data}
    return client.post(url(rows[0]), chosen, follow=True)


def messages(response):
    return [str(message) for message in response.context["messages"]]


def form_data(response):
    """What a browser would send back from a change page without touching anything."""
    data = {}
    context = response.context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            widget = bound.field.widget
            if value is None or widget.needs_multipart_form:
                continue
            if hasattr(widget, "widgets"):
                parts = widget.decompress(value)
                data |= {
                    f"{bound.html_name}{suffix}": part
                    for suffix, part in zip(widget.widgets_names, parts, strict=True)
                }
            elif value is not False:
                data[bound.html_name] = value
    return data


@pytest.mark.parametrize("role", ["superuser", "Knowledge manager"])
@pytest.mark.parametrize("model", MODELS, ids=names)
def test_list_change_and_history_pages_open(client, model, role):
    library()
    client.force_login(make.user(role, is_staff=True))
    row = model.objects.order_by("pk").last()
    pages = [url(model), url(model, "change", row.pk), url(model, "history", row.pk)]
    assert [client.get(page).status_code for page in pages] == [200] * 3


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_lists_ask_the_same_number_of_queries_for_more_rows(client, root, model):
    def count():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(url(model))
        return len(queries)

    library()
    count()  # content types and the like are remembered from the first time
    few = count()
    more = [make.category() for _ in range(3)]
    for category in more:
        case = make.case(pictures=2, labelled=category, part=make.part(), customer=make.customer())
        make.resolution(case)
        Job.objects.create(kind="cases.tasks.import_folder")
    assert count() <= few + (1 if model is FaultCategory else 0)


@pytest.mark.parametrize("model", [Label, Job], ids=names)
def test_records_of_services_are_never_changed_here(client, root, model):
    library()
    row = model.objects.first()
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "change", row.pk), {}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_engineers_change_no_catalogue(client):
    category = make.category("SURF")
    client.force_login(make.user("Engineer", is_staff=True))
    assert client.get(url(category, "change", category.pk)).status_code == 200
    assert client.post(url(category, "change", category.pk), {}).status_code == 403
    assert client.get(url(FaultCategory, "import")).status_code == 403


# Categories


def test_categories_stand_depth_first(client, root):
    surface = make.category("SURF")
    make.category("ASM")
    make.category("SURF-PIT", parent=surface)
    rows = list(client.get(url(FaultCategory)).context["cl"].result_list)
    assert [row.code for row in rows] == ["ASM", "SURF", "SURF-PIT"]
    assert [row.tree_depth for row in rows] == [0, 0, 1]


def test_search_finds_words_of_the_definition(client, manager):
    make.category("SURF", definition="A hollow left by corrosion")
    make.category("ASM")
    rows = client.get(url(FaultCategory), {"q": "corrosion"}).context["cl"].result_list
    assert [row.code for row in rows] == ["SURF"]


def test_categories_are_activated_and_deprecated(client, manager):
    draft, used = make.category(state="draft"), make.category()
    make.case(pictures=2, labelled=used)
    assert messages(run(client, "activate", [draft, used])) == ["Categories activated: 1."]
    (sentence,) = messages(run(client, "deprecate", [used]))
    draft.refresh_from_db()
    used.refresh_from_db()
    assert (draft.state, used.state) == ("active", "deprecated")
    assert "2 labelled images keep that label" in sentence


def test_a_cycle_is_refused_with_its_reason(client, manager):
    surface = make.category("SURF")
    pit = make.category("SURF-PIT", parent=surface)
    page = url(surface, "change", surface.pk)
    response = client.post(page, {**form_data(client.get(page)), "parent": pit.pk})
    assert "SURF can&#x27;t lie below SURF-PIT" in response.text
    surface.refresh_from_db()
    assert surface.parent is None


def test_a_category_with_others_below_is_not_deleted(client, root):
    surface = make.category("SURF")
    make.category("SURF-PIT", parent=surface)
    response = client.get(url(surface, "delete", surface.pk))
    assert "SURF-PIT" in response.text
    client.post(url(surface, "delete", surface.pk), {"post": "yes"})
    run(client, "delete_selected", [surface], post="yes")
    assert FaultCategory.objects.count() == 2


def example_data(client, category, *uploads):
    data = form_data(client.get(url(category, "change", category.pk)))
    data["examples-TOTAL_FORMS"] = len(uploads)
    for place, upload in enumerate(uploads):
        data |= {f"examples-{place}-verdict": "limit", f"examples-{place}-upload": upload}
    return data


def test_an_example_is_uploaded(client, manager):
    category = make.category()
    response = client.post(
        url(category, "change", category.pk), example_data(client, category, make.upload(seed=7))
    )
    assert response.status_code == 302
    example = category.examples.get()
    assert (example.verdict, example.file.width, example.file.height) == ("limit", 48, 40)


@pytest.mark.parametrize(
    ("upload", "sentence"),
    [
        (lambda: make.upload(b"<html><script>", "view.png"), "view.png"),
        (lambda: make.upload(b"", "empty.png"), "empty"),
        (lambda: make.upload(make.image_bytes(1)[:400], "torn.png"), "torn.png"),
    ],
)
def test_a_hostile_example_is_refused_and_nothing_is_stored(client, manager, upload, sentence):
    category = make.category()
    response = client.post(url(category, "change", category.pk), example_data(client, category, upload()))
    assert response.status_code == 200
    assert sentence in response.text
    assert not CategoryExample.objects.exists()
    assert not ImageFile.objects.exists()


def test_the_same_example_twice_is_refused(client, manager):
    category = make.category()
    twice = [make.upload(seed=3), make.upload(seed=3)]
    response = client.post(url(category, "change", category.pk), example_data(client, category, *twice))
    assert "shows this picture already" in response.text
    assert not CategoryExample.objects.exists()


# Corrective actions


def test_actions_show_how_often_they_worked(client, manager):
    case = make.case()
    action = make.resolution(case).actions_taken.get().action
    row = client.get(url(action)).context["cl"].result_list.get(pk=action.pk)
    assert (row.times_taken, row.share_effective) == (1, 1.0)
    run(client, "deprecate", [action])
    action.refresh_from_db()
    assert action.state == "deprecated"


# Cases


def case_data(client, case, **changes):
    return {**form_data(client.get(url(case, "change", case.pk))), **changes}


def test_the_status_moves_by_the_action_only(client, manager):
    new, finished = make.case(), make.case(status="closed")
    page = run(client, "change_status", [new, finished])
    assert "Change status" in page.text
    response = run(client, "change_status", [new, finished], answered="1", to_status="triaged", note="Seen")
    refused, done = sorted(messages(response), key=lambda text: "stays" not in text)
    assert refused.startswith(f"{finished} stays: {finished} is Closed")
    assert done == "Cases that are Triaged now: 1."
    transition = new.transitions.last()
    assert (transition.to_status, transition.note, transition.made_by) == ("triaged", "Seen", manager)
    client.post(url(new, "change", new.pk), case_data(client, new, status="closed"))
    new.refresh_from_db()
    assert new.status == "triaged"


def test_a_duplicate_names_its_original(client, manager):
    case, original = make.case(), make.case()
    data = {"answered": "1", "to_status": "duplicate"}
    assert "Name the other case" in messages(run(client, "change_status", [case], **data))[0]
    assert "There is no case FD-1" in run(client, "change_status", [case], duplicate_of="FD-1", **data).text
    run(client, "change_status", [case], duplicate_of=original.number, **data)
    case.refresh_from_db()
    assert case.duplicate_of == original


def test_a_case_is_opened_with_pictures(client, manager):
    data = {
        "title": "Pitted ring",
        "kind": "field",
        "reported_at_0": "2026-03-01",
        "reported_at_1": "08:00:00",
        "pictures": [make.upload(seed=1, name="a.png"), make.upload(seed=2, name="b.png")],
    }
    response = client.post(url(Case, "add"), data)
    assert response.status_code == 302
    case = Case.objects.get()
    assert (case.number, case.created_by, case.images.count()) == ("FD-2026-000001", manager, 2)
    assert case.transitions.get().note == "Created"


def test_pictures_are_added_to_a_case(client, manager):
    case = make.case()
    response = client.post(
        url(case, "change", case.pk), case_data(client, case, title="New", pictures=[make.upload(seed=9)])
    )
    assert response.status_code == 302
    case.refresh_from_db()
    assert (case.title, case.images.count()) == ("New", 2)


@pytest.mark.parametrize("page", ["add", "change"])
def test_a_hostile_picture_leaves_everything_as_it_was(client, manager, page):
    case = make.case()
    data = case_data(
        client, case, title="New", pictures=[make.upload(seed=9), make.upload(b"GIF89a", "x.gif")]
    )
    response = client.post(url(case, page, *([case.pk] if page == "change" else [])), data)
    assert response.status_code == 200
    assert "x.gif" in response.text
    case.refresh_from_db()
    assert (case.title, Case.objects.count(), ImageFile.objects.count()) == ("", 1, 1)


def test_pictures_are_taken_back_when_another_field_is_refused(client, manager):
    case = make.case()
    data = case_data(client, case, severity=11, pictures=[make.upload(seed=9)])
    assert client.post(url(case, "change", case.pk), data).status_code == 200
    assert CaseImage.objects.count() == ImageFile.objects.count() == 1


def test_the_eleventh_picture_is_refused(client, manager):
    case = make.case(pictures=10)
    response = client.post(
        url(case, "change", case.pk), case_data(client, case, pictures=[make.upload(seed=9)])
    )
    assert "takes 10 at most" in response.text
    assert case.images.count() == 10


@pytest.mark.parametrize("field", ["customer_reference", "lot", "serial_number", "description", "title"])
def test_cases_are_found_by_their_words(client, manager, field):
    wanted = make.case(**{field: "XK-4711"})
    make.case()
    assert list(client.get(url(Case), {"q": "xk-4711"}).context["cl"].result_list) == [wanted]


def test_only_superusers_delete_cases(client, manager):
    case = library()
    assert client.post(url(case, "delete", case.pk), {"post": "yes"}).status_code == 403
    client.force_login(make.user("superuser", is_staff=True))
    assert "can&#x27;t be undone" in client.get(url(case, "delete", case.pk)).text.replace("'", "&#x27;")
    assert client.post(url(case, "delete", case.pk), {"post": "yes"}).status_code == 302
    assert not Case.objects.exists()
    assert case.number in client.get(url(Case, "deleted")).text


# Pictures


def test_superusers_delete_several_cases_and_single_pictures(client):
    client.force_login(make.user("superuser", is_staff=True))
    first, second, third = make.case(), make.case(), make.case(pictures=2)
    run(client, "delete_selected", [first, second], post="yes")
    assert list(Case.objects.all()) == [third]
    for image in third.images.all():
        client.post(url(image, "delete", image.pk), {"post": "yes"})
    assert not CaseImage.objects.exists()


def test_pictures_are_labelled_in_bulk(client, manager):
    category = make.category("SURF")
    images = list(make.case(pictures=3).images.all())
    assert "SURF" in run(client, "label", images).text
    refused = run(client, "label", images, answered="1", verdict="fault")
    assert "Name a category for a fault" in refused.text
    assert not Label.objects.exists()
    run(client, "label", images, answered="1", verdict="fault", category=category.pk, note="Batch")
    labels = set(Label.objects.values_list("category__code", "note", "made_by"))
    assert labels == {("SURF", "Batch", manager.pk)}
    assert CaseImage.objects.labelled().count() == 3


def test_history_tells_field_by_field_who_changed_what(client, manager):
    category = make.category("SURF", severity=3)
    page = url(category, "change", category.pk)
    client.post(page, {**form_data(client.get(page)), "severity": 8})
    text = client.get(url(category, "history", category.pk)).text
    assert "<b>severity</b>: <del>3</del> → <ins>8</ins>" in text
    assert manager.username in text
