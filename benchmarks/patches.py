"""How well patches tell bad parts from good ones: nearest neighbours of patches, beside random weights.

    python benchmarks/patches.py DIR [--backbone faultnet] [--bank 70000] [--json FILE]

DIR is laid out as in MVTec AD: train/good, test/good, test/KIND. Good parts of train fill a bank of patches;
a picture's score is the mean distance of its most distant patches to their nearest ones in the bank. Prints
the area under the ROC curve for all faults and for each kind.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vision.engine.backbones import BACKBONES, DEFAULT_BACKBONE
from vision.engine.images import EXTENSIONS, load_image
from vision.engine.patch_features import PatchFeatures
from vision.engine.weight_files import find_weights

#: Share of a picture's patches that make its score.
TOP_SHARE = 0.03


def main() -> int:
    options = parse()
    folder = options.folder
    good = pictures(folder / "train" / "good")
    kinds = sorted(path.name for path in (folder / "test").iterdir() if path.is_dir())
    tests = [(kind, path) for kind in kinds for path in pictures(folder / "test" / kind)]
    if not good or "good" not in kinds or len(kinds) < 2:
        print(f"{folder} has no train/good, test/good and faults beside it in test.", file=sys.stderr)
        return 1
    torch.set_num_threads(options.threads)
    weights = find_weights(options.backbone, options.data)
    report = {"source": str(folder), "bank": options.bank, "results": {}}
    for name, file in ((options.backbone, weights), ("random weights", None)):
        features = PatchFeatures(options.backbone, file)
        bank = filled_bank(features, good, options.bank, name)
        scores = np.array([score(features, path, bank) for _, path in tqdm(tests, desc=f"{name}, test")])
        report["results"][name] = figures(scores, np.array([kind for kind, _ in tests]))
    show(report, kinds)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="Laid out as in MVTec AD.")
    parser.add_argument("--backbone", choices=list(BACKBONES), default=DEFAULT_BACKBONE)
    parser.add_argument("--bank", type=int, default=70_000, help="Patches that are kept, drawn at random.")
    parser.add_argument("--data", type=Path, default=ROOT / "var", help="Data folder, for weights.")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures to a file as well.")
    return parser.parse_args()


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower()[1:] in EXTENSIONS)


def filled_bank(features: PatchFeatures, good: list[Path], size: int, name: str) -> torch.Tensor:
    """Patches (m, d) of good parts, at most `size`, the same number of each picture."""
    rng = np.random.default_rng(0)
    share = -(-size // len(good))
    parts = []
    for path in tqdm(good, desc=f"{name}, good parts"):
        flat = features(load_image(path)).reshape(-1, features.dimension)
        parts.append(flat[rng.permutation(len(flat))[:share]])
    bank = np.concatenate(parts)
    return torch.from_numpy(bank[rng.permutation(len(bank))[:size]])


def score(features: PatchFeatures, path: Path, bank: torch.Tensor) -> float:
    patches = torch.from_numpy(features(load_image(path))).flatten(0, 1)
    distances = torch.cdist(patches, bank, compute_mode="use_mm_for_euclid_dist").amin(1)
    return float(distances.topk(max(1, round(TOP_SHARE * len(distances)))).values.mean())


def figures(scores: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """image_auroc of all faults, and of each kind against the good parts."""
    good = kinds == "good"
    by_kind = {
        str(kind): float(roc_auc_score(kinds[good | (kinds == kind)] == kind, scores[good | (kinds == kind)]))
        for kind in np.unique(kinds[~good])
    }
    return {"image_auroc": float(roc_auc_score(~good, scores)), **by_kind}


def show(report: dict, kinds: list[str]) -> None:
    columns = ["image_auroc", *(kind for kind in kinds if kind != "good")]
    print(f"{report['source']}, bank of {report['bank']} patches, AUROC in %")
    print(f"{'':20}" + "".join(f"{column:>14}" for column in columns))
    for name, values in report["results"].items():
        print(f"{name:20}" + "".join(f"{100 * values[column]:>14.1f}" for column in columns))


if __name__ == "__main__":
    sys.exit(main())
