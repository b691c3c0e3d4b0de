"""A folder of pictures, one subfolder a category, becomes closed cases with labelled pictures.

Each picture is a transaction of its own and carries its `Case.source`, which is unique in the database: an
import that is stopped, killed or started twice brings every picture in exactly once.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from cases.models import Case, CaseImage, FaultCategory, Job, Label
from cases.services.folder_knowledge import (
    case_fields,
    category_code,
    category_find,
    part_find_or_create,
    party_find_or_create,
    resolution_store,
)
from cases.services.folder_table import CaseRow, CaseTable, FolderImportError, Problem, table_read
from cases.services.intake import Picture, case_create, pictures_check
from cases.services.jobs import JobProgress, job_create
from cases.services.labels import images_label
from vision.engine.images import EXTENSIONS

JOB_KIND = "cases.tasks.import_folder"
#: Problems that a job's result lists one by one; the rest are counted.
MAX_PROBLEMS = 500
#: Seconds between two signs of life.
_REPORT_EVERY = 1.0


@dataclass(frozen=True)
class FolderImport:
    """What to import and what holds for all its cases. The fields are a job's parameters."""

    folder: str
    kind: str = Case.Kind.INTERNAL
    part: str = ""
    customer: str = ""
    limit: int | None = None

    @property
    def name(self) -> str:
        """The import's name in the source of its cases: the folder's own, wherever it lies."""
        return Path(self.folder).name[:80]

    @property
    def source_prefix(self) -> str:
        return f"folder:{self.name}/"


@dataclass(frozen=True)
class FolderFile:
    """A picture below a category folder."""

    path: Path
    relative: str  # POSIX, to the imported folder
    category_folder: str


@dataclass
class FolderScan:
    """What lies in the folder: pictures in the order of import, and what was left out."""

    files: list[FolderFile]
    table: CaseTable
    problems: list[Problem]

    @property
    def category_folders(self) -> list[str]:
        return sorted({file.category_folder for file in self.files})


@dataclass
class ImportReport:
    """The result of an import, as its job keeps it."""

    folder: str
    source_prefix: str
    files: int = 0
    imported: int = 0
    skipped: int = 0
    duplicates: int = 0
    problem_count: int = 0
    categories: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)

    def add_problem(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(asdict(problem))

    @property
    def sentence(self) -> str:
        return (
            f"{self.imported} of {self.files} pictures imported, {self.skipped} there already,"
            f" {self.duplicates} identical to another, {self.problem_count} problems."
        )


def folder_scan(wanted: FolderImport) -> FolderScan:
    """Look at the folder without changing anything. Raises FolderImportError with a sentence."""
    root = Path(wanted.folder)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist or can't be read from here"
        raise FolderImportError(f"{root} {what}. Name a folder that holds one folder per fault category.")
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and _is_wanted(entry.name))
        loose = [entry.name for entry in root.iterdir() if entry.is_file() and _is_picture(entry.name)]
    except OSError as error:
        raise FolderImportError(f"{root} can't be read: {error.strerror}.") from error
    found = {folder.name: list(_walk(root, folder)) for folder in folders}
    # One picture of each category in turn, so that a library is of use long before its import ends.
    files = [file for file in chain.from_iterable(zip_longest(*found.values())) if file]
    unnameable = [file for file in files if not _is_text(file.relative)]
    files = [file for file in files if _is_text(file.relative)]
    if not files:
        raise FolderImportError(
            f"{root} holds no pictures in category folders. Make one folder per fault category, named after"
            " it, and put its pictures inside."
        )
    table = table_read(root)
    problems = list(table.problems)
    if loose:
        problems.append(
            Problem(loose[0], f"{len(loose)} pictures lie beside the category folders and were left out.")
        )
    problems += [
        Problem(name, "The folder holds no pictures.") for name, inside in found.items() if not inside
    ]
    problems += [
        Problem(
            os.fsencode(file.relative).decode(errors="replace"), "The name is not UTF-8: rename the file."
        )
        for file in unnameable
    ]
    known = {file.relative for file in files}
    problems += [
        Problem("cases.csv", f"{file} is in the table, but not in the folder.")
        for file in table.rows
        if file not in known
    ]
    return FolderScan(files[: wanted.limit], table, problems)


