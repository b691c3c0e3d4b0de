"""A folder of pictures comes in once, whatever happens on the way; what is wrong is named."""

import csv
import datetime as dt
import os
import shutil
from dataclasses import asdict

import pytest
from django.core.management import CommandError, call_command

from cases.models import (
    ActionTaken,
    Case,
    CaseImage,
    CorrectiveAction,
    FaultCategory,
    ImageFile,
    Job,
    Label,
    Part,
)
from cases.services import folder_import
from cases.services.folder_import import JOB_KIND, folder_import_preview, folder_import_start
from cases.services.folder_scan import FolderImport, folder_scan
from cases.services.folder_table import FolderImportError, table_read
from cases.services.intake import case_create
from cases.tasks import import_folder
from tests import factories
from tests.measuring import measuring_folder

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path):
    """Two categories with three pictures each."""
    root = tmp_path / "plant"
    for position, category in enumerate(["rolled-in_scale", "Scratches"]):
        for number in range(3):
            put(root / category / f"{number}.png", seed=10 * position + number)
    return root


def put(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(factories.image_bytes(seed))


def run(folder, **options) -> dict:
    """Import through the task and return the job's result."""
    job = Job.objects.create(kind=JOB_KIND, parameters=asdict(FolderImport(str(folder), **options)))
    import_folder(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.error
    return job.result


def sentences(result):
    return [f"{entry['file']}: {entry['problem']}" for entry in result["problems"]]


def test_each_picture_becomes_a_closed_labelled_case(folder):
    result = run(folder)
    assert (result["imported"], result["problems"]) == (6, [])
    assert result["categories"] == {"ROLLED-IN_SCALE": 3, "SCRATCHES": 3}
    assert set(FaultCategory.objects.values_list("name", "state")) == {
        ("Rolled-in scale", "active"),
        ("Scratches", "active"),
    }
    for case in Case.objects.all():
        assert (case.status, case.kind) == ("closed", "internal")
        image = case.images.get()
        assert image.confirmed_category.code.lower() in case.source.lower()
        assert image.labels.get().verdict == Label.Verdict.FAULT
        assert "no root cause" in case.resolution.summary


def test_a_second_import_adds_nothing(folder):
    run(folder)
    again = run(folder)
    assert (again["imported"], again["skipped"]) == (0, 6)
    assert Case.objects.count() == 6


def test_folders_find_their_category_by_code_or_name(folder):
    scale = FaultCategory.objects.create(code="SURF-SCL", name="Rolled-in scale", state="active")
    scratch = FaultCategory.objects.create(code="SCRATCHES", name="Lines", state="draft")
    run(folder)
    assert FaultCategory.objects.count() == 2
    assert scale.labelled_images.count() == scratch.labelled_images.count() == 3


def test_a_deprecated_category_takes_no_pictures(folder):
    FaultCategory.objects.create(code="SCRATCHES", name="Scratches", state="deprecated")
    result = run(folder)
    assert result["imported"] == 3
    assert "is deprecated" in sentences(result)[0]


def test_a_stopped_import_goes_on_where_it_was(folder, monkeypatch):
    """The worker dies after four pictures; the job is taken up again and ends with the right count."""
    job = Job.objects.create(kind=JOB_KIND, parameters=asdict(FolderImport(str(folder))))
    stored = []

    def case_create_until_killed(**fields):
        if len(stored) == 4:
            raise SystemExit
        stored.append(fields["source"])
        return case_create(**fields)

    monkeypatch.setattr(folder_import, "case_create", case_create_until_killed)
    with pytest.raises(SystemExit):
        import_folder(job.pk)
    monkeypatch.undo()
    assert Case.objects.count() == 4
    long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert Job.objects.filter(pk=job.pk).update(state="running", heartbeat_at=long_ago)
    import_folder(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["imported"], job.result["skipped"]) == ("done", 6, 0)
    assert sorted(Case.objects.values_list("source", flat=True)) == sorted(
        set(Case.objects.values_list("source", flat=True))
    )
    assert CaseImage.objects.count() == Case.objects.count() == 6


def test_the_same_bytes_in_one_folder_both_come_in_and_are_stored_once(folder):
    shutil.copy(folder / "Scratches" / "0.png", folder / "Scratches" / "copy.png")
    assert run(folder)["imported"] == 7
    assert ImageFile.objects.count() == 6


def test_a_moved_folder_is_not_imported_again(folder, tmp_path):
    run(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    result = run(moved)
    assert (result["imported"], result["duplicates"]) == (0, 6)


def test_one_picture_in_two_categories_is_a_question_for_people(folder):
    shutil.copy(folder / "Scratches" / "0.png", folder / "rolled-in_scale" / "x.png")
    result = run(folder)
    assert result["imported"] == 6
    assert "keep it in one category" in sentences(result)[0]


def test_bad_files_are_named_and_the_rest_comes_in(folder):
    (folder / "Scratches" / "text.jpg").write_text("no picture")
    (folder / "Scratches" / "cut.png").write_bytes(factories.image_bytes(1)[:500])
    (folder / "Scratches" / "notes.txt").write_text("not looked at")
    (folder / ".hidden").mkdir()
    (folder / "empty").mkdir()
    put(folder / "loose.png", seed=99)
    result = run(folder)
    assert result["imported"] == 6
    assert result["problem_count"] == 4
    text = "\n".join(sentences(result))
    assert "Scratches/text.jpg: text.jpg is plain text" in text
    assert "Scratches/cut.png: cut.png is cut off" in text
    assert "empty: The folder holds no pictures" in text
    assert "loose.png: Pictures beside the category folders" in text


def test_names_that_are_not_utf8_are_named(folder):
    path = os.fsencode(folder / "Scratches") + b"/gr\xf6\xdfe.png"
    with open(path, "wb") as file:
        file.write(factories.image_bytes(77))
    result = run(folder)
    assert result["imported"] == 6
    assert "not UTF-8" in sentences(result)[0]


def test_limit_takes_the_categories_in_turn(folder):
    assert run(folder, limit=4)["categories"] == {"ROLLED-IN_SCALE": 2, "SCRATCHES": 2}


def test_part_and_customer_of_the_command_hold_for_all(folder):
    run(folder, part="4711", customer="Nordwerk AG", kind="field")
    case = Case.objects.first()
    assert (case.part.number, case.customer.code, case.kind) == ("4711", "NORDWERK-AG", "field")
    assert Part.objects.count() == 1


@pytest.mark.parametrize("missing", ["absent", "file.txt", "void"])
def test_a_folder_that_cannot_be_imported_gets_a_sentence(tmp_path, missing):
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "void").mkdir()
    with pytest.raises(FolderImportError, match=r"\.$"):
        folder_import_start(FolderImport(str(tmp_path / missing)))
    assert not Job.objects.exists()


def test_a_folder_that_vanishes_fails_the_job_with_its_name(folder):
    job = Job.objects.create(kind=JOB_KIND, parameters=asdict(FolderImport(str(folder))))
    shutil.rmtree(folder)
    with pytest.raises(FolderImportError):
        import_folder(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert str(folder) in job.error


def test_the_same_import_under_way_is_not_queued_twice(folder):
    first = folder_import_start(FolderImport(str(folder)))
    assert folder_import_start(FolderImport(str(folder))) == first
    assert folder_import_start(FolderImport(str(folder), limit=2)) != first


def test_long_names_keep_their_sources_apart(folder):
    deep = folder / "Scratches" / ("a" * 100) / ("b" * 100) / ("c" * 100)
    put(deep / "1.png", seed=51)
    put(deep / "2.png", seed=52)
    assert run(folder)["imported"] == 8
    assert run(folder)["skipped"] == 8


COLUMNS = [
    *["file", "part", "part_revision", "customer", "site", "reported_at", "lot", "quantity", "problem"],
    *["root_cause", "why_1", "why_2", "disposition", "summary"],
    *["action_code", "action_title", "action_type", "done_on", "effectiveness", "evidence"],
]
CASE_CELLS = [
    *["Scratches/0.png", "4711", "B", "NORD", "Nord plant", "2025-03-04", "L7", "12", "Lines on the seal"],
    *["Steel jaws", "Chip", "No brush", "Rework", "Jaws changed"],
]
ACTIONS_CELLS = [
    ["CA-1", "Polymer jaws", "corrective", "2025-04-01", "effective", "No repeat"],
    ["CA-2", "Instruct again", "Preventive", "2025-04-02", "ineffective", "Repeat; same place"],
]


def write_table(folder):
    """As a spreadsheet program does it: semicolons, quotes where needed, a byte order mark."""
    with open(folder / "cases.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(COLUMNS)
        writer.writerow(CASE_CELLS + ACTIONS_CELLS[0])
        writer.writerow(["Scratches\\0.png", *[""] * (len(CASE_CELLS) - 1), *ACTIONS_CELLS[1]])


def test_the_table_brings_causes_and_actions(folder):
    write_table(folder)
    assert run(folder)["problems"] == []
    case = Case.objects.get(lot="L7")
    assert (str(case.part), case.customer.code, case.site.name) == ("4711 rev. B", "NORD", "Nord plant")
    assert (case.reported_at.date(), case.quantity_complained) == (dt.date(2025, 3, 4), 12)
    assert case.number.startswith("FD-2025-")
    resolution = case.resolution
    assert (resolution.root_cause, resolution.disposition) == ("Steel jaws", "rework")
    assert resolution.summary == "Jaws changed"
    assert [why.answer for why in resolution.why_steps.all()] == ["Chip", "No brush"]
    taken = resolution.actions_taken.values_list("action__code", "effectiveness", "done_on")
    assert list(taken) == [
        ("CA-1", "effective", dt.date(2025, 4, 1)),
        ("CA-2", "ineffective", dt.date(2025, 4, 2)),
    ]
    assert CorrectiveAction.objects.get(code="CA-1").categories.get().code == "SCRATCHES"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("quantity", "a dozen", "no whole number"),
        ("quantity", "-1", "no whole number"),
        ("reported_at", "04.03.2025", "should be a date"),
        ("reported_at", "2025-02-30", "should be a date"),
        ("disposition", "burn", "may be use_as_is"),
        ("effectiveness", "effective", "neither action_code nor action_title"),
    ],
)
def test_a_wrong_row_leaves_its_file_out_until_it_is_mended(folder, column, value, says):
    table = folder / "cases.csv"
    table.write_text(f"file,{column}\nScratches/0.png,{value}\nScratches/1.png,\n")
    result = run(folder)
    assert result["imported"] == 5
    assert says in "\n".join(sentences(result))
    table.unlink()
    assert run(folder)["imported"] == 1


def test_an_action_judged_before_it_was_done_is_refused(folder):
    (folder / "cases.csv").write_text("file,action_code,effectiveness\nScratches/0.png,CA-1,effective\n")
    assert "done_on is empty" in sentences(run(folder))[0]
    assert not ActionTaken.objects.exists()


def test_a_value_that_the_database_refuses_leaves_nothing_half_written(folder):
    (folder / "cases.csv").write_text(f"file,lot,part,customer\nScratches/0.png,{'9' * 61},P-1,NEW\n")
    result = run(folder)
    assert result["imported"] == 5
    assert "60 characters" in sentences(result)[0]
    assert not Part.objects.exists()


@pytest.mark.parametrize("header", ["name,part", "file,colour"])
def test_an_unknown_table_is_refused_as_a_whole(folder, header):
    (folder / "cases.csv").write_text(f"{header}\nScratches/0.png,x\n")
    with pytest.raises(FolderImportError, match="The columns it may have"):
        table_read(folder)


def test_rows_of_absent_files_are_named(folder):
    (folder / "cases.csv").write_text("file,lot\nScratches/absent.png,L1\nScratches\\0.png,L2\n")
    problems = folder_scan(FolderImport(str(folder))).problems
    assert [problem.problem for problem in problems] == [
        "Scratches/absent.png is in the table, but not among the folder's pictures."
    ]


def test_a_preview_says_the_same_and_changes_nothing(folder):
    (folder / "Scratches" / "text.jpg").write_text("no picture")
    report = folder_import_preview(FolderImport(str(folder)))
    assert not Case.objects.exists()
    assert not FaultCategory.objects.exists()
    result = run(folder)
    assert (report.imported, report.categories) == (result["imported"], result["categories"])
    assert [entry["file"] for entry in report.problems] == [entry["file"] for entry in result["problems"]]
    assert folder_import_preview(FolderImport(str(folder))).skipped == 6


def test_the_command_previews_and_refuses_with_a_sentence(folder, capsys):
    call_command("import_folder", str(folder), "--dry-run")
    shown = capsys.readouterr().out
    assert "SCRATCHES: 3" in shown
    assert "nothing was changed" in shown
    with pytest.raises(CommandError, match="does not exist"):
        call_command("import_folder", str(folder / "absent"))


@pytest.mark.django_db(transaction=True)
def test_the_command_imports_through_the_worker(celery_worker, tmp_path, capsys):
    """Real pictures, broker and worker: stored, embedded, searchable."""
    source = measuring_folder("neu_surface")
    for category in ("crazing", "scratches"):
        (tmp_path / "steel" / category).mkdir(parents=True)
        for path in sorted((source / category).iterdir())[:3]:
            shutil.copy(path, tmp_path / "steel" / category)
    call_command("import_folder", str(tmp_path / "steel"))
    shown = capsys.readouterr().out
    assert "6 pictures: 6 imported" in shown
    assert "6 pictures are searchable" in shown
    assert CaseImage.objects.filter(embeddings__isnull=False).count() == 6
