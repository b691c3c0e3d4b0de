"""How well patches tell bad parts from good ones: PatchCore at one scale, beside random weights.

    python benchmarks/patches.py DIR [--backbone faultnet] [--bank 20000] [--json FILE]

DIR is laid out as in MVTec AD: train/good, test/good, test/KIND. Good parts of train fill a bank of patches;
a picture's score is the mean distance of its most distant patches to their nearest ones in the bank. Prints
the area under the ROC curve for all faults and for each kind. What an inspector does beyond that is measured
by benchmarks/inspection.py.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.inspection_sets import Loaded, Picture, auroc_by_kind, read_set
from vision.engine.backbones import BACKBONES, DEFAULT_BACKBONE
from vision.engine.inspection_measures import image_auroc
from vision.engine.patch_features import PatchFeatures
from vision.engine.patchcore import PatchCore
from vision.engine.weight_files import find_weights


def main() -> int:
    options = parse()
    pictures = read_set(options.folder)
    good = [one for one in pictures if one.fitted]
    tests = [one for one in pictures if not one.fitted]
    if not good or len({one.faulty for one in tests}) < 2:
        print(f"{options.folder} has no train/good, test/good and faults beside it in test.", file=sys.stderr)
        return 1
    torch.set_num_threads(options.threads)
    weights = find_weights(options.backbone, options.data)
    report = {"source": str(options.folder), "bank": options.bank, "results": {}}
    for name, file in ((options.backbone, weights), ("random weights", None)):
        features = PatchFeatures(options.backbone, file)
        report["results"][name] = measured(features, good, tests, options.bank, name)
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="Laid out as in MVTec AD.")
    parser.add_argument("--backbone", choices=list(BACKBONES), default=DEFAULT_BACKBONE)
    parser.add_argument("--bank", type=int, default=20_000, help="Patches that are kept.")
    parser.add_argument("--data", type=Path, default=ROOT / "var", help="Data folder, for weights.")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures to a file as well.")
    return parser.parse_args()


def measured(
    features: PatchFeatures, good: list[Picture], tests: list[Picture], bank: int, name: str
) -> dict[str, float]:
    """image_auroc of all faults, and of each kind against the good parts."""
    model = PatchCore(features, bank_size=bank)
    with tqdm(desc=f"{name}, good parts", total=len(good)) as bar:

        def told(step: str, done: int, total: int | None) -> None:
            bar.set_postfix_str(step, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        model.fit(Loaded(good), progress=told)
    images = Loaded(tests)
    scores = np.array([model.score([images[at]])[0] for at in tqdm(range(len(tests)), desc=f"{name}, test")])
    kinds = np.array([one.kind for one in tests])
    return {"image_auroc": image_auroc(scores, kinds != "good"), **auroc_by_kind(scores, kinds)}


def show(report: dict) -> None:
    columns = list(next(iter(report["results"].values())))
    print(f"{report['source']}, bank of {report['bank']} patches, AUROC in %")
    print(f"{'':20}" + "".join(f"{column:>14}" for column in columns))
    for name, values in report["results"].items():
        print(f"{name:20}" + "".join(f"{100 * values[column]:>14.1f}" for column in columns))


if __name__ == "__main__":
    sys.exit(main())
