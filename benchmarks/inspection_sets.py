"""Folders laid out as in MVTec AD, and how they are parted into pictures to fit and to test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vision.engine.backbones import DEFAULT_BACKBONE
from vision.engine.duplicates import fingerprint, near_duplicate_groups
from vision.engine.embedder import Embedder
from vision.engine.images import EXTENSIONS, load_image
from vision.engine.inspection_measures import image_auroc
from vision.engine.weight_files import find_weights


@dataclass(frozen=True)
class Picture:
    """A file of the set; its pixels are read when they are needed."""

    path: Path
    kind: str
    fitted: bool
    size: tuple[int, int]
    mask: Path | None

    @property
    def faulty(self) -> bool:
        return self.kind != "good"


class Loaded(Sequence):
    """Pixels of pictures, read whenever they are needed."""

    def __init__(self, pictures: Sequence[Picture]):
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, at: int) -> Image.Image:
        return load_image(self._pictures[at].path)


def read_set(folder: Path) -> list[Picture]:
    found = []
    for part, kinds in (("train", ["good"]), ("test", sorted(p.name for p in (folder / "test").iterdir()))):
        for kind in kinds:
            for path in sorted((folder / part / kind).glob("*")):
                if path.suffix.lower()[1:] not in EXTENSIONS:
                    continue
                mask = folder / "ground_truth" / kind / f"{path.stem}_mask.png"
                size = load_image(path).size
                found.append(Picture(path, kind, part == "train", size, mask if mask.exists() else None))
    return found


def duplicate_groups(pictures: list[Picture], data: Path) -> np.ndarray:
    """Near-duplicates, int64 (n,), by the default network, whose weights may lie in the folder `data`."""
    embedder = Embedder(DEFAULT_BACKBONE, find_weights(DEFAULT_BACKBONE, data))
    vectors, prints = [], []
    for one in tqdm(pictures, desc="Near-duplicates"):
        image = load_image(one.path)
        vectors.append(embedder.embed([image])[0])
        prints.append(fingerprint(image))
    return near_duplicate_groups(prints, np.stack(vectors))


def given(pictures: list[Picture]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures to fit and to test, bool (n,) each, as the folders say."""
    fitted = np.array([one.fitted for one in pictures])
    return fitted, ~fitted


def grouped(pictures: list[Picture], groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with as many good ones to test; no group of near-duplicates is on both sides."""
    faulty = np.array([one.faulty for one in pictures])
    tests = int(sum(not one.fitted and not one.faulty for one in pictures))
    held: set[int] = set()
    for group in np.random.default_rng(0).permutation(np.unique(groups[~faulty])):
        if sum(np.isin(groups, list(held)) & ~faulty) >= tests:
            break
        held.add(group)
    fitted = ~faulty & ~np.isin(groups, list(held))
    return fitted, ~fitted & ~np.isin(groups, groups[fitted])


def parted(
    pictures: list[Picture], groups: np.ndarray, sides: tuple[np.ndarray, np.ndarray]
) -> tuple[list[Picture], list[Picture], np.ndarray]:
    """Pictures to fit, pictures to test, and the groups of those to fit."""
    fitted, tested = sides
    return chosen(pictures, fitted), chosen(pictures, tested), groups[fitted]


def chosen(pictures: Sequence[Picture], which: np.ndarray) -> list[Picture]:
    return [one for one, wanted in zip(pictures, which, strict=True) if wanted]


def auroc_by_kind(scores: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """Each kind of fault against the good pictures, from scores float (n,) and kinds str (n,)."""
    return {
        str(kind): image_auroc(scores[beside], kinds[beside] == kind)
        for kind in np.unique(kinds[kinds != "good"])
        for beside in [(kinds == "good") | (kinds == kind)]
    }
