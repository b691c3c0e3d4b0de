"""Inspection by two opinions: PatchCore, and a head that knows drawn faults, each heard where it helps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vision.engine.anomaly_regions import Region, anomaly_regions
from vision.engine.array_folder import folder_open, folder_write
from vision.engine.drawn_faults import Example, draw_examples
from vision.engine.fault_head import FaultHead
from vision.engine.folds import grouped_folds
from vision.engine.opinions import FAMILIES, Choice, Scores, Surprise, Trial, choose, joined_scores
from vision.engine.patch_features import MappedPatches, MappedPicture, PatchFeatures
from vision.engine.patchcore import Inspection, PatchCore, Progress, anomaly_map

KIND = "two opinions on good parts"
FORMAT = 1
#: How often everything is learned without a part of the good pictures.
_FOLDS = 4
#: Share of the places of good pictures that lie below the level of regions.
_BELOW_LEVEL = 0.995
#: Standard deviation of the Gaussian over the head's grid, in its steps.
_SMOOTHING = 1.0


@dataclass(frozen=True)
class JoinedInspection:
    """What is seen of a picture of `size` (width, height): the chosen score (higher is worse), and where.

    `grid` float32 (rows, columns) says how bad each place looks, `regions` are those above the usual level,
    worst first. `patches` is what PatchCore by itself sees, with the good patches that are most alike;
    `head_score` is the head's, 0 where it is not heard.
    """

    score: float
    grid: np.ndarray
    size: tuple[int, int]
    regions: tuple[Region, ...]
    patches: Inspection
    head_score: float = 0.0

    @property
    def map(self) -> np.ndarray:
        """The grid at the picture's own size, float32 (height, width)."""
        return anomaly_map(self.grid, self.size)


