"""manage.py inspector: train inspectors on good parts, evaluate them, and inspect pictures."""

import json
import re
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from cases.management.watching import job_do
from cases.services.intake import Picture
from cases.storages import StorageAway
from vision.engine.backbones import WeightsError
from vision.engine.images import EXTENSIONS
from vision.models import Evaluation, Inspection, Inspector, InspectorVersion
from vision.models.inspection import HoldOut, Rule
from vision.services.inspection.charts import roc_chart, scores_chart
from vision.services.inspection.drawings import inspection_heat, inspection_overlay
from vision.services.inspection.evaluation import (
    EvaluationRefused,
    version_evaluate,
    version_evaluate_start,
)
from vision.services.inspection.inspecting import pictures_inspect
from vision.services.inspection.inspectors import inspector_change, inspector_create, inspector_find
from vision.services.inspection.pictures import PictureUnreadable, folder_add, folder_find
from vision.services.inspection.training import (
    TrainingRefused,
    inspector_train,
    inspector_train_start,
    inspector_training,
)
from vision.services.inspection.versions import InspectorUnusable, version_activate, version_active

#: Options of train that are noted with the inspector.
_WANTED = ("backbone", "resolution", "rule", "alpha", "hold_out")
_OWN = "own"
ACTIONS = ("train", "evaluate", "inspect")


