"""manage.py measure: figures of the backbone beside random weights and a hand-made descriptor."""

import json
from collections import Counter
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.storages import StorageAway
from vision.engine.backbones import WeightsError
from vision.services.measurement.classification import PRODUCT, classification_measure
from vision.services.measurement.openset import openset_measure
from vision.services.measurement.pictures import MeasureError, folder_sources, library_sources
from vision.services.measurement.retrieval import adaptation_fit, retrieval_measure
from vision.services.measurement.seeing import pictures_see, table_rows
from vision.services.measurement.splits import Split

PROTOCOLS = ("classification", "retrieval", "openset")
#: Columns of the table: key in the JSON, title, factor (100 for per cent) and digits behind the point.
_COLUMNS = {
    "classification": {
        "top1": ("top-1 %", 100, 1),
        "macro_f1": ("macro-F1 %", 100, 1),
        "ece": ("ECE %", 100, 1),
        "brier": ("Brier", 1, 3),
        "aurc": ("AURC %", 100, 2),
        "coverage": ("coverage %", 100, 1),
        "set_size": ("set size", 1, 2),
    },
    "retrieval": {
        "top1": ("top-1 %", 100, 1),
        "precision_at_5": ("P@5 %", 100, 1),
        "precision_at_10": ("P@10 %", 100, 1),
        "recall_at_5": ("R@5 %", 100, 1),
        "map_at_r": ("mAP@R %", 100, 1),
    },
    "openset": {"auroc": ("AUROC %", 100, 1), "fpr_at_95": ("FPR@95 %", 100, 1)},
}
_GROUPED_COLUMNS = {"top1_by_piece": ("by piece %", 100, 1)}
_NOISE_COLUMNS = {"top1_without_noise": ("no noise %", 100, 1), "top1_fall": ("fall %", 100, 1)}


class Command(BaseCommand):
    help = (
        "Measure how well faults are told apart, on a folder with one folder of pictures per category"
        " (nothing is written to the database), or with --library on the confirmed pictures of this"
        " installation. Beside the backbone stand the same network with random weights and LBP+HOG alone."
        " What each figure and each key of the JSON means: docs/measure.md."
    )

    def add_arguments(self, parser):
        parser.add_argument("protocol", nargs="?", choices=PROTOCOLS, default="retrieval")
        parser.add_argument("folder", nargs="?", metavar="DIR")
        parser.add_argument(
            "--library", action="store_true", help="Measure the library of this installation."
        )
        parser.add_argument("--backbone", metavar="NAME", help="Instead of the configured one (with DIR).")
        parser.add_argument("--limit", type=int, metavar="N", help="First N pictures of each category (DIR).")
        parser.add_argument(
            "--split",
            type=float,
            metavar="SHARE",
            help="Share of each category that trains; default 0.5. With retrieval only the rest is asked.",
        )
        parser.add_argument(
            "--labels", type=int, metavar="N", help="N training pictures of each category instead of a share."
        )
        parser.add_argument(
            "--partitions", type=int, default=10, metavar="N", help="Random splits; default 10."
        )
        parser.add_argument(
            "--grouped", action="store_true", help="Keep near-duplicates on one side of every split."
        )
        parser.add_argument(
            "--label-noise",
            type=float,
            default=0.0,
            metavar="SHARE",
            help="Share of wrong labels on the training side (classification).",
        )
        parser.add_argument(
            "--adapt",
            action="store_true",
            help="Also after the adaptation to the training side, on held-out pictures (retrieval).",
        )
        parser.add_argument("--seed", type=int, default=0, help="Of the random weights and the partitions.")
        parser.add_argument("--json", metavar="FILE", help="Write the figures to a file as well.")

    def handle(self, *, protocol, folder, library, json: str | None, **options):
        _check(protocol, folder, library, options)
        if json and not Path(json).resolve().parent.is_dir():
            raise CommandError(f"{Path(json).resolve().parent} is no folder: --json can't write there.")
        backbone = options["backbone"] or settings.BACKBONE
        split = None
        if protocol != "retrieval" or options["adapt"] or options["split"] or options["labels"]:
            split = Split(options["split"] or 0.5, options["labels"], options["partitions"], options["seed"])
        try:
            seen = _see(folder, backbone, options)
            results = {}
            for row in seen.vectors:
                results |= _measure(protocol, seen, row, split, options)
        except (MeasureError, WeightsError, ValueError) as error:
            raise CommandError(str(error)) from error
        except StorageAway as away:
            raise CommandError(away.reason) from away
        report = {
            "protocol": protocol,
            "source": str(folder) if folder else "library",
            "backbone": backbone,
            "images": len(seen),
            "categories": dict(sorted(Counter(seen.labels.tolist()).items())),
            "unreadable": seen.unreadable,
            "split": _split_described(split, options),
            "near_duplicates": _groups_described(seen),
            "results": results,
        }
        self._print(report)
        if json:
            _write(Path(json), report)

    def _print(self, report):
        columns = dict(_COLUMNS[report["protocol"]])
        if report["split"] and report["split"]["label_noise"]:
            columns |= _NOISE_COLUMNS
        if report["protocol"] == "classification" and report["near_duplicates"]:
            columns |= _GROUPED_COLUMNS
        self.stdout.write(
            f"{report['source']}: {report['images']} pictures in {len(report['categories'])} categories"
        )
        self.stdout.write(_protocol_sentence(report))
        for line in report["unreadable"]:
            self.stdout.write(f"  left out: {line}")
        lines = list(_lines(report))
        width = max(len(title) for title, _ in lines) + 2
        self.stdout.write(" " * width + "".join(f"{title:>15}" for title, _, _ in columns.values()))
        for title, figures in lines:
            cells = (_cell(figures.get(key), *style) for key, (_, *style) in columns.items())
            self.stdout.write(f"{title:{width}}" + "".join(f"{cell:>15}" for cell in cells))


