"""manage.py seed_demo: fill the knowledge base with the demo library."""

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.storages import StorageAway
from vision.services.demo.seeding import IMAGES_PER_CATEGORY, demo_is_wanted, demo_seed


class Command(BaseCommand):
    help = (
        "Add the demo library: a fault catalogue, parts, and past cases with pictures, causes and actions."
        " It is the same on every machine, and what is there already stays as it is."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--if-empty", action="store_true", help="Do nothing when there is any case already."
        )
        parser.add_argument(
            "--images-per-category", type=int, default=IMAGES_PER_CATEGORY, metavar="N", help="Default 30."
        )
        parser.add_argument("--progress", action="store_true", help="Show progress bars.")

    def handle(self, *, if_empty, images_per_category, progress, **options):
        if images_per_category < 1:
            raise CommandError("--images-per-category takes a number of at least 1.")
        if if_empty and not demo_is_wanted():
            self.stdout.write("There are cases already: the demo library is not needed.")
            return
        watch = _show if progress else _pass
        try:
            summary = demo_seed(images_per_category, only_if_empty=if_empty, watch=watch)
        except StorageAway as away:
            raise CommandError(f"Nothing was added. {away.reason}") from away
        self.stdout.write(
            f"Demo library: {summary.cases} cases with {summary.pictures} pictures in"
            f" {summary.categories} categories added. The workers embed them now."
        )


def _show(items, what, total):
    return tqdm(items, desc=what, total=total)


def _pass(items, what, total):
    return items
