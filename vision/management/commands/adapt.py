"""manage.py adapt: tune the embedding to the labels of the library."""

import time

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.models import Job
from vision.models import Adaptation
from vision.services.adaptation import (
    MINUTES,
    AdaptationRefused,
    adaptation_preview,
    adaptation_running,
    adaptation_start,
    adaptation_undo,
)

_LOOK_EVERY = 0.5
#: Seconds after which a job that nobody has taken is spoken of.
_PATIENCE = 20


class Command(BaseCommand):
    help = (
        "Tune the embedding to the confirmed pictures of the library. A third of the cases is held out to"
        " judge the result, which becomes the active space only if it beats the present one on them."
        " The work is done by the workers and goes on when this command is stopped."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--network",
            action="store_true",
            help="Tune the weights of the whole network instead of a projection: far slower.",
        )
        parser.add_argument(
            "--minutes", type=float, default=MINUTES, metavar="N", help="Of --network; default %(default)g."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Measure a projection here and now; change nothing."
        )
        parser.add_argument("--undo", action="store_true", help="Go back to the space before.")

    def handle(self, *, network, minutes, dry_run, undo, **options):
        if network + dry_run + undo > 1:
            raise CommandError("Choose one of --network, --dry-run and --undo.")
        if minutes <= 0:
            raise CommandError("--minutes must be more than 0.")
        try:
            if dry_run:
                self._preview()
                return
            job = adaptation_undo() if undo else adaptation_start(network=network, minutes=minutes)
            self._follow(job)
            made = Adaptation.objects.filter(job=job).first()
            if made:
                self._print(made.measures)
            while building := adaptation_running():
                self._follow(building)
        except AdaptationRefused as refused:
            raise CommandError(str(refused)) from refused
        except KeyboardInterrupt:
            raise CommandError("Stopped watching. The work goes on in the background.") from None

    def _preview(self):
        with tqdm(desc="Learning", total=100, unit="%") as bar:

            def watch(done, total):
                bar.update(100 * done // total - bar.n)

            verdict = adaptation_preview(watch)
            bar.update(100 - bar.n)
        self._print(verdict.as_dict())
        self.stdout.write("This was a dry run: nothing was changed.")

    def _follow(self, job):
        started = time.monotonic()
        with tqdm(desc=f"Job {job.pk}") as bar:
            while not job.is_over:
                bar.total = job.total or None
                bar.update(job.progress - bar.n)
                if job.started_at is None and time.monotonic() - started > _PATIENCE:
                    bar.close()
                    raise CommandError(
                        f"Job {job.pk} waits: no worker has taken it yet. Start the server with"
                        " script/server, or look at the library page, where its progress is shown as well."
                    )
                time.sleep(_LOOK_EVERY)
                job.refresh_from_db()
            bar.total = job.total
            bar.update(job.progress - bar.n)
        if job.state == Job.State.FAILED:
            raise CommandError(f"Job {job.pk} failed: {job.error}")
        self.stdout.write(job.message)

    def _print(self, measures):
        self.stdout.write(f"On {measures['queries']} held-out pictures:")
        for name, before in measures["before"].items():
            self.stdout.write(f"  {name:16} {before:.4f} -> {measures['after'][name]:.4f}")
        self.stdout.write(measures["reason"])
