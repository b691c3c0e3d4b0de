"""manage.py import_folder DIR: pictures by category into the library, in the background."""

import time
from pathlib import Path

from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.models import Case, CaseImage, Job
from cases.services.folder_import import folder_import_preview, folder_import_start
from cases.services.folder_scan import FolderImport
from cases.services.folder_table import FolderImportError
from vision.models import Embedding, EmbeddingFailure, EmbeddingSpace

#: Seconds between two looks at the progress.
_LOOK_EVERY = 0.5
#: Seconds without progress after which the workers are asked whether they are there, and how often no
#: answer is taken for a worker that is merely busy.
_PATIENCE = 10
_UNANSWERED = 3
#: Seconds without any new vector after which something must be wrong with embedding itself.
_STANDSTILL = 120
_NO_WORKER = (
    "no worker answers for the queue {queue}. Start the server with script/server: the import then goes on"
    " by itself, and this command shows its progress again."
)


class Command(BaseCommand):
    help = (
        "Import a folder that holds one folder of pictures per fault category: each picture becomes a closed"
        " case with a label. What is there already is skipped, so that an import may be repeated."
        " A file cases.csv in the folder may bring parts, customers, causes and actions."
    )

    def add_arguments(self, parser):
        parser.add_argument("folder", metavar="DIR", help="The folder, readable by the worker too.")
        parser.add_argument(
            "--kind", choices=Case.Kind.values, default=Case.Kind.INTERNAL, help="Kind of all cases."
        )
        parser.add_argument("--part", default="", metavar="NUMBER", help="Part of cases without a part.")
        parser.add_argument(
            "--customer", default="", metavar="CODE", help="Customer of cases without a customer."
        )
        parser.add_argument("--limit", type=int, metavar="N", help="Import the first N pictures only.")
        parser.add_argument("--no-wait", action="store_true", help="Queue the import and return at once.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would happen; change nothing.")

    def handle(self, *, folder, kind, part, customer, limit, no_wait, dry_run, **options):
        if limit is not None and limit < 1:
            raise CommandError("--limit takes a number of pictures, at least 1.")
        wanted = FolderImport(str(Path(folder).resolve()), kind, part, customer, limit)
        try:
            if dry_run:
                self._preview(wanted)
                return
            job = folder_import_start(wanted)
        except FolderImportError as error:
            raise CommandError(str(error)) from error
        if no_wait:
            self.stdout.write(f"The import of {wanted.folder} is queued as job {job.pk}.")
            return
        try:
            self._follow(job)
            self._report(job)
            self._follow_embedding(wanted)
        except KeyboardInterrupt:
            raise CommandError(
                f"Stopped watching. Job {job.pk} goes on in the background; the same command shows it again."
            ) from None

    def _preview(self, wanted):
        report = folder_import_preview(wanted, watch=lambda files: tqdm(files, desc="Checking", unit="img"))
        self._print_result(vars(report))
        self.stdout.write("This was a dry run: nothing was changed.")

    def _follow(self, job):
        with tqdm(desc="Stored  ", unit="img", total=job.total or None) as bar:
            patience = _Patience("default")
            while not job.is_over:
                bar.total = job.total or None
                bar.update(job.progress - bar.n)
                if not patience.lasts((job.state, job.progress, job.heartbeat_at)):
                    bar.close()
                    raise CommandError(f"Job {job.pk} waits: {_NO_WORKER.format(queue='default')}")
                time.sleep(_LOOK_EVERY)
                job.refresh_from_db()
            bar.total = job.total
            bar.update(job.progress - bar.n)

    def _report(self, job):
        if job.state == Job.State.FAILED:
            raise CommandError(f"Job {job.pk} failed: {job.error}")
        self._print_result(job.result)

    def _print_result(self, result):
        for entry in result["problems"]:
            self.stdout.write(f"  {entry['file']}: {entry['problem']}")
        unlisted = result["problem_count"] - len(result["problems"])
        if unlisted:
            self.stdout.write(f"  and {unlisted} problems more")
        for code, number in result["categories"].items():
            self.stdout.write(f"  {code}: {number}")
        self.stdout.write(
            "{files} pictures: {imported} imported, {skipped} there already, {duplicates} known under another"
            " name, {problem_count} problems.".format(**result)
        )

    def _follow_embedding(self, wanted):
        images = CaseImage.objects.diagnostic().filter(case__source__startswith=wanted.source_prefix)
        total = images.count()
        with tqdm(desc="Embedded", unit="img", total=total) as bar:
            patience = _Patience("bulk")
            while True:
                done, failed = _embedded(images)
                bar.update(done + failed - bar.n)
                if done + failed >= total:
                    break
                if not patience.lasts(done):
                    bar.close()
                    raise CommandError(f"{total - done} pictures wait: {_NO_WORKER.format(queue='bulk')}")
                if patience.waited > _STANDSTILL:
                    bar.close()
                    raise CommandError(
                        f"All pictures are stored, but {total - done} wait and none was embedded for"
                        f" {_STANDSTILL} seconds: the log of the worker says why."
                    )
                time.sleep(_LOOK_EVERY)
        self.stdout.write(
            f"{done} pictures are searchable." + (f" {failed} can't be read." if failed else "")
        )


def _embedded(images) -> tuple[int, int]:
    """How many of the images have a vector in the active space, and how many are set aside."""
    space = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).first()
    if space is None:
        return 0, 0
    return (
        Embedding.objects.filter(space=space, image__in=images).count(),
        EmbeddingFailure.objects.filter(space=space, image__in=images).count(),
    )


class _Patience:
    """Asks whether a queue has a worker when nothing has moved for a while."""

    def __init__(self, queue: str):
        self.queue = queue
        self._seen = None
        self._since = self._asked = time.monotonic()
        self._unanswered = 0

    @property
    def waited(self) -> float:
        """Seconds since anything moved."""
        return time.monotonic() - self._since

    def lasts(self, state) -> bool:
        """False when `state` stands still and no worker says that it serves the queue."""
        now = time.monotonic()
        if state != self._seen:
            self._seen, self._since, self._asked, self._unanswered = state, now, now, 0
        elif now - self._asked > _PATIENCE:
            served = current_app.control.inspect(timeout=2).active_queues() or {}
            names = {queue["name"] for queues in served.values() for queue in queues}
            self._unanswered = 0 if self.queue in names else self._unanswered + 1
            self._asked = time.monotonic()
        return self._unanswered < _UNANSWERED
