"""Tables in and out of the admin: preview, confirm, refusals, formulas."""

import io

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from cases.models import Case, CorrectiveAction, FaultCategory, Part, Resolution
from cases.tables import cell_escape, cell_unescape
from tests import factories as make

pytestmark = pytest.mark.django_db

CSV, XLSX = "0", "1"


@pytest.fixture(autouse=True)
def manager(client):
    account = make.user("Knowledge manager", is_staff=True)
    client.force_login(account)
    return account


def address(model, page):
    return reverse(f"admin:cases_{model._meta.model_name}_{page}")


def table(rows, form=CSV) -> bytes:
    if form == CSV:
        return "\r\n".join(",".join(map(str, row)) for row in rows).encode()
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(buffer)
    return buffer.getvalue()


def preview(client, model, data, form=CSV):
    file = SimpleUploadedFile("table.csv" if form == CSV else "table.xlsx", data)
    return client.post(address(model, "import"), {"import_file": file, "format": form, "resource": "0"})


def confirm(client, model, response):
    given = response.context["confirm_form"].initial
    return client.post(address(model, "process_import"), given, follow=True)


def export(client, model, form=CSV) -> bytes:
    return client.post(address(model, "export"), {"format": form, "resource": "0"}).content


@pytest.mark.parametrize("form", [CSV, XLSX], ids=["csv", "xlsx"])
def test_categories_are_previewed_and_then_imported(client, form):
    make.category("SURF", name="Surface", severity=4)
    rows = [
        ["code", "parent", "name", "severity", "state", "definition"],
        ["SURF", "", "Surface", 6, "active", ""],
        ["SURF-PIT", "SURF", "Pit", 7, "draft", None if form == XLSX else ""],
    ]
    response = preview(client, FaultCategory, table(rows, form), form)
    assert [row.import_type for row in response.context["result"].rows] == ["update", "new"]
    assert FaultCategory.objects.get().severity == 4
    confirm(client, FaultCategory, response)
    assert list(FaultCategory.objects.values_list("code", "severity", "parent__code", "state")) == [
        ("SURF", 6, None, "active"),
        ("SURF-PIT", 7, "SURF", "draft"),
    ]


@pytest.mark.parametrize("form", [CSV, XLSX], ids=["csv", "xlsx"])
def test_parts_are_known_by_number_and_revision(client, form):
    make.part("4711", revision="A", name="Old")
    rows = [["number", "revision", "name"], ["4711", "A", "New"], [4711, "B", "Other"], ["0815", "", "Ring"]]
    confirm(client, Part, preview(client, Part, table(rows, form), form))
    parts = set(Part.objects.values_list("number", "revision", "name"))
    assert parts == {("4711", "A", "New"), ("4711", "B", "Other"), ("0815", "", "Ring")}
    again = preview(client, Part, table(rows, form), form)
    assert {row.import_type for row in again.context["result"].rows} == {"skip"}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([["code", "name", "severity"], ["SURF", "Surface", 11]], "less than or equal to 10"),
        ([["code", "name"], ["surf", "Surface"]], "Use capital letters"),
        ([["code", "name", "parent"], ["SURF", "Surface", "NONE"]], "There is no fault category NONE"),
        ([["code", "name", "colour"], ["SURF", "Surface", "red"]], "Unknown columns: colour"),
        ([["name"], ["Surface"]], "The column code is missing"),
        ([["code", "name", "severity"], ["SURF", "Surface", "much"]], "much is no number"),
        ([["code", "name", "state"], ["SURF", "Surface", "gone"]], "not a valid choice"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(client, rows, sentence):
    response = preview(client, FaultCategory, table(rows))
    assert sentence in response.text
    assert "Traceback" not in response.text
    assert "confirm_form" not in response.context
    assert not FaultCategory.objects.exists()


@pytest.mark.parametrize("data", [b"\xff\xfe\x00\x01", b"PK\x03\x04broken", b""])
@pytest.mark.parametrize("form", [CSV, XLSX])
def test_a_file_of_another_kind_gets_a_sentence(client, data, form):
    response = preview(client, FaultCategory, data, form)
    assert response.status_code == 200
    assert response.context["form"].errors["import_file"]


def test_a_table_that_is_too_large_is_refused(client):
    response = preview(client, Part, b"number\n" + b"1" * (11 * 2**20))
    assert "at most 10 MiB" in response.context["form"].errors["import_file"][0]


def test_a_cycle_of_categories_is_refused(client):
    surface = make.category("SURF")
    make.category("SURF-PIT", parent=surface)
    response = preview(client, FaultCategory, table([["code", "parent"], ["SURF", "SURF-PIT"]]))
    assert response.context["result"].has_validation_errors()


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "'=1", "plain", "'quoted'"])
def test_formulas_are_disarmed_and_come_back(text):
    escaped = cell_escape(text)
    assert not escaped.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell_unescape(cell_escape("=1")) == "=1"


