"""How well inspection from good parts alone works: pictures, pixels, false rejects, speed, contamination.

    python benchmarks/inspection.py DIR [--backbone faultnet] [--resolution PIXELS] [--skip PART ...]
        [--json FILE]

DIR is laid out as in MVTec AD: train/good, test/good, test/KIND and ground_truth/KIND/NAME_mask.png. All
figures beside random weights in the same run. "As given" the pieces to fit are partly those to test,
photographed again, so each is held out alone for the threshold. "Grouped" draws the good test pictures
anew so that no near-duplicate of a test picture, good or faulty, was fitted: pictures of pieces that were
never seen, and near-duplicates are held out together. Contamination is that of the coarse patches alone.
"""

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.stats import binom
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.inspection_sets import (
    Loaded,
    Picture,
    auroc_by_kind,
    chosen,
    duplicate_groups,
    given,
    grouped,
    parted,
    read_set,
)
from vision.engine.backbones import BACKBONES, DEFAULT_BACKBONE
from vision.engine.coreset import greedy_coreset
from vision.engine.images import load_image
from vision.engine.inspection_measures import PixelMeasures, at_threshold, bootstrap, box_holds, image_auroc
from vision.engine.mapped_pictures import PictureMapper
from vision.engine.part_inspector import PartInspector
from vision.engine.patch_features import PatchFeatures
from vision.engine.patch_sample import PatchSample
from vision.engine.patchcore import Inspection, PatchCore
from vision.engine.rejection import RejectionRule, TooFewGoodParts
from vision.engine.weight_files import find_weights

ALPHA = 0.01
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)
CORESET_STEPS = 500
TIMED = 40
FITTED_FOR_SPEED = 60
RIVAL = "wide_resnet50_2"


class Remembered:
    """Patch features of pictures, each computed once and kept in half precision."""

    def __init__(self, features: PatchFeatures):
        self.features = features
        self.space = features.space
        self._kept: dict[Path, np.ndarray] = {}

    def __call__(self, picture: Picture) -> np.ndarray:
        if picture.path not in self._kept:
            self._kept[picture.path] = self.features(load_image(picture.path)).astype(np.float16)
        return self._kept[picture.path].astype(np.float32)


