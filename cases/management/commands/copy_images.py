"""manage.py copy_images: originals from the data folder into the bucket that FAULTDIAG_STORAGE names."""

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.models import ImageFile
from cases.services.originals import Copied, originals_copy
from cases.storages import StorageAway

Item = TypeVar("Item")
#: Originals with problems that are listed one by one; the rest are counted.
_LISTED = 50


class Command(BaseCommand):
    help = (
        "Copy the originals of all pictures from the data folder into the bucket that FAULTDIAG_STORAGE"
        " names, and read each back to compare its size and sha256. What is in the folder stays there."
        " It may be interrupted and repeated: what is there already is only compared."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--from",
            dest="source",
            type=Path,
            default=settings.MEDIA_ROOT,
            metavar="DIR",
            help="The folder that holds the folder originals; media in the data folder unless it is given.",
        )

    def handle(self, *, source, **options):
        if isinstance(default_storage, FileSystemStorage):
            raise CommandError(
                "FAULTDIAG_STORAGE is files, so there is nothing to copy to:"
                " name the bucket for this command, such as FAULTDIAG_STORAGE=s3://bucket/folder."
            )
        if not source.is_dir():
            raise CommandError(f"{source} is no folder. Name the one that holds the folder originals.")
        counts = dict.fromkeys(Copied, 0)
        problems = []
        try:
            default_storage.check()
            with tqdm(desc="Copying", unit="img", total=ImageFile.objects.count()) as bar:
                for image_file, became in _until_interrupted(originals_copy(source, default_storage)):
                    counts[became] += 1
                    if not became.is_good:
                        problems.append(f"{image_file.original.name}: {became}")
                    bar.update()
        except StorageAway as away:
            raise CommandError(f"{away.reason} Mend that and run the same command again.") from away
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same command goes on where this one was.") from None
        self._report(counts, problems)

    def _report(self, counts, problems):
        self.stdout.write(
            f"{default_storage}: {counts[Copied.COPIED]} originals copied,"
            f" {counts[Copied.PRESENT]} there already. Each was read back and compared."
        )
        for problem in problems[:_LISTED]:
            self.stderr.write(f"  {problem}")
        if len(problems) > _LISTED:
            self.stderr.write(f"  and {len(problems) - _LISTED} more")
        if problems:
            raise CommandError(f"{len(problems)} originals are not in {default_storage}.")


def _until_interrupted(items: Iterable[Item]) -> Iterator[Item]:
    """The items; the first Ctrl-C raises KeyboardInterrupt between two of them, the next one at once.

    Python drops an interrupt that arrives in a destructor, of which the libraries of the bucket have many.
    """
    came = False

    def remember(signum, frame):
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, remember)
    try:
        for item in items:
            yield item
            if came:
                raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, usual)