@pytest.mark.parametrize("form", [CSV, XLSX], ids=["csv", "xlsx"])
def test_an_export_runs_no_formula_and_imports_unchanged(client, form):
    make.part("4711", revision="A", name='=HYPERLINK("http://x")', family="-ring")
    data = export(client, Part, form)
    if form == XLSX:
        cells = [cell for row in openpyxl.load_workbook(io.BytesIO(data)).active for cell in row]
        assert {cell.data_type for cell in cells} == {"s"}
        assert '\'=HYPERLINK("http://x")' in [cell.value for cell in cells]
    else:
        assert b"'=HYPERLINK" in data
    rows = preview(client, Part, data, form).context["result"].rows
    assert [row.import_type for row in rows] == ["skip"]


def test_actions_name_their_categories(client):
    make.category("SURF")
    make.category("ASM")
    rows = [["code", "title", "categories"], ["ACT-1", "Change tool", "SURF; ASM"]]
    confirm(client, CorrectiveAction, preview(client, CorrectiveAction, table(rows)))
    assert set(CorrectiveAction.objects.get().categories.values_list("code", flat=True)) == {"SURF", "ASM"}
    unknown = preview(client, CorrectiveAction, table([rows[0], ["ACT-2", "x", "NONE"]]))
    assert "There is no fault category NONE" in unknown.text


def test_cases_are_opened_and_changed(client, manager):
    part, customer = make.part("4711", revision="B"), make.customer("ACME")
    make.part("4711", revision="A")
    known = make.case(title="Old")
    rows = [
        ["number", "title", "part_number", "part_revision", "customer", "reported_at"],
        [known.number, "New title", "", "", "", "2026-02-01 10:00:00"],
        ["", "Fresh", "4711", "B", "ACME", "2026-02-02 10:00:00"],
    ]
    response = preview(client, Case, table(rows))
    assert Case.objects.count() == 1
    confirm(client, Case, response)
    known.refresh_from_db()
    assert known.title == "New title"
    fresh = Case.objects.get(title="Fresh")
    assert (fresh.part, fresh.customer, fresh.status, fresh.created_by) == (part, customer, "new", manager)
    assert fresh.number.startswith("FD-2026-")
    assert fresh.transitions.get().note == "Created"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (["FD-2026-999999", ""], "There is no case FD-2026-999999"),
        (["", "NOBODY"], "There is no customer NOBODY"),
    ],
)
def test_a_bad_case_row_is_refused(client, row, sentence):
    response = preview(client, Case, table([["number", "customer"], row]))
    assert sentence in response.text
    assert not Case.objects.exists()


@pytest.mark.parametrize("form", [CSV, XLSX], ids=["csv", "xlsx"])
def test_exported_cases_come_back_unchanged(client, form):
    make.case(part=make.part("1", revision="A"), customer=make.customer(), reported_at="2026-01-01T00:00:00Z")
    rows = preview(client, Case, export(client, Case, form), form).context["result"].rows
    assert [row.import_type for row in rows] == ["skip"]


def test_resolutions_belong_to_a_case(client):
    case = make.case()
    rows = [["case", "root_cause", "disposition"], [case.number, "Worn tool", "rework"]]
    confirm(client, Resolution, preview(client, Resolution, table(rows)))
    assert Resolution.objects.get(case=case).root_cause == "Worn tool"
    unknown = preview(client, Resolution, table([rows[0], ["FD-1", "x", ""]]))
    assert "There is no case FD-1" in unknown.text


def test_who_may_not_add_and_change_may_not_import(client):
    client.force_login(make.user("Viewer", is_staff=True))
    assert client.get(address(Part, "import")).status_code == 403
    assert client.get(address(Part, "export")).status_code == 200