def folder_import_start(wanted: FolderImport, *, user=None) -> Job:
    """Queue the import; one with the same parameters that is under way is returned instead.

    Raises FolderImportError when there is nothing to import.
    """
    folder_scan(wanted)
    under_way = Job.objects.filter(
        kind=JOB_KIND, parameters=asdict(wanted), state__in=[Job.State.QUEUED, Job.State.RUNNING]
    ).first()
    return under_way or job_create(JOB_KIND, asdict(wanted), user=user)


def folder_import_run(progress: JobProgress) -> None:
    """Import the folder of a job's parameters; started again, it goes on where it was stopped."""
    job = progress.job
    wanted = FolderImport(**job.parameters)
    progress.start(0, f"Reading {wanted.folder}")
    scan = folder_scan(wanted)
    report = ImportReport(wanted.folder, wanted.source_prefix, files=len(scan.files))
    for problem in scan.problems:
        report.add_problem(problem)
    categories = _categories_prepare(scan, report)
    present = dict(
        Case.objects.filter(source__startswith=wanted.source_prefix).values_list("source", "created_at")
    )
    counted = Counter()
    progress.start(len(scan.files), "Storing pictures")
    reported = time.monotonic()
    for done, file in enumerate(scan.files, start=1):
        category = categories.get(file.category_folder)
        if category and _import_file(file, category, wanted, scan.table, present, job, report):
            counted[category.code] += 1
        if time.monotonic() - reported > _REPORT_EVERY:
            progress.advance(done, file.relative)
            reported = time.monotonic()
    report.categories = dict(sorted(counted.items()))
    progress.advance(len(scan.files), report.sentence)
    progress.result = asdict(report)


def folder_import_preview(
    wanted: FolderImport, watch: Callable[[list[FolderFile]], Iterator[FolderFile]] = iter
) -> ImportReport:
    """What an import would do, without changing anything; `watch` may wrap the files to show progress."""
    scan = folder_scan(wanted)
    report = ImportReport(wanted.folder, wanted.source_prefix, files=len(scan.files))
    for problem in scan.problems:
        report.add_problem(problem)
    present = set(
        Case.objects.filter(source__startswith=wanted.source_prefix).values_list("source", flat=True)
    )
    counted, seen = Counter(), set()
    for file in watch(scan.files):
        category = category_find(file.category_folder)
        code = category.code if category else category_code(file.category_folder)
        try:
            data = _read(file, scan.table)
            digest = hashlib.sha256(data).hexdigest()
            if _source(wanted, file, digest) in present:
                report.skipped += 1
            elif (digest, code) in seen or (category and _labelled_before(digest, category, file)):
                report.duplicates += 1
            else:
                pictures_check([Picture(file.path.name, data)])
                seen.add((digest, code))
                counted[code] += 1
        except (OSError, ValidationError) as error:
            report.add_problem(Problem(file.relative, _sentence(error)))
    report.categories = dict(sorted(counted.items()))
    report.imported = counted.total()
    return report


def _is_wanted(name: str) -> bool:
    return not name.startswith((".", "__"))