def main() -> int:
    options = parse()
    pictures = read_set(options.folder)
    if not any(one.fitted for one in pictures) or len({one.kind for one in pictures}) < 2:
        print(f"{options.folder} has no train/good, or no faults in test.", file=sys.stderr)
        return 1
    torch.set_num_threads(options.threads)
    weights = find_weights(options.backbone, options.data)
    report = {
        "source": str(options.folder),
        "backbone": options.backbone,
        "resolution": options.resolution,
        "processor_threads": options.threads,
    }
    good = [one for one in pictures if one.fitted]
    duplicates = duplicate_groups(pictures, options.data)
    mapper_of = partial(PictureMapper, resolution=options.resolution)
    report["results"] = {}
    for name, file in ((options.backbone, weights), ("random weights", None)):
        if file is None and "random" in options.skip:
            continue
        mapper = mapper_of(options.backbone, file)
        report["results"][name] = {
            variant: evaluated(
                mapper, *parted(pictures, groups, sides), f"{name}, {variant}", options.threads
            )
            for variant, sides, groups in (
                ("as given", given(pictures), np.arange(len(pictures))),
                ("grouped", grouped(pictures, duplicates), duplicates),
            )
        }
    features = Remembered(PatchFeatures(options.backbone, weights, resolution=options.resolution))
    if "contamination" not in options.skip:
        report["contamination"] = contaminated(features, pictures, duplicates)
    if "coreset" not in options.skip:
        report["coreset"] = coreset_speed(features, good)
    if "speed" not in options.skip:
        report["speed"] = {
            options.backbone: speed(mapper_of(options.backbone, weights), good, options.threads),
            f"{RIVAL}, random weights": speed(mapper_of(RIVAL, None), good, options.threads),
        }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="Laid out as in MVTec AD.")
    parser.add_argument("--backbone", choices=list(BACKBONES), default=DEFAULT_BACKBONE)
    parser.add_argument(
        "--resolution", type=int, metavar="PIXELS", help="That of the inspector; default: the network's own."
    )
    parser.add_argument("--data", type=Path, default=ROOT / "var", help="Data folder, for weights.")
    parser.add_argument(
        "--skip",
        nargs="*",
        default=[],
        choices=["random", "contamination", "coreset", "speed"],
        help="Parts to leave out.",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures to a file as well.")
    return parser.parse_args()


def evaluated(
    mapper: PictureMapper,
    good: list[Picture],
    tests: list[Picture],
    groups: np.ndarray,
    name: str,
    threads: int,
) -> dict:
    """Fit to good pictures and judge the tests, with measures of pictures, of pixels and at a threshold."""
    start = time.perf_counter()
    with tqdm(desc=name, total=1.0) as bar:
        model = PartInspector(mapper, threads=threads).fit(Loaded(good), groups, progress=follow(bar))
    fit = {
        "seconds": time.perf_counter() - start,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    pixels = PixelMeasures(-1, 20 * model.level_)
    scores, hits = [], []
    for one in tqdm(tests, desc=name):
        seen = model.inspect([load_image(one.path)])[0]
        scores.append(seen.score)
        if one.faulty and one.mask:
            mask = np.asarray(load_image(one.mask).convert("L")) > 127
            pixels.add(seen.map, mask)
            if mask.any():
                hits.append((held_by_hottest_box(seen, mask), held_by_peak(seen, mask)))
        elif not one.faulty:
            pixels.add(seen.map, None)
    scores, kinds = np.array(scores), np.array([one.kind for one in tests])
    faulty = kinds != "good"
    result = {
        "pictures": {"fitted": len(good), "good": int(sum(~faulty)), "faulty": int(sum(faulty))},
        "fit": fit,
        "choice": asdict(model.choice_),
        "image_auroc": asdict(bootstrap(image_auroc, scores, faulty)),
        "by_kind": auroc_by_kind(scores, kinds),
        "rejected": rejected(model.good_scores_, scores, faulty),
    }
    if pixels.regions:
        in_box, on_peak = np.mean(hits, axis=0)
        result |= {
            "pixel_auroc": pixels.auroc(),
            "aupro": pixels.aupro(),
            "centre_in_hottest_box": float(in_box),
            "peak_on_mask": float(on_peak),
        }
    return result


def follow(bar: tqdm):
    """Show the steps of a fit, and how far the present one is."""

    def told(step: str, done: int, total: int | None) -> None:
        bar.set_postfix_str(step, refresh=False)
        bar.n = round(done / (total or 1), 2)
        bar.refresh()

    return told


def held_by_hottest_box(seen: Inspection, mask: np.ndarray) -> bool:
    return box_holds(seen.hottest.region.box, mask)


def held_by_peak(seen: Inspection, mask: np.ndarray) -> bool:
    """Whether the hottest place lies on the mask, or within five pixels of it."""
    row, column = np.unravel_index(seen.map.argmax(), seen.map.shape)
    return bool(cv2.dilate(mask.astype(np.uint8), np.ones((11, 11)))[row, column])


def rejected(good: np.ndarray, scores: np.ndarray, faulty: np.ndarray) -> dict:
    """Recall and false rejects at the threshold of good parts that were held out in turns."""
    try:
        rule = RejectionRule(alpha=ALPHA).fit(good)
    except TooFewGoodParts as error:
        return {"refused": str(error)}
    count = int(sum(~faulty))
    # The range of 95 in 100 sets of so many good parts of which each is rejected with the chance alpha.
    low, high = binom.ppf([0.025, 0.975], count, ALPHA) / count
    return asdict(at_threshold(scores, faulty, rule.threshold_)) | {
        "threshold": rule.threshold_,
        "binomial_interval": [float(low), float(high)],
    }


def contaminated(features: Remembered, pictures: list[Picture], groups: np.ndarray) -> list[dict]:
    """Faulty pictures among the fitted ones, with and without the filter of lonely patches.

    The faulty ones that are tested share no near-duplicates with those that may be fitted.
    """
    faulty = np.array([one.faulty for one in pictures])
    rng = np.random.default_rng(0)
    kinds_of_groups = rng.permutation(np.unique(groups[faulty]))
    slipped = faulty & np.isin(groups, kinds_of_groups[::2])
    tests = chosen(pictures, ~np.array([one.fitted for one in pictures]) & ~slipped)
    good = [one for one in pictures if one.fitted]
    bad = [chosen(pictures, slipped)[at] for at in rng.permutation(int(slipped.sum()))]
    truth = np.array([one.faulty for one in tests])
    rows = []
    for share in tqdm(SHARES, desc="Contamination"):
        count = min(len(bad), round(share / (1 - share) * len(good)))
        clean = (
            good
            if not share
            else [good[at] for at in rng.permutation(len(good))][: round(count / share) - count]
        )
        if len(clean) < 2:
            continue
        row = {"share": share, "good": len(clean), "faulty": count}
        for name, limit in (("filter", PatchCore(features).lonely_from), ("no_filter", None)):
            model = PatchCore(features, lonely_from=limit).fit(clean + bad[:count])
            row[name] = image_auroc(model.score(tests), truth)
        rows.append(row)
    return rows


def coreset_speed(features: Remembered, good: list[Picture]) -> dict:
    """Seconds of the same steps on the same patches: one product a step, and a difference norm a step."""
    sample = PatchSample(PatchCore(features).sample_size)
    for one in good:
        sample.add(features(one), one.size)
    patches, _ = sample.taken()
    start = time.perf_counter()
    mine = greedy_coreset(patches, CORESET_STEPS)
    ours = time.perf_counter() - start
    rows = torch.from_numpy(patches)
    start = time.perf_counter()
    usual = [int(mine[0])]
    nearest = torch.linalg.vector_norm(rows - rows[usual[0]], dim=1)
    while len(usual) < CORESET_STEPS:
        usual.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, torch.linalg.vector_norm(rows - rows[usual[-1]], dim=1))
    plain = time.perf_counter() - start
    same = float(np.mean(np.array(usual) == mine))
    return {"patches": list(patches.shape), "steps": CORESET_STEPS, "seconds": ours,
            "usual_loop_seconds": plain, "times": plain / ours, "same_choice": same}  # fmt: skip


def speed(mapper: PictureMapper, good: list[Picture], threads: int) -> dict:
    """Pictures a second from decoded pixels to score and map."""
    images = [load_image(one.path) for one in good[:TIMED]]
    model = PartInspector(mapper, most_drawn=20, threads=threads)
    model.fit(Loaded(good[:: max(1, len(good) // FITTED_FOR_SPEED)]))
    model.inspect(images[:2])
    start = time.perf_counter()
    for image in images:
        model.inspect([image])
    single = len(images) / (time.perf_counter() - start)
    start = time.perf_counter()
    model.inspect(images)
    banks = {scale: len(bank.bank_) for scale, bank in model.patches_.items()}
    return {"banks": banks, "single": single, "batch": len(images) / (time.perf_counter() - start)}


def show(report: dict) -> None:
    print(f"{report['source']}, {report['processor_threads']} threads")
    for name, variants in report["results"].items():
        for variant, found in variants.items():
            print(f"\n{name}, {variant} {found['pictures']}")
            show_measures(found)
    if "contamination" in report:
        print("\nFaulty among the fitted: share, image AUROC with and without the filter")
        for row in report["contamination"]:
            print(
                f"  {row['share']:.0%} ({row['faulty']} of {row['faulty'] + row['good']}):"
                f" {100 * row['filter']:.1f}, {100 * row['no_filter']:.1f}"
            )
    if "coreset" in report:
        core = report["coreset"]
        print(
            f"\nCoreset: {core['steps']} steps of {core['patches']} in {core['seconds']:.1f} s, usual loop"
            f" {core['usual_loop_seconds']:.1f} s ({core['times']:.1f} times),"
            f" same choice {core['same_choice']:.0%}"
        )
    for name, found in report.get("speed", {}).items():
        print(f"{name}: {found['single']:.1f} pictures a second one by one, {found['batch']:.1f} in a batch")


def show_measures(found: dict) -> None:
    auroc = found["image_auroc"]
    kinds = ", ".join(f"{kind} {100 * value:.1f}" for kind, value in found["by_kind"].items())
    print(f"  fitted in {found['fit']['seconds']:.0f} s, peak {found['fit']['peak_memory_mib']:.0f} MiB")
    print(f"  heard: {found['choice']['opinion']}, AUROC on drawn faults {found['choice']['auroc']}")
    print(
        f"  image AUROC {100 * auroc['value']:.1f}"
        f" ({100 * auroc['low']:.1f} to {100 * auroc['high']:.1f}); {kinds}"
    )
    for key in ("pixel_auroc", "aupro", "centre_in_hottest_box", "peak_on_mask"):
        if key in found:
            print(f"  {key} {100 * found[key]:.1f}")
    print(f"  at alpha {ALPHA:.0%}: {found['rejected']}")


if __name__ == "__main__":
    sys.exit(main())
