"""Inspection by two opinions: PatchCore, and a head that knows drawn faults, each heard where it helps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from vision.engine.array_folder import folder_open, folder_write
from vision.engine.drawn_faults import Example, draw_examples
from vision.engine.fault_head import FaultHead
from vision.engine.folds import grouped_folds
from vision.engine.opinions import FAMILIES, Choice, Scores, Surprise, Trial, choose, joined_scores
from vision.engine.patch_features import MappedPatches, MappedPicture, PatchFeatures
from vision.engine.patchcore import Inspection, PatchCore, Progress

KIND = "two opinions on good parts"
FORMAT = 1
#: How often everything is learned without a part of the good pictures.
_FOLDS = 4


@dataclass(frozen=True)
class JoinedInspection:
    """What both see of a picture: `score` of the chosen opinion (higher is worse), and each by itself.

    `head_grid` float32 (rows, columns) are logits of the head, finer than the grid of `patches`; None and the
    score 0 where the head is not heard.
    """

    score: float
    patches: Inspection
    head_score: float = 0.0
    head_grid: np.ndarray | None = None


class TwoOpinions:
    """Learns from good pictures alone; decides by drawn faults who is heard. Safe to share once fitted.

    `features` give the maps: the last `layers` of them are what PatchCore compares, all of them what the head
    sees. `make_patches` builds the PatchCore for given features, `make_head` the head. On each good picture
    `faults` faults are drawn, but on no more than `most_drawn` pictures.

    Learned: `patches_`, `head_` (None where it is not heard), `choice_`, and `good_`, the Scores of all good
    pictures by what was learned without them and their near-duplicates.
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
        patches, head, trials = np.empty(len(examples)), np.empty(len(examples)), []
        for fold in range(int(folds.max()) + 1):
            own = np.flatnonzero(folds == fold)
            others = [examples[at] for at in np.flatnonzero(folds != fold)]
            trial, known = self._trial([examples[at] for at in own], others, FAMILIES[fold], report)
            patches[own], head[own] = trial.good.patches, known
            trials.append(trial)
        self.choice_ = choose([trial for trial in trials if len(trial.drawn.head)])
        self.good_ = Scores(patches, head)
        self._listen()
        self.patches_ = self.make_patches(self.mapped).fit([one.good for one in examples], progress=progress)
        self.head_ = None
        if self.choice_.opinion != "patches":
            self.head_ = self.make_head().fit(examples, progress=progress)
        return self

    def inspect(self, images: Iterable[Image.Image]) -> list[JoinedInspection]:
        """Look at pictures of any size; the network sees each once."""
        seen = []
        for image in images:
            picture = MappedPicture(self.features.maps(image), image.size)
            patches = self.patches_.inspect([picture])[0]
            grid = self.head_.grid(picture) if self.head_ else None
            head = self.head_.score(grid) if self.head_ else 0.0
            score = float(self.joined(Scores(np.array([patches.score]), np.array([head])))[0])
            seen.append(JoinedInspection(score, patches, head, grid))
        return seen

    def joined(self, scores: Scores) -> np.ndarray:
        """Scores of the chosen opinion, float64 (n,)."""
        return joined_scores(self.choice_.opinion, scores, *self._surprises)

    def save(self, folder: Path) -> None:
        """Write everything into a folder that does not exist yet. Raises FileExistsError, OSError."""
        self.patches_.save(folder / "patches")
        if self.head_:
            self.head_.save(folder / "head")
        folder_write(folder / "opinions", KIND, FORMAT, {"choice": asdict(self.choice_)}, vars(self.good_))

    @classmethod
    def open(
        cls, folder: Path, features: PatchFeatures, *, layers: int = 2, threads: int = 1
    ) -> "TwoOpinions":
        """What was saved. Raises FolderError, see `PatchCore.open`."""
        about, arrays = folder_open(folder / "opinions", KIND, FORMAT)
        model = cls(features, layers=layers)
        model.choice_, model.good_ = Choice(**about["choice"]), Scores(**arrays)
        model._listen()
        model.patches_ = PatchCore.open(folder / "patches", model.mapped, threads=threads)
        heard = model.choice_.opinion != "patches"
        model.head_ = FaultHead.open(folder / "head", features.space) if heard else None
        return model

    def _listen(self) -> None:
        self._surprises = Surprise().fit(self.good_.patches), Surprise().fit(self.good_.head)

    def _examples(self, pictures: Sequence[Image.Image], report: Progress) -> list[Example]:
        on = set(np.random.default_rng(self.seed).permutation(len(pictures))[: self.most_drawn].tolist())
        examples: list[Example] = []
        for example in draw_examples(pictures, self.features, faults=self.faults, on=on, seed=self.seed):
            examples.append(example)
            report("draw", len(examples), len(pictures))
        return examples

    def _trial(
        self, own: list[Example], others: list[Example], family: tuple[str, ...], report: Progress
    ) -> tuple[Trial, np.ndarray]:
        """Scores by what was learned from the others, and of good pictures by a head that knows all kinds."""
        patches = self.make_patches(self.mapped).fit([one.good for one in others], progress=report)
        known = self.make_head().fit(others, progress=report)
        blind = self.make_head().fit([_without(one, family) for one in others], progress=report)
        good = [one.good for one in own]
        drawn = [one.picture for example in own for one in example.faulty if one.kind in family]
        trial = Trial(
            Scores(patches.score(good), _scores(blind, good)),
            Scores(patches.score(drawn), _scores(blind, drawn)),
        )
        return trial, _scores(known, good)


def _without(example: Example, family: tuple[str, ...]) -> Example:
    return replace(example, faulty=tuple(one for one in example.faulty if one.kind not in family))


def _scores(head: FaultHead, pictures: Sequence[MappedPicture]) -> np.ndarray:
    return np.array([head.score(head.grid(picture)) for picture in pictures])