class TwoOpinions:
    """Learns from good pictures alone; decides by drawn faults who is heard. Safe to share once fitted.

    `features` give the maps: the last `layers` of them are what PatchCore compares, all of them what the head
    sees. `make_patches` builds the PatchCore for given features, `make_head` the head. On each good picture
    `faults` faults are drawn, but on no more than `most_drawn` pictures.

    Learned: `patches_`, `head_` (None where it is not heard), `choice_`, `good_`, the Scores of all good
    pictures by what was learned without them and their near-duplicates, `places_`, what is usual of their
    places, and `level_`, above which nearly none of these lie.
    """

    def __init__(
        self,
        features: PatchFeatures,
        *,
        layers: int = 2,
        faults: int = 2,
        most_drawn: int = 800,
        make_patches: Callable[[MappedPatches], PatchCore] = PatchCore,
        make_head: Callable[..., FaultHead] = FaultHead,
        seed: int = 0,
    ):
        self.features = features
        self.mapped = MappedPatches(features.space, layers)
        self.faults = faults
        self.most_drawn = most_drawn
        self.make_patches = make_patches
        self.make_head = partial(make_head, features.space)
        self.seed = seed

    def fit(
        self,
        pictures: Sequence[Image.Image],
        groups: np.ndarray | None = None,
        *,
        progress: Progress | None = None,
    ) -> "TwoOpinions":
        """Learn from good pictures; equal `groups` (n,) are near-duplicates, which are never apart.

        Raises ValueError for fewer than two groups.
        """
        groups = np.arange(len(pictures)) if groups is None else groups
        folds = grouped_folds(np.zeros(len(groups)), groups, _FOLDS)
        if len(groups) < 2 or folds.max() < 1:
            raise ValueError("Two opinions need good pictures of two parts or more.")
        report = progress or (lambda step, done, total: None)
        examples = self._examples(pictures, report)
        patches, head = np.empty(len(examples)), np.empty(len(examples))
        trials, grids = [], []
        for fold in range(int(folds.max()) + 1):
            own = np.flatnonzero(folds == fold)
            others = [examples[at] for at in np.flatnonzero(folds != fold)]
            trial, seen = self._trial([examples[at] for at in own], others, FAMILIES[fold], report)
            trials.append(trial)
            patches[own], head[own] = trial.good.patches, seen.scores
            grids += seen.grids
        self.choice_ = choose([trial for trial in trials if len(trial.drawn.head)])
        self.good_ = Scores(patches, head)
        self._surprises = Surprise().fit(patches), Surprise().fit(head)
        self.places_ = tuple(
            Surprise().fit(np.concatenate([one.ravel() for one in of_opinion]))
            for of_opinion in zip(*grids, strict=True)
        )
        usual = np.concatenate([self._joined_grid(*both).ravel() for both in grids])
        self.level_ = float(np.quantile(usual, _BELOW_LEVEL))
        self.patches_ = self.make_patches(self.mapped).fit([one.good for one in examples], progress=progress)
        self.head_ = None
        if self.choice_.opinion != "patches":
            self.head_ = self.make_head().fit(examples, progress=progress)
        return self

    def inspect(self, images: Iterable[Image.Image]) -> list[JoinedInspection]:
        """Look at pictures of any size; the network sees each once."""
        return [self._inspection(MappedPicture(self.features.maps(image), image.size)) for image in images]

    def _inspection(self, picture: MappedPicture) -> JoinedInspection:
        patches = self.patches_.inspect([picture])[0]
        logits = self.head_.grid(picture) if self.head_ else None
        head = self.head_.score(logits) if self.head_ else 0.0
        score = float(self.joined(Scores(np.array([patches.score]), np.array([head])))[0])
        grid = self._joined_grid(patches.grid, logits)
        regions = tuple(anomaly_regions(anomaly_map(grid, picture.size), self.level_))
        return JoinedInspection(score, grid, picture.size, regions, patches, head)

    def joined(self, scores: Scores) -> np.ndarray:
        """Scores of the chosen opinion, float64 (n,)."""
        return joined_scores(self.choice_.opinion, scores, *self._surprises)

    def save(self, folder: Path) -> None:
        """Write everything into a folder that does not exist yet. Raises FileExistsError, OSError."""
        self.patches_.save(folder / "patches")
        if self.head_:
            self.head_.save(folder / "head")
        about = {
            "choice": asdict(self.choice_),
            "level": self.level_,
            "places": [asdict(one) for one in self.places_],
        }
        folder_write(folder / "opinions", KIND, FORMAT, about, vars(self.good_))

    @classmethod
    def open(
        cls, folder: Path, features: PatchFeatures, *, layers: int = 2, threads: int = 1
    ) -> "TwoOpinions":
        """What was saved. Raises FolderError, see `PatchCore.open`."""
        about, arrays = folder_open(folder / "opinions", KIND, FORMAT)
        model = cls(features, layers=layers)
        model.choice_, model.good_ = Choice(**about["choice"]), Scores(**arrays)
        model._surprises = Surprise().fit(model.good_.patches), Surprise().fit(model.good_.head)
        model.level_ = about["level"]
        model.places_ = tuple(Surprise(**one) for one in about["places"])
        model.patches_ = PatchCore.open(folder / "patches", model.mapped, threads=threads)
        heard = model.choice_.opinion != "patches"
        model.head_ = FaultHead.open(folder / "head", features.space) if heard else None
        return model

    def _joined_grid(self, patches: np.ndarray, logits: np.ndarray | None) -> np.ndarray:
        """One grid of the chosen opinion from those of both: float32, the head's where it is heard."""
        if self.choice_.opinion == "patches":
            return patches
        logits = cv2.GaussianBlur(logits, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT)
        finer = cv2.resize(patches, logits.shape[::-1], interpolation=cv2.INTER_LINEAR)
        joined = joined_scores(self.choice_.opinion, Scores(finer, logits), *self.places_)
        return joined.astype(np.float32)

    def _examples(self, pictures: Sequence[Image.Image], report: Progress) -> list[Example]:
        on = set(np.random.default_rng(self.seed).permutation(len(pictures))[: self.most_drawn].tolist())
        examples: list[Example] = []
        for example in draw_examples(pictures, self.features, faults=self.faults, on=on, seed=self.seed):
            examples.append(example)
            report("draw", len(examples), len(pictures))
        return examples

    def _trial(
        self, own: list[Example], others: list[Example], family: tuple[str, ...], report: Progress
    ) -> tuple[Trial, "_Held"]:
        """A trial on `own`, and what a head that knows all kinds says of the good ones."""
        patches = self.make_patches(self.mapped).fit([one.good for one in others], progress=report)
        known = self.make_head().fit(others, progress=report)
        blind = self.make_head().fit([_without(one, family) for one in others], progress=report)
        good = [one.good for one in own]
        drawn = [one.picture for example in own for one in example.faulty if one.kind in family]
        seen = [patches.inspect([picture])[0] for picture in good]
        logits = [known.grid(picture) for picture in good]
        trial = Trial(
            Scores(np.array([one.score for one in seen]), _scores(blind, good)),
            Scores(patches.score(drawn), _scores(blind, drawn)),
        )
        scores = np.array([known.score(grid) for grid in logits])
        return trial, _Held(scores, [(one.grid, grid) for one, grid in zip(seen, logits, strict=True)])


@dataclass(frozen=True)
class _Held:
    """Scores of good pictures by a head that never saw them, and their grids by the patches and by it."""

    scores: np.ndarray
    grids: list[tuple[np.ndarray, np.ndarray]]


def _without(example: Example, family: tuple[str, ...]) -> Example:
    return replace(example, faulty=tuple(one for one in example.faulty if one.kind not in family))


def _scores(head: FaultHead, pictures: Sequence[MappedPicture]) -> np.ndarray:
    return np.array([head.score(head.grid(picture)) for picture in pictures])
