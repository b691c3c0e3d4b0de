"""Inspection of a part by all opinions: learned from good pictures alone, each heard where it helps.

Coarse patches know what belongs where, fine ones know small faults (PatchCore each), how rare a patch is in
its own picture tells a fault from what is merely new all over, and a head knows drawn faults.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from vision.engine.anomaly_regions import Region, anomaly_regions, hottest_region
from vision.engine.array_folder import folder_open, folder_write
from vision.engine.drawn_faults import Example, draw_examples
from vision.engine.fault_head import FaultHead
from vision.engine.folds import grouped_folds
from vision.engine.inspection_measures import top_mean
from vision.engine.mapped_pictures import SCALES, KeptPictures, MappedPicture, PictureMapper, Scale
from vision.engine.opinions import (
    FAMILIES,
    WEIGHTS,
    Choice,
    Grids,
    Surprise,
    Trial,
    choose,
    joined_grid,
    surprises_of,
)
from vision.engine.own_rarity import own_rarity
from vision.engine.patch_sample import PatchSample
from vision.engine.patchcore import (
    Comparison,
    Inspection,
    PatchCore,
    Progress,
    Suspicion,
    anomaly_map,
    grid_place,
)

Item, Seen = TypeVar("Item"), TypeVar("Seen")
#: Patches, their places, and the sizes of the pictures: see `PatchSample`.
Sampled = tuple[np.ndarray, np.ndarray, np.ndarray]
KIND = "opinions on good parts"
FORMAT = 1
#: How often everything is learned without a part of the good pictures.
_FOLDS = 4
#: Shares of the places of held-out good pictures below the level of regions, and below where they end.
_BELOW_LEVEL, _BELOW_LOW = 0.995, 0.9
#: Bytes of mapped pictures that are kept: those of some 1,000 pictures with `faultnet`.
_KEPT = 512 * 2**20
#: Bytes of the pictures with drawn faults, all of them kept: `most_drawn` with `faultnet` up to 380 pixels.
_KEPT_EXAMPLES = 1024 * 2**20
#: Pictures that faults are drawn on at least, however large, if there are so many.
_LEAST_EXAMPLES = 20
#: Faults that are drawn at least, so that every kind is there.
_LEAST_DRAWN = 40
_BANKS: dict[Scale, Callable[..., PatchCore]] = {
    "coarse": partial(PatchCore, bank_size=15_000),
    "fine": partial(PatchCore, bank_size=10_000, dimension=64, selection="random"),
}


class PartInspector:
    """Learns what good parts look like, and decides by drawn faults who is heard. Safe to share once fitted.

    `mapper` maps the pictures. On `most_drawn` of them `faults` faults each are drawn. `banks` makes the
    PatchCore of each scale, `make_head` the head. A picture's score is the mean of the `top_share` of its
    places that look worst. `inspect` runs `threads` pictures side by side.

    Learned: `patches_` (PatchCore by scale), `head_` (None where it is not heard), `choice_`; of all good
    pictures, by what was learned without them and their near-duplicates: `surprises_`, what is usual of their
    places, `good_scores_` and `good_typical_` float64 (n,), `level_`, which few of their places exceed, and
    `low_`, where regions end.
    """

    def __init__(
        self,
        mapper: PictureMapper,
        *,
        top_share: float = 0.05,
        faults: int = 2,
        most_drawn: int = 300,
        banks: dict[Scale, Callable[..., PatchCore]] = _BANKS,
        make_head: Callable[..., FaultHead] = FaultHead,
        threads: int = 1,
        seed: int = 0,
    ):
        self.mapper = mapper
        self.top_share = top_share
        self.faults = faults
        self.most_drawn = most_drawn
        self.banks = banks
        self.make_head = partial(make_head, mapper.spaces)
        self.threads = threads
        self.seed = seed

    def fit(
        self,
        pictures: Sequence[Image.Image],
        groups: np.ndarray | None = None,
        *,
        progress: Progress | None = None,
    ) -> "PartInspector":
        """Learn from good pictures; equal `groups` (n,) are near-duplicates, which are never apart.

        A picture is decoded whenever it is needed. Raises ValueError for fewer than two groups.
        """
        groups = np.arange(len(pictures)) if groups is None else groups
        folds = grouped_folds(np.zeros(len(groups)), groups, _FOLDS)
        if len(groups) < 2 or folds.max() < 1:
            raise ValueError("An inspector needs good pictures of two parts or more.")
        report = progress or (lambda step, done, total: None)
        kept = KeptPictures(pictures, self.mapper, _KEPT)
        samples = self._samples(kept, report)
        examples = self._examples(pictures, kept, report)
        turns = [np.flatnonzero(folds == fold) for fold in range(int(folds.max()) + 1)]
        grids: list[Grids] = [{} for _ in pictures]
        trials, self.good_typical_ = [], np.empty(len(pictures))
        for number, own in enumerate(turns):

            def tell(share: float, number: int = number) -> None:
                report("turns", round(100 * (number + share)), 100 * len(turns))

            turn = self._turn(own, FAMILIES[number], kept, samples, examples, tell)
            self.good_typical_[own] = turn.typical
            for at, seen in zip(own, turn.grids, strict=True):
                grids[at] = seen
            if turn.trial.drawn:
                trials.append(turn.trial)
        self.choice_ = choose(trials, self.top_share)
        self.head_ = None
        if "head" in WEIGHTS[self.choice_.opinion]:
            for number, own in enumerate(turns):
                head = self.make_head().fit(_others(examples, own))
                for at in own:
                    grids[at]["head"] = head.grid(kept[at])
                report("head", number + 1, len(turns) + 1)
            self.head_ = self.make_head().fit(examples)
            report("head", len(turns) + 1, len(turns) + 1)
        self._learn_usual(grids)
        self.patches_ = self._patches(samples, np.arange(len(pictures)), report)
        return self

    def inspect(self, images: Iterable[Image.Image]) -> list[Inspection]:
        """Look at pictures of any size; the network sees each once at each scale."""
        return list(self._side_by_side(self._inspection, [self.mapper(image) for image in images]))

    def score(self, images: Iterable[Image.Image]) -> np.ndarray:
        """Scores alone, float64 (n,)."""
        return np.array([seen.score for seen in self.inspect(images)])

    def settings(self) -> dict:
        """What was chosen, by name, but for what computes it: JSON."""
        banks = {scale: bank.settings() for scale, bank in self.patches_.items()}
        return {"top_share": self.top_share, "faults": self.faults, **banks, "choice": asdict(self.choice_)}

    def save(self, folder: Path) -> None:
        """Write everything into a folder that does not exist yet, whole or not at all.

        Raises FileExistsError, and OSError when the disk is full.
        """
        if folder.exists():
            raise FileExistsError(f"{folder} exists already.")
        try:
            self._save_parts(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _save_parts(self, folder: Path) -> None:
        """The manifest of the opinions is written last: without it a folder can't be opened."""
        for scale, bank in self.patches_.items():
            bank.save(folder / scale)
        if self.head_:
            self.head_.save(folder / "head")
        about = {
            "choice": asdict(self.choice_),
            "top_share": self.top_share,
            "faults": self.faults,
            "level": self.level_,
            "low": self.low_,
            "surprises": {name: asdict(one) for name, one in self.surprises_.items()},
        }
        arrays = {"good_scores": self.good_scores_, "good_typical": self.good_typical_}
        folder_write(folder / "opinions", KIND, FORMAT, about, arrays)

    @classmethod
    def open(cls, folder: Path, mapper: PictureMapper, *, threads: int = 1) -> "PartInspector":
        """What was saved, memory-mapped. Raises FolderError, see `PatchCore.open`."""
        about, arrays = folder_open(folder / "opinions", KIND, FORMAT)
        model = cls(mapper, top_share=about["top_share"], faults=about["faults"], threads=threads)
        model.choice_ = Choice(**about["choice"])
        model.level_, model.low_ = about["level"], about["low"]
        model.surprises_ = {name: Surprise(**one) for name, one in about["surprises"].items()}
        model.good_scores_, model.good_typical_ = arrays["good_scores"], arrays["good_typical"]
        model.patches_ = {scale: PatchCore.open(folder / scale, mapper.patches(scale)) for scale in SCALES}
        heard = "head" in WEIGHTS[model.choice_.opinion]
        model.head_ = FaultHead.open(folder / "head", mapper.spaces) if heard else None
        return model

    def _inspection(self, picture: MappedPicture) -> Inspection:
        seen = _compared(self.patches_, picture)
        grid = joined_grid(
            self.choice_.opinion, _grids(seen, self.patches_, self.head_, picture), self.surprises_
        )
        size, coarse = picture.size, seen["coarse"]

        def suspicion(region: Region) -> Suspicion:
            row, column = grid_place(region.peak_at, size, coarse.found.shape[:2])
            return Suspicion(region, self.patches_["coarse"].good_patches(coarse, row, column))

        anomaly = anomaly_map(grid, size)
        regions = tuple(suspicion(region) for region in anomaly_regions(anomaly, self.level_, low=self.low_))
        hottest = regions[0] if regions else suspicion(hottest_region(anomaly, low=self.low_))
        return Inspection(top_mean(grid, self.top_share), _typical(seen), grid, size, regions, hottest)

    def _samples(self, kept: KeptPictures, report: Progress) -> dict[Scale, Sampled]:
        """Patches of all pictures at each scale."""
        banks = {scale: self.banks[scale](self.mapper.patches(scale)) for scale in SCALES}
        samples = {scale: PatchSample(bank.sample_size, self.seed) for scale, bank in banks.items()}
        for at, picture in enumerate(kept):
            for scale, bank in banks.items():
                samples[scale].add(bank.features(picture), picture.size)
            report("look", at + 1, len(kept))
        return {scale: (*sample.taken(), sample.sizes) for scale, sample in samples.items()}

    def _examples(
        self, pictures: Sequence[Image.Image], kept: KeptPictures, report: Progress
    ) -> list[Example]:
        bytes_of_one = (1 + self.faults) * kept[0].nbytes
        most = min(self.most_drawn, max(_KEPT_EXAMPLES // bytes_of_one, _LEAST_EXAMPLES))
        on = np.sort(np.random.default_rng(self.seed).permutation(len(pictures))[:most])
        examples: list[Example] = []
        faults = max(self.faults, -(-_LEAST_DRAWN // len(on)))
        drawing = draw_examples(pictures, kept, self.mapper, on.tolist(), faults=faults, seed=self.seed)
        for example in drawing:
            examples.append(example)
            report("draw", len(examples), len(on))
        return examples

    def _patches(
        self, samples: dict[Scale, Sampled], pictures: np.ndarray, report: Progress
    ) -> dict[Scale, PatchCore]:
        """Banks of the patches of some pictures."""
        fitted = {}
        for scale, (patches, places, sizes) in samples.items():
            own = np.isin(places[:, 0], pictures)
            bank = self.banks[scale](self.mapper.patches(scale))
            fitted[scale] = bank.fit_patches(patches[own], places[own], sizes, progress=report)
        return fitted

    def _turn(
        self,
        own: np.ndarray,
        family: tuple[str, ...],
        kept: KeptPictures,
        samples: dict[Scale, Sampled],
        examples: list[Example],
        tell: Callable[[float], None],
    ) -> "_Turn":
        """Look at the pictures `own` by what is learned from all others."""

        def tell_selected(step: str, done: int, total: int | None) -> None:
            if step == "select" and done < (total or 0):  # only the coarse scale takes long
                tell(0.4 * done / total)

        patches = self._patches(samples, np.setdiff1d(np.arange(len(kept)), own), tell_selected)
        tell(0.5)
        # A head that never saw this family of faults, as it never saw those of the real parts to come.
        blind = self.make_head().fit([_without(one, family) for one in _others(examples, own)])
        tell(0.6)

        def look(picture: MappedPicture) -> tuple[float, Grids]:
            seen = _compared(patches, picture)
            return _typical(seen), _grids(seen, patches, blind, picture)

        looked = []
        for one in self._side_by_side(lambda at: look(kept[at]), own.tolist()):
            looked.append(one)
            tell(0.6 + 0.3 * len(looked) / len(own))
        typical, good = zip(*looked, strict=True)
        drawn = [
            faulty.picture
            for one in examples
            if one.number in own
            for faulty in one.faulty
            if faulty.kind in family
        ]
        faulty = [grids for _, grids in self._side_by_side(look, drawn)]
        return _Turn(np.array(typical), good, Trial(good, faulty))

    def _learn_usual(self, grids: Sequence[Grids]) -> None:
        """What is usual of held-out good pictures and their places, by the chosen opinion."""
        self.surprises_ = surprises_of(grids)
        joined = [joined_grid(self.choice_.opinion, one, self.surprises_) for one in grids]
        self.good_scores_ = np.array([top_mean(grid, self.top_share) for grid in joined])
        places = np.concatenate([grid.ravel() for grid in joined])
        self.level_, self.low_ = (float(np.quantile(places, below)) for below in (_BELOW_LEVEL, _BELOW_LOW))

    def _side_by_side(self, function: Callable[[Item], Seen], items: Sequence[Item]) -> Iterator[Seen]:
        """Results in the order of the items."""
        if self.threads == 1 or len(items) < 2:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(function, items)


@dataclass(frozen=True)
class _Turn:
    """What is said of good pictures by those who never saw them, and a trial on these."""

    typical: np.ndarray
    grids: Sequence[Grids]
    trial: Trial


def _compared(patches: dict[Scale, PatchCore], picture: MappedPicture) -> dict[Scale, Comparison]:
    return {scale: bank.compare(bank.features(picture)) for scale, bank in patches.items()}


def _grids(
    seen: dict[Scale, Comparison],
    patches: dict[Scale, PatchCore],
    head: FaultHead | None,
    picture: MappedPicture,
) -> Grids:
    fine = seen["fine"]
    # In units of what is usual around the good patch that is most alike, as distances are.
    rarity = own_rarity(fine.patches) / patches["fine"].usual_[fine.found[..., 0]]
    grids = {scale: one.distances[..., 0] for scale, one in seen.items()} | {"rarity": rarity}
    return grids | {"head": head.grid(picture)} if head else grids


def _typical(seen: dict[Scale, Comparison]) -> float:
    """How unlike good parts a picture is everywhere."""
    return float(np.median(seen["coarse"].distances[..., 0]))


def _others(examples: Sequence[Example], own: np.ndarray) -> list[Example]:
    return [one for one in examples if one.number not in own]


def _without(example: Example, family: tuple[str, ...]) -> Example:
    return replace(example, faulty=tuple(one for one in example.faulty if one.kind not in family))