def _lines(report):
    """Titles and figures of the table's lines."""
    for name, row in report["results"].items():
        yield name, row
        for method, figures in row.get("methods", {}).items():
            yield f"  {method}", figures
        if name == report["backbone"]:
            for category, figures in row.get("by_category", {}).items():
                yield f"  {category} unknown", figures


def _check(protocol, folder, library, options):
    if library == bool(folder):
        raise CommandError("Name either a folder or --library.")
    if library and (options["backbone"] or options["limit"]):
        raise CommandError(
            "--library measures all of it with the configured backbone: leave out --backbone and --limit."
        )
    if options["partitions"] < 1 or (options["limit"] is not None and options["limit"] < 2):
        raise CommandError("--partitions must be at least 1, and --limit at least 2.")
    if options["split"] is not None and options["labels"] is not None:
        raise CommandError("Name either --split or --labels.")
    if options["split"] is not None and not 0 < options["split"] < 1:
        raise CommandError("--split must lie between 0 and 1, such as 0.5.")
    if options["labels"] is not None and options["labels"] < 1:
        raise CommandError("--labels must be at least 1.")
    if not 0 <= options["label_noise"] < 1:
        raise CommandError("--label-noise must be a share from 0 to below 1, such as 0.2.")
    if options["label_noise"] and protocol != "classification":
        raise CommandError("--label-noise belongs to classification.")
    if options["adapt"] and protocol != "retrieval":
        raise CommandError("--adapt belongs to retrieval.")


def _see(folder, backbone, options):
    sources, stored = (folder_sources(Path(folder), options["limit"]), None) if folder else library_sources()
    return pictures_see(
        sources,
        table_rows(backbone, options["seed"]),
        _show,
        backbone=backbone,
        grouped=options["grouped"],
        stored=stored,
    )


def _measure(protocol, seen, row, split, options) -> dict[str, dict]:
    if protocol == "openset":
        return {row: openset_measure(seen, row, split, _show)}
    if protocol == "classification":
        methods = classification_measure(seen, row, split, _show, label_noise=options["label_noise"])
        return {row: {**methods.pop(PRODUCT), "methods": methods}}
    measured = {row: retrieval_measure(seen, row, split, _show)}
    if options["adapt"]:
        measured[f"{row}, adapted"] = retrieval_measure(seen, row, split, _show, fit=adaptation_fit)
    return measured


def _split_described(split, options):
    if split is None:
        return None
    return {
        "train": None if split.labels else split.train,
        "labels": split.labels,
        "partitions": split.partitions,
        "seed": split.seed,
        "label_noise": options["label_noise"],
    }


def _groups_described(seen):
    if seen.near_duplicates is None:
        return None
    sizes = Counter(seen.near_duplicates.tolist()).values()
    return {"groups": len(sizes), "largest": max(sizes), "single": list(sizes).count(1)}


def _protocol_sentence(report) -> str:
    split, groups = report["split"], report["near_duplicates"]
    sentence = f"{report['protocol']}, every picture asks all others"
    if split:
        amount = f"{split['labels']} pictures" if split["labels"] else f"{split['train']:.0%}"
        sentence = (
            f"{report['protocol']}, {split['partitions']} random partitions,"
            f" {amount} of each category to train, mean ± sd"
        )
        if split["label_noise"]:
            sentence += f", {split['label_noise']:.0%} of these labels wrong"
    if groups:
        sentence += f"; near-duplicates together: {groups['groups']} groups, the largest {groups['largest']}"
    return sentence


def _cell(figure, factor, digits) -> str:
    if figure is None:
        return ""
    mean = f"{factor * figure['mean']:.{digits}f}"
    return f"{mean} ± {factor * figure['sd']:.{digits}f}" if figure["sd"] else mean


def _write(path: Path, report: dict) -> None:
    try:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}.") from error


def _show(items, what, total):
    return tqdm(items, desc=what, total=total, unit="")
