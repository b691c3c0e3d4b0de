"""A folder of pictures, one subfolder a category, becomes closed cases with labelled pictures.

Each picture is a transaction of its own and carries its `Case.source`, which is unique in the database: an
import that is stopped, killed or started twice brings every picture in exactly once.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from cases.models import Case, CaseImage, FaultCategory, Job, Label
from cases.services.folder_knowledge import (
    case_fields,
    category_code,
    category_find,
    category_find_or_create,
    part_find_or_create,
    party_find_or_create,
    resolution_store,
)
from cases.services.folder_scan import FolderFile, FolderImport, FolderScan, folder_scan
from cases.services.folder_table import Problem
from cases.services.intake import Picture, case_create, pictures_check
from cases.services.jobs import JobProgress, job_create
from cases.services.labels import images_label

JOB_KIND = "cases.tasks.import_folder"
#: Problems that a job's result lists one by one; the rest are counted.
MAX_PROBLEMS = 500
#: Seconds between two signs of life.
_REPORT_EVERY = 1.0


@dataclass
class ImportReport:
    """The result of an import, as its job keeps it.

    `imported` counts what the job brought in, over all its runs; `skipped` what was there before it, and
    `duplicates` what was there under another name.
    """

    folder: str
    source_prefix: str
    files: int
    imported: int = 0
    skipped: int = 0
    duplicates: int = 0
    problem_count: int = 0
    categories: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def begin(cls, wanted: FolderImport, scan: FolderScan) -> "ImportReport":
        report = cls(wanted.folder, wanted.source_prefix, files=len(scan.files))
        for problem in scan.problems:
            report.add_problem(problem)
        return report

    def add_imported(self, code: str) -> None:
        self.imported += 1
        self.categories[code] = self.categories.get(code, 0) + 1

    def add_problem(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(asdict(problem))

    @property
    def sentence(self) -> str:
        return (
            f"{self.files} pictures: {self.imported} imported, {self.skipped} there already,"
            f" {self.duplicates} known under another name, {self.problem_count} problems."
        )


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
    importer = _Importer(wanted, folder_scan(wanted), job)
    files = importer.scan.files
    progress.start(len(files), "Storing pictures")
    reported = time.monotonic()
    for done, file in enumerate(files, start=1):
        importer.import_file(file)
        if time.monotonic() - reported > _REPORT_EVERY:
            progress.advance(done, file.relative)
            reported = time.monotonic()
    progress.advance(len(files), importer.report.sentence)
    progress.result = asdict(importer.report)


def folder_import_preview(
    wanted: FolderImport, watch: Callable[[list[FolderFile]], Iterator[FolderFile]] = iter
) -> ImportReport:
    """What an import would do, without changing anything; `watch` may wrap the files to show progress."""
    scan = folder_scan(wanted)
    report = ImportReport.begin(wanted, scan)
    lookup = _Lookup(wanted, scan)
    categories = {name: category_find(name) for name in scan.category_folders}
    codes_by_digest: dict[str, str] = {}
    for file in watch(scan.files):
        category = categories[file.category_folder]
        code = category.code if category else category_code(file.category_folder)
        try:
            if category:
                _check_state(category)
            data, digest = lookup.read(file)
            if codes_by_digest.setdefault(digest, code) != code:
                raise ValidationError(f"The same picture lies in {codes_by_digest[digest]} as well.")
            if lookup.source_of(file, digest) in lookup.present:
                report.skipped += 1
            elif category and lookup.is_known_elsewhere(file, digest, category):
                report.duplicates += 1
            else:
                pictures_check([Picture(file.path.name, data)])
                report.add_imported(code)
        except ValidationError as error:
            report.add_problem(Problem(file.relative, " ".join(error.messages)))
    return report


class _Lookup:
    """What the knowledge base has of a folder already."""

    def __init__(self, wanted: FolderImport, scan: FolderScan):
        self.wanted = wanted
        self.scan = scan
        own_cases = Case.objects.filter(source__startswith=wanted.source_prefix)
        #: When each source came in.
        self.present = dict(own_cases.values_list("source", "created_at"))
        self._places = {wanted.place(file.relative) for file in scan.files}

    def read(self, file: FolderFile) -> tuple[bytes, str]:
        """The bytes of a file and their sha256; ValidationError for what is not to be imported."""
        if file.relative in self.scan.table.refused:
            raise ValidationError("Its row in cases.csv is wrong. Mend the row and import again.")
        limit = settings.MAX_IMAGE_BYTES
        try:
            size = file.path.stat().st_size
            if size > limit:  # before it fills the memory
                raise ValidationError(
                    f"{file.path.name} has {size / 2**20:.1f} MiB; a picture may have {limit / 2**20:g} MiB."
                )
            data = file.path.read_bytes()
        except OSError as error:
            raise ValidationError(f"The file can't be read: {error.strerror or error}.") from error
        return data, hashlib.sha256(data).hexdigest()

    def source_of(self, file: FolderFile, digest: str) -> str:
        return self.wanted.source(file.relative, digest)

    def is_known_elsewhere(self, file: FolderFile, digest: str, category: FaultCategory) -> bool:
        """Whether an import from another place brought the same bytes in under this category.

        Two equal files in one folder both come in. Bytes that are labelled with another category raise
        ValidationError: only a person can say which is right.
        """
        twins = (
            CaseImage.objects.labelled()
            .filter(file__sha256=digest, case__source__startswith="folder:")
            .select_related("confirmed_category", "case")
        )
        for twin in twins:
            if twin.confirmed_category_id != category.pk:
                raise ValidationError(
                    f"{file.path.name} is the same picture as in {twin.case.number}, where it is"
                    f" {twin.confirmed_category.code}: keep it in one category."
                )
        return any(twin.case.source.rpartition("#")[0] not in self._places for twin in twins)


class _Importer:
    """One run of a job."""

    def __init__(self, wanted: FolderImport, scan: FolderScan, job: Job):
        self.wanted = wanted
        self.scan = scan
        self.job = job
        self.report = ImportReport.begin(wanted, scan)
        self.lookup = _Lookup(wanted, scan)
        self.categories = {name: category_find_or_create(name) for name in scan.category_folders}

    def import_file(self, file: FolderFile) -> None:
        """Bring one picture in, or note why not."""
        category = self.categories[file.category_folder]
        source = ""
        try:
            _check_state(category)
            data, digest = self.lookup.read(file)
            source = self.lookup.source_of(file, digest)
            came_in = self.lookup.present.get(source)
            if came_in is None:
                if self.lookup.is_known_elsewhere(file, digest, category):
                    self.report.duplicates += 1
                    return
                self._store(file, data, source, category)
            elif came_in < self.job.created_at:
                self.report.skipped += 1
                return
            self.report.add_imported(category.code)
        except (ValidationError, IntegrityError) as error:
            if source and Case.objects.filter(source=source).exists():
                self.report.skipped += 1  # another import of the same folder was faster
            elif isinstance(error, IntegrityError):
                raise
            else:
                self.report.add_problem(Problem(file.relative, " ".join(error.messages)))

    @transaction.atomic
    def _store(self, file: FolderFile, data: bytes, source: str, category: FaultCategory) -> None:
        wanted, row, user = self.wanted, self.scan.table.rows.get(file.relative), self.job.created_by
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
        images = case.images.all()
        images_label(images, verdict=Label.Verdict.FAULT, category=category, user=user, note="Folder import")
        resolution_store(case, category, row, wanted.name)


def _check_state(category: FaultCategory) -> None:
    if category.state == FaultCategory.State.DEPRECATED:
        raise ValidationError(f"{category} is deprecated: activate it, or rename the folder to another one.")