def _is_text(name: str) -> bool:
    """Names that are not UTF-8 come from the system with stray surrogates, which no database takes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_picture(name: str) -> bool:
    return _is_wanted(name) and name.lower().endswith(tuple(f".{extension}" for extension in EXTENSIONS))


def _walk(root: Path, folder: Path) -> Iterator[FolderFile]:
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if _is_wanted(name))
        for name in sorted(filter(_is_picture, names)):
            path = Path(parent, name)
            if path.is_file():
                yield FolderFile(path, path.relative_to(root).as_posix(), folder.name)


def _categories_prepare(scan: FolderScan, report: ImportReport) -> dict[str, FaultCategory]:
    """The category of each folder, made where it is missing; a folder without one is a problem."""
    categories = {}
    for name in scan.category_folders:
        category = category_find(name)
        if category is None:
            category, _ = FaultCategory.objects.get_or_create(
                code=category_code(name),
                defaults={
                    "name": name.replace("_", " ").strip().capitalize()[:120],
                    "definition": "Created by a folder import: describe what counts as this fault.",
                    "state": FaultCategory.State.ACTIVE,
                },
            )
        if category.state == FaultCategory.State.DEPRECATED:
            report.add_problem(
                Problem(name, f"{category} is deprecated: activate it, or rename the folder to another one.")
            )
            continue
        categories[name] = category
    return categories


def _import_file(file, category, wanted, table, present, job, report) -> bool:
    """Bring one picture in; True when it belongs to what this job imported."""
    source = ""
    try:
        data = _read(file, table)
        digest = hashlib.sha256(data).hexdigest()
        source = _source(wanted, file, digest)
        if source not in present:
            if _labelled_before(digest, category, file):
                report.duplicates += 1
                return False
            _store(file, data, source, category, wanted, table.rows.get(file.relative), job.created_by)
        elif present[source] < job.created_at:
            report.skipped += 1
            return False
    except (OSError, ValidationError, IntegrityError) as error:
        if source and Case.objects.filter(source=source).exists():
            report.skipped += 1  # another import of the same folder was faster
        elif isinstance(error, IntegrityError):
            raise
        else:
            report.add_problem(Problem(file.relative, _sentence(error)))
        return False
    report.imported += 1
    return True


@transaction.atomic
def _store(file, data, source, category, wanted, row: CaseRow | None, user):
    fields = {
        "kind": wanted.kind,
        "title": f"{category.name}: {file.path.name}"[:200],
        "reported_at": timezone.now(),
        "severity": category.severity,
        "part": part_find_or_create(wanted.part) if wanted.part else None,
        "customer": party_find_or_create("customer", wanted.customer) if wanted.customer else None,
    }
    if row:
        fields |= case_fields(row)
    case = case_create(
        pictures=[Picture(file.path.name, data)],
        user=user,
        status=Case.Status.CLOSED,
        bulk=True,
        source=source,
        **fields,
    )
    images_label(
        case.images.all(), verdict=Label.Verdict.FAULT, category=category, user=user, note="Folder import"
    )
    resolution_store(case, category, row, wanted.name)


def _read(file: FolderFile, table: CaseTable) -> bytes:
    if file.relative in table.refused:
        raise ValidationError(
            "Its row in cases.csv is wrong, so it was left out: mend the row, import again."
        )
    size, limit = file.path.stat().st_size, settings.MAX_IMAGE_BYTES
    if size > limit:
        raise ValidationError(
            f"{file.path.name} has {size / 2**20:.1f} MiB; a picture may have at most {limit / 2**20:g} MiB."
        )
    return file.path.read_bytes()


def _source(wanted: FolderImport, file: FolderFile, digest: str) -> str:
    """The same for the same bytes at the same place in a folder of the same name."""
    source = f"{wanted.source_prefix}{file.relative}"
    if len(source) > 280:
        source = source[:240] + "~" + hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:32]
    return f"{source}#{digest[:16]}"


def _labelled_before(digest: str, category: FaultCategory, file: FolderFile) -> bool:
    """Whether an import brought the same bytes in under this category; under another one it is an error."""
    twins = CaseImage.objects.labelled().filter(file__sha256=digest, case__source__startswith="folder:")
    twin = twins.select_related("confirmed_category", "case").first()
    if twin and twin.confirmed_category_id != category.pk:
        raise ValidationError(
            f"{file.path.name} is the same picture as in {twin.case.number}, where it is"
            f" {twin.confirmed_category.code}: keep it in one category."
        )
    return twin is not None


def _sentence(error: OSError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return f"The file can't be read: {error.strerror or error}."