class Command(BaseCommand):
    help = (
        "Inspection from pictures of good parts alone. train: learn from DIR/train/good; evaluate: judge the"
        " active version on DIR/test and DIR/ground_truth; inspect: a verdict for every picture below DIR."
        " DIR has the layout of MVTec AD. The work is done here; a server need not run."
    )

    def add_arguments(self, parser):
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("--part", metavar="P", help="The inspector's name, or the number of its part.")
        parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="Folder with pictures.")
        parser.add_argument(
            "--all",
            action="store_true",
            help="Every folder in DIR that has train/good, each with the inspector of its name.",
        )
        parser.add_argument("--backbone", metavar="NAME", help="Network whose patches are compared (train).")
        parser.add_argument(
            "--resolution",
            type=_pixels_or_own,
            metavar="PIXELS",
            help="Side of a square with the area that pictures are brought to, 1024 at most, or own: that of"
            " the network (train).",
        )
        parser.add_argument("--rule", choices=Rule.values, help="How the threshold is set (train).")
        parser.add_argument("--alpha", type=float, metavar="SHARE", help="False-reject rate (train).")
        parser.add_argument(
            "--hold-out", choices=HoldOut.values, help="What is new when it inspects (train); default parts."
        )
        parser.add_argument(
            "--activate", action="store_true", help="Have the trained version serve, also instead of another."
        )
        parser.add_argument("--device", choices=["cpu", "cuda"], help="Default: cuda where there is one.")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="DIR",
            help="Write overlays and heat maps (inspect, evaluate), roc_curve.png and"
            " score_distribution.png (evaluate) into this folder.",
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures to a file as well.")

    def handle(self, *, action, data, json: Path | None, **options):
        if not data.is_dir():
            raise CommandError(f"{data} is no folder.")
        if json and not json.resolve().parent.is_dir():
            raise CommandError(f"{json.resolve().parent} is no folder: --json can't write there.")
        if options["all"] == bool(options["part"]):
            raise CommandError("Name the inspector with --part P, or take every folder with --all.")
        report = {}
        for name, folder in _folders(data, options):
            try:
                report[name] = getattr(self, f"_{action}")(name, folder, options)
            except _REFUSALS as error:
                raise CommandError(_words(error)) from error
            except KeyboardInterrupt:
                raise CommandError(
                    "Stopped. What was under way is not lost: run the command again, or leave it to a running"
                    " server, whose workers take it up within a minute."
                ) from None
        if json:
            json.write_text(_json(report if options["all"] else report[options["part"]]), encoding="utf-8")

    def _train(self, name: str, folder: Path, options) -> dict:
        found = [one for one in folder_find(folder) if one.purpose == "fit"]
        if not found:
            raise CommandError(
                f"{folder} has no pictures in train/good: that is where good parts are looked for."
            )
        wanted = {key: options[key] for key in _WANTED if options[key] is not None}
        if wanted.get("resolution") == _OWN:
            wanted["resolution"] = None
        inspector = inspector_find(name)
        inspector = inspector_change(inspector, **wanted) if inspector else inspector_create(name, **wanted)
        self._add(inspector, found)
        job = inspector_training(inspector) or inspector_train_start(inspector, enqueue=False)
        job_do(job, lambda progress: inspector_train(progress, device=options["device"]), self.stdout)
        version = InspectorVersion.objects.get(job=job)
        if options["activate"]:
            version_activate(version)
        elif version.state != InspectorVersion.State.ACTIVE:
            self.stdout.write(
                f"Another version serves: --activate, or the page of {inspector}, changes that."
            )
        return _about(version)

    def _evaluate(self, name: str, folder: Path, options) -> dict:
        inspector = _known(name)
        version = version_active(inspector)
        self._add(inspector, [one for one in folder_find(folder) if one.purpose == "test"])
        job = version_evaluate_start(version, enqueue=False)
        job_do(job, version_evaluate, self.stdout)
        evaluation = Evaluation.objects.get(job=job)
        self._print(evaluation.measures)
        if options["output"]:
            target = options["output"] / name if options["all"] else options["output"]
            self._draw(evaluation, target)
        return _about(version) | evaluation.measures

    def _inspect(self, name: str, folder: Path, options) -> dict:
        inspector = _known(name)
        version = version_active(inspector)
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower()[1:] in EXTENSIONS and "ground_truth" not in path.parts
        )
        if not paths:
            raise CommandError(f"{folder} has no pictures.")
        results = []
        for path in tqdm(paths, desc=f"Inspecting {name}"):
            shown = str(path.relative_to(folder))
            try:
                (row,) = pictures_inspect(inspector, [Picture(path.name, path.read_bytes())])
            except ValidationError as error:
                self.stderr.write(f"{shown}: {' '.join(error.messages)}")
                continue
            results.append(_result(shown, row))
            if options["output"]:
                target = options["output"] / name if options["all"] else options["output"]
                _write_pictures(row, target / Path(shown).with_suffix(""))
        for result in results:
            self.stdout.write(f"{result['verdict'].upper():9} {result['score']:8.3f}  {result['picture']}")
        counted = dict.fromkeys(Inspection.Verdict.values, 0)
        for result in results:
            counted[result["verdict"]] += 1
        self.stdout.write(
            ", ".join(f"{count} {verdict}" for verdict, count in counted.items() if count) or "-"
        )
        return _about(version) | {"counts": counted, "inspections": results}

    def _add(self, inspector: Inspector, found) -> None:
        known = inspector.pictures.count()
        with tqdm(total=len(found), desc=f"Reading pictures of {inspector}") as bar:
            for one, problem in zip(found, folder_add(inspector, found), strict=True):
                bar.update()
                if problem:
                    self.stderr.write(f"{one.path}: {problem}")
        total = inspector.pictures.count()
        self.stdout.write(f"{inspector} knows {total} pictures, {total - known} of them new.")

    def _print(self, measures: dict) -> None:
        for key in ("image_auroc", "pixel_auroc", "aupro", "f1", "precision", "recall", "false_reject_rate"):
            if key not in measures:
                continue
            value = measures[key]
            interval = ""
            if isinstance(value, dict):
                interval = f"  ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
                value = value["value"]
            self.stdout.write(f"  {key:18} {100 * value:5.1f} %{interval}")
        for defect, found in measures["by_defect"].items():
            words = [f"{100 * found[key]:.1f} % {key}" for key in ("image_auroc", "recall") if key in found]
            self.stdout.write(f"  {defect:18} {found['count']} pictures, {', '.join(words)}")
        for note in measures["notes"]:
            self.stdout.write(f"  {note}")

    def _draw(self, evaluation: Evaluation, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        if "roc" in evaluation.measures:
            (target / "roc_curve.png").write_bytes(roc_chart(evaluation.measures))
        (target / "score_distribution.png").write_bytes(scores_chart(evaluation.measures))
        rows = evaluation.inspections.select_related("file", "version")
        for row in tqdm(rows.iterator(), total=rows.count(), desc="Drawing"):
            _write_pictures(row, target / _folder_name(row.truth or "good") / Path(row.name).stem)


_REFUSALS = (
    EvaluationRefused,
    PictureUnreadable,
    InspectorUnusable,
    OSError,
    StorageAway,
    TrainingRefused,
    ValidationError,
    WeightsError,
)


def _pixels_or_own(given: str) -> int | str:
    return given if given == _OWN else int(given)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return error.reason if isinstance(error, StorageAway) else str(error)


def _folders(data: Path, options) -> list[tuple[str, Path]]:
    if not options["all"]:
        return [(options["part"], data)]
    found = [(path.name, path) for path in sorted(data.iterdir()) if (path / "train" / "good").is_dir()]
    if not found:
        raise CommandError(f"{data} has no folder with train/good in it.")
    return found


def _known(name: str) -> Inspector:
    inspector = inspector_find(name)
    if inspector is None:
        raise CommandError(f"There is no inspector {name}. Train it first: inspector train --part {name}")
    return inspector


def _about(version: InspectorVersion) -> dict:
    return {
        "inspector": version.inspector.name,
        "version": version.number,
        "backbone": version.backbone,
        "resolution": version.resolution,
        "rule": version.rule,
        "alpha": version.alpha,
        "threshold": version.threshold,
        "reason": version.reason,
        "learned_from": len(version.learned_from),
        "held_out": len(version.held_out),
        "seconds": version.seconds,
    }


def _result(shown: str, row: Inspection) -> dict:
    return {
        "picture": shown,
        "verdict": row.verdict,
        "score": row.score,
        "threshold": row.threshold,
        "p_value": row.p_value,
        "regions": [{"box": region["box"], "peak": region["peak"]} for region in row.regions],
        "notes": row.notes,
    }


def _folder_name(defect: str) -> str:
    """A defect type as one folder: people may name it anything, also ../x."""
    return re.sub(r"[^\w -]+", "_", defect)


def _write_pictures(row: Inspection, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_name(f"{stem.name}_overlay.png").write_bytes(inspection_overlay(row))
    stem.with_name(f"{stem.name}_heatmap.png").write_bytes(inspection_heat(row))


def _json(report: dict) -> str:
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"
