"""manage.py library: the state of the similarity library, its check, a new snapshot, another network."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.management.watching import job_watch
from vision.engine.backbones import BACKBONES, WeightsError
from vision.services.embedding import space_current
from vision.services.library import Library
from vision.services.library_checks import library_verify
from vision.services.milvus import milvus_check
from vision.services.snapshots import SnapshotBusy, SnapshotUnwritten, snapshot_write_current
from vision.services.spaces import (
    settings_follow_enqueue,
    settings_following,
    settings_identity,
    settings_note,
)


class Command(BaseCommand):
    help = "Show, check, rewrite or change what searches compare new pictures with."

    def add_arguments(self, parser):
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("status", help="Which snapshot serves, how it is searched, and what came since.")
        verify = actions.add_parser(
            "verify",
            help="Compare every row of snapshot and changes with the database, hash the files, and embed a "
            "sample of pictures again. Ends with an error when something is wrong.",
        )
        verify.add_argument(
            "--sample", type=int, default=20, metavar="N", help="Pictures to embed again; default 20."
        )
        actions.add_parser("rebuild", help="Write a new snapshot from the database, here and now.")
        switch = actions.add_parser(
            "switch",
            help="Have the workers embed every picture with the network that FAULTDIAG_BACKBONE names, and"
            " watch. The old network serves until the new one has seen all of them; stopping this command"
            " stops nothing, and running it again watches on.",
        )
        switch.add_argument(
            "backbone", choices=list(BACKBONES), metavar="BACKBONE", help=", ".join(BACKBONES)
        )

    def handle(self, *, action, **options):
        space = space_current()
        if action == "rebuild":
            try:
                with _Bar() as bar:
                    folder = snapshot_write_current(space, bar)
            except SnapshotBusy as busy:
                raise CommandError(f"{busy} Wait for it, then look with: manage.py library status") from None
            except SnapshotUnwritten as unwritten:
                raise CommandError(str(unwritten)) from None
            self.stdout.write(f"Snapshot {folder.name} is written.")
        elif action == "verify":
            self._verify(space, options["sample"])
        elif action == "switch":
            self._switch(options["backbone"])
            space = space_current()
        self._status(space)

    def _switch(self, backbone):
        if backbone != settings.BACKBONE:
            # The setting decides, so that a restart can't undo what a command did.
            raise CommandError(
                f"FAULTDIAG_BACKBONE is {settings.BACKBONE}. Set it to {backbone} for the server and for this"
                f" command, restart the server, and run this again to watch. Nothing was changed."
            )
        try:
            settings_identity()
        except WeightsError as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        settings_follow_enqueue()
        try:
            while job := settings_following():
                job_watch(job, self.stdout)
        except KeyboardInterrupt:
            raise CommandError("Stopped watching. The work goes on in the background.") from None
        if note := settings_note():
            raise CommandError(note)

    def _verify(self, space, sample):
        with _Bar() as bar:
            report = library_verify(space, sample=sample, progress=bar)
        if report.problems:
            raise CommandError("\n".join(report.problems))
        recall = "" if report.recall is None else f" Searches find {report.recall:.2%} of the ten nearest."
        self.stdout.write(
            f"Clean: {report.rows} rows are as in the database, {report.embedded_again} pictures embedded "
            f"again give the same vector.{recall}"
        )

    def _status(self, space):
        library = Library(space)
        library.refresh()
        self.stdout.write(f"Space {space.slug}, {len(library)} pictures, change {library.watermark}.")
        if library.snapshot is None:
            self.stdout.write("No snapshot: everything is loaded from the database.")
            return
        manifest = library.snapshot.manifest
        self.stdout.write(
            f"Snapshot {library.snapshot.folder.name} holds {manifest.count} up to change "
            f"{manifest.watermark}; {library.changed} changed since.\n"
            f"Engine {manifest.engine}: {manifest.reason}"
        )
        if problem := milvus_check(manifest):
            self.stdout.write(problem)


class _Bar:
    """A progress bar that starts anew with each step."""

    def __enter__(self):
        self._bar = tqdm(unit="row", leave=False)
        self._step = None
        return self

    def __exit__(self, *error):
        self._bar.close()

    def __call__(self, step: str, done: int, total: int) -> None:
        if step != self._step:
            self._step = step
            self._bar.set_description(step.capitalize())
        self._bar.total = total
        self._bar.n = done
        self._bar.refresh()
