"""manage.py adapt: tune the embedding to the labels of the library."""

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.management.watching import job_watch
from vision.models import Adaptation
from vision.services.adaptation import (
    MINUTES,
    AdaptationRefused,
    adaptation_preview,
    adaptation_running,
    adaptation_start,
    adaptation_undo,
)


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
            job_watch(job, self.stdout)
            made = Adaptation.objects.filter(job=job).first()
            if made:
                self._print(made.measures)
            while building := adaptation_running():
                job_watch(building, self.stdout)
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

    def _print(self, measures):
        self.stdout.write(f"On {measures['queries']} held-out pictures:")
        for name, before in measures["before"].items():
            self.stdout.write(f"  {name:16} {before:.4f} -> {measures['after'][name]:.4f}")
        self.stdout.write(measures["reason"])
