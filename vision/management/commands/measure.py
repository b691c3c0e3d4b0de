"""manage.py measure: figures of the backbone beside random weights and a hand-made descriptor."""

import json
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from vision.engine.backbones import WeightsError
from vision.services.measurement import (
    DESCRIPTOR,
    RANDOM_WEIGHTS,
    MeasureError,
    classification_figures,
    embedder_of,
    folder_pictures,
    library_pictures,
    library_search,
    pictures_vectors,
    retrieval_figures,
)

_RETRIEVAL = {"top1": "top-1", "top1_5nn": "5-NN top-1", "precision_at_5": "P@5", "map_at_r": "mAP@R"}
_CLASSIFICATION = {"5nn": "5-NN", "logistic_regression": "logistic", "product": "product"}


class Command(BaseCommand):
    help = (
        "Measure how well faults are told apart. `--library` asks every confirmed picture of the running"
        " library against the others; `retrieval DIR` and `classification DIR` do it on a folder with one"
        " folder of pictures per category, without touching the database. Beside the backbone stand the"
        " same network with random weights and a descriptor made by hand."
        " The JSON holds: protocol, source, backbone, images, categories, unreadable,"
        " and results, by row name the figures from 0 to 1."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "protocol", nargs="?", choices=["retrieval", "classification"], default="retrieval"
        )
        parser.add_argument("folder", nargs="?", metavar="DIR")
        parser.add_argument(
            "--library", action="store_true", help="Measure the library of this installation."
        )
        parser.add_argument("--backbone", metavar="NAME", help="Instead of the configured one (with DIR).")
        parser.add_argument("--limit", type=int, metavar="N", help="First N pictures of each category (DIR).")
        parser.add_argument(
            "--partitions", type=int, default=10, metavar="N", help="Random halves; default 10."
        )
        parser.add_argument("--seed", type=int, default=0, help="Of the random weights and the partitions.")
        parser.add_argument("--json", metavar="FILE", help="Write the figures to a file as well.")

    def handle(self, *, protocol, folder, library, backbone, limit, partitions, seed, **options):
        if library == bool(folder):
            raise CommandError("Name either a folder or --library.")
        if library and (protocol != "retrieval" or backbone or limit):
            raise CommandError(
                "--library measures retrieval with the configured backbone: use it without the other options."
            )
        if partitions < 1 or (limit is not None and limit < 2):
            raise CommandError("--partitions must be at least 1, and --limit at least 2.")
        backbone = backbone or settings.BACKBONE
        try:
            if library:
                pictures, results = self._measure_library(backbone, seed)
            else:
                pictures, results = self._measure_folder(
                    protocol, Path(folder), backbone, limit, partitions, seed
                )
        except (MeasureError, WeightsError, ValueError) as error:
            raise CommandError(str(error)) from error
        report = {
            "protocol": f"{protocol}, leave-one-out"
            if protocol == "retrieval"
            else f"{partitions} random halves",
            "source": "library" if library else str(folder),
            "backbone": backbone,
            "images": len(pictures),
            "categories": len(set(pictures.labels.tolist())),
            "unreadable": pictures.unreadable,
            "results": results,
        }
        self._print(report, protocol)
        if options["json"]:
            Path(options["json"]).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    def _measure_library(self, backbone, seed):
        pictures, ids, vectors = library_pictures()
        results = {backbone: retrieval_figures(vectors, pictures, ids=ids, search=library_search)}
        for name, what in self._baselines(backbone, seed):
            vectors = pictures_vectors(pictures, what, _show, name)
            results[name] = retrieval_figures(vectors, pictures, ids=ids)
        return pictures, results

    def _measure_folder(self, protocol, folder, backbone, limit, partitions, seed):
        pictures = folder_pictures(folder, limit)
        results = {}
        for name, what in [(backbone, embedder_of(backbone)), *self._baselines(backbone, seed)]:
            vectors = pictures_vectors(pictures, what, _show, name)
            results[name] = (
                retrieval_figures(vectors, pictures)
                if protocol == "retrieval"
                else classification_figures(vectors, pictures, partitions, seed)
            )
        return pictures, results

    def _baselines(self, backbone, seed):
        yield RANDOM_WEIGHTS, embedder_of(backbone, random_seed=seed)
        yield DESCRIPTOR, None

    def _print(self, report, protocol):
        self.stdout.write(
            f"{report['source']}: {report['images']} pictures in {report['categories']} categories,"
            f" {report['protocol']}, %"
        )
        for line in report["unreadable"]:
            self.stdout.write(f"  left out: {line}")
        titles = _RETRIEVAL if protocol == "retrieval" else _CLASSIFICATION
        self.stdout.write(f"{'':24}" + "".join(f"{title:>16}" for title in titles.values()))
        for name, figures in report["results"].items():
            cells = (_cell(figures[key]) for key in titles)
            self.stdout.write(f"{name:24}" + "".join(f"{cell:>16}" for cell in cells))


def _cell(figure) -> str:
    if isinstance(figure, dict):
        return f"{100 * figure['top1']:.1f} ± {100 * figure['top1_sd']:.1f}"
    return f"{100 * figure:.1f}"


def _show(items, what, total):
    return tqdm(items, desc=what, total=total, unit="img")
