"""Inspection from good parts alone: a part is as suspicious as its patches are unlike those of good parts.

PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022): patches of good
pictures, thinned to a coreset, are the bank; a new patch's anomaly is the distance to its nearest in there.
Unlike there patches are whitened first, and a distance is divided by what is usual around the neighbour.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from PIL import Image

from vision.engine.anomaly_regions import Region, anomaly_regions, hottest_region
from vision.engine.array_folder import FolderError, folder_open, folder_write
from vision.engine.coreset import greedy_coreset
from vision.engine.index import faiss_loaded
from vision.engine.inspection_measures import top_mean
from vision.engine.patch_density import lonely, picture_halves, usual_distances
from vision.engine.patch_sample import PatchSample
from vision.engine.patch_whitening import PatchWhitening

KIND = "a bank of good patches (PatchCore)"
FORMAT = 1
#: Called with the step's name, what is done, and what there is to do (None when nobody knows).
Progress = Callable[[str, int, int | None], None]
#: Good patches that are compared with the bank's of other pictures to learn the level of regions.
_PROBED = 5_000
#: Share of good patches that lie below the level of regions.
_BELOW_LEVEL = 0.995
#: Share of the median usual distance that is added to each: among equal patches it would be nothing.
_FLOOR = 0.1
_SETTINGS = (
    "sample_size", "bank_size", "dimension", "lonely_from", "selection", "scoring", "top_share", "neighbours",
    "smoothing", "seed",
)  # fmt: skip


class Space(Protocol):
    def as_dict(self) -> dict: ...


class Features(Protocol):
    """What turns a picture into patches (h, w, d) of a space: `patch_features.PatchFeatures`."""

    space: Space

    def __call__(self, image: Image.Image) -> np.ndarray: ...


@dataclass(frozen=True)
class GoodPatch:
    """A patch of a good picture: number of the picture as it was fitted, `box` (x, y, w, h) in its pixels.

    `distance` is in units of what is usual around it: at 1 it is as near as good patches of other pictures.
    """

    picture: int
    box: tuple[int, int, int, int]
    distance: float


@dataclass(frozen=True)
class Comparison:
    """Patches of a picture beside the good ones: whitened float32 (h, w, d), and of each the nearest k in the
    bank, their distances float32 (h, w, k) and positions int64 (h, w, k), nearest first.
    """

    patches: np.ndarray
    distances: np.ndarray
    found: np.ndarray


@dataclass(frozen=True)
class Suspicion:
    """A region of the map with the good patches that its peak resembles most, nearest first."""

    region: Region
    nearest: tuple[GoodPatch, ...]


@dataclass(frozen=True)
class Inspection:
    """What was seen of a picture of `size` (width, height): a score (higher is worse), and where.

    `grid` float32 (rows, columns) says how bad each place looks: for PatchCore the smoothed distances of its
    patches. `typical` is the median distance: a part of another product is far from good everywhere.
    `hottest` is the region of the highest place, also when none stands out.
    """

    score: float
    typical: float
    grid: np.ndarray
    size: tuple[int, int]
    regions: tuple[Suspicion, ...]
    hottest: Suspicion

    @property
    def map(self) -> np.ndarray:
        """The distances at the picture's own size, float32 (height, width)."""
        return anomaly_map(self.grid, self.size)


class PatchCore:
    """Learns what good parts look like, and how far a picture is from that. Safe to share once fitted.

    `features` gives the patches. Of all patches of the good pictures `sample_size` are drawn and whitened to
    `dimension` numbers. Those without anything alike in other pictures are left out (`lonely_from` robust
    standard deviations; None for none), and `bank_size` of the others stay, chosen by `selection` ("coreset",
    or "random", which is faster to fit). Distances are in units of the usual distance.

    A picture's score is, with `scoring` "top_share", the mean distance of its `top_share` most distant
    patches; with "reweighted" the largest distance, less where its nearest patch lies among many others
    (equation 7 of the paper, over `neighbours`). `smoothing` is the standard deviation of the Gaussian over
    the map, in steps of the grid of patches. `inspect` runs `threads` searches side by side.

    Learned: `whitening_`, `bank_` float32 (m, dimension), `usual_` float32 (m,) the usual distance around
    each, `origins_` int32 (m, 5) (number of the good picture; x, y, w, h in its pixels), `level_` the
    distance above which a patch belongs to a region, `pictures_` how many were fitted.
    """

    def __init__(
        self,
        features: Features,
        *,
        sample_size: int = 100_000,
        bank_size: int = 20_000,
        dimension: int = 128,
        lonely_from: float | None = 3.0,
        selection: Literal["coreset", "random"] = "coreset",
        scoring: Literal["top_share", "reweighted"] = "top_share",
        top_share: float = 0.03,
        neighbours: int = 3,
        smoothing: float = 0.5,
        threads: int = 1,
        seed: int = 0,
    ):
        if not 0 < top_share <= 1:
            raise ValueError(f"The share of patches that make the score lies in 0 to 1, not at {top_share}.")
        if min(bank_size, sample_size, dimension, neighbours, threads) < 1:
            raise ValueError("Sizes, dimension, neighbours and threads must be at least 1.")
        self.features = features
        self.sample_size = sample_size
        self.bank_size = bank_size
        self.dimension = dimension
        self.lonely_from = lonely_from
        self.selection = selection
        self.scoring = scoring
        self.top_share = top_share
        self.neighbours = neighbours
        self.smoothing = smoothing
        self.threads = threads
        self.seed = seed

    def fit(self, images: Iterable[Image.Image], *, progress: Progress | None = None) -> "PatchCore":
        """Learn from good pictures, each decoded only when its turn comes. Raises ValueError for none."""
        report = progress or (lambda step, done, total: None)
        total = len(images) if hasattr(images, "__len__") else None
        sample = PatchSample(self.sample_size, self.seed)
        for image in images:
            sample.add(self.features(image), image.size)
            report("look", sample.pictures, total)
        return self.fit_patches(*sample.taken(), sample.sizes, progress=progress)

    def fit_patches(
        self,
        patches: np.ndarray,
        places: np.ndarray,
        sizes: np.ndarray,
        *,
        progress: Progress | None = None,
    ) -> "PatchCore":
        """Learn from a sample of good patches (n, d), their places and the pictures' sizes: `PatchSample`."""
        report = progress or (lambda step, done, total: None)
        self.pictures_ = len(np.unique(places[:, 0]))
        self.whitening_ = PatchWhitening(self.dimension).fit(patches)
        patches = self.whitening_.transform(patches)
        halves = picture_halves(places[:, 0], self.seed)
        report("compare", 0, 1)
        usual = usual_distances(patches, halves, self.seed)
        report("compare", 1, 1)
        usable = np.arange(len(patches))
        if self.lonely_from is not None:
            usable = np.flatnonzero(~lonely(usual, self.lonely_from))
        chosen = usable[self._chosen(patches[usable], report)]
        self.bank_ = np.ascontiguousarray(patches[chosen])
        self.usual_ = usual[chosen] + np.float32(_FLOOR * np.median(usual[usable]))
        self.origins_ = _origins(places[chosen], sizes)
        self.level_ = self._usual_level(patches[usable], halves[usable], halves[chosen])
        return self

    def inspect(self, images: Sequence[Image.Image]) -> list[Inspection]:
        """Look at pictures of any size."""
        seen = [(self.features(image), image.size) for image in images]
        if self.threads == 1 or len(seen) == 1:
            return [self._inspection(*one) for one in seen]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda one: self._inspection(*one), seen))

    def score(self, images: Iterable[Image.Image]) -> np.ndarray:
        """Scores alone, float64 (n,)."""
        return np.array([self._score(self.compare(self.features(image))) for image in images])

    def compare(self, patches: np.ndarray) -> Comparison:
        """Find the nearest good patches of each of (h, w, d) patches of a picture."""
        height, width, _ = patches.shape
        k = min(self.neighbours, len(self.bank_))
        rows = self.whitening_.transform(patches.reshape(height * width, -1))
        squares, found = faiss_loaded().knn(rows, self.bank_, k)
        distances = np.sqrt(np.maximum(squares, 0)) / self.usual_[found[:, :1]]
        return Comparison(*(flat.reshape(height, width, -1) for flat in (rows, distances, found)))

    def good_patches(self, seen: Comparison, row: int, column: int) -> tuple[GoodPatch, ...]:
        """The good patches that the patch at a place of the grid resembles most, nearest first."""
        pairs = zip(seen.found[row, column], seen.distances[row, column], strict=True)
        return tuple(
            GoodPatch(int(self.origins_[at][0]), tuple(self.origins_[at][1:].tolist()), float(distance))
            for at, distance in pairs
        )

    def settings(self) -> dict:
        """What was chosen, by name, but for what computes it: JSON."""
        return {name: getattr(self, name) for name in _SETTINGS}

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder that does not exist yet. Raises FileExistsError, OSError."""
        about = {
            "space": self.features.space.as_dict(),
            "settings": self.settings(),
            "level": self.level_,
            "pictures": self.pictures_,
        }
        arrays = {
            "bank": self.bank_,
            "usual": self.usual_,
            "origins": self.origins_,
            "mean": self.whitening_.mean_,
            "matrix": self.whitening_.matrix_,
        }
        folder_write(folder, KIND, FORMAT, about, arrays)

    @classmethod
    def open(cls, folder: Path, features: Features, *, threads: int = 1) -> "PatchCore":
        """What was saved, memory-mapped: milliseconds, and processes share the pages.

        Raises FolderError for a damaged or foreign folder, and when the patches of `features` are of another
        space than those of the bank.
        """
        about, arrays = folder_open(folder, KIND, FORMAT)
        space = features.space.as_dict()
        if about["space"] != space:
            differing = sorted(key for key in space if space[key] != about["space"].get(key))
            raise FolderError(f"{folder} was learned with another {', '.join(differing)}: fit it again.")
        model = cls(features, threads=threads, **about["settings"])
        model.bank_, model.usual_, model.origins_ = arrays["bank"], arrays["usual"], arrays["origins"]
        model.whitening_ = PatchWhitening(model.dimension)
        model.whitening_.mean_, model.whitening_.matrix_ = arrays["mean"], arrays["matrix"]
        model.level_, model.pictures_ = about["level"], about["pictures"]
        return model

    def _chosen(self, patches: np.ndarray, report: Progress) -> np.ndarray:
        if self.bank_size >= len(patches):
            return np.arange(len(patches))
        if self.selection == "random":
            return np.random.default_rng(self.seed).permutation(len(patches))[: self.bank_size]
        return greedy_coreset(
            patches,
            self.bank_size,
            seed=self.seed,
            progress=lambda done, total: report("select", done, total),
        )

    def _inspection(self, patches: np.ndarray, size: tuple[int, int]) -> Inspection:
        seen = self.compare(patches)
        nearest = grid = seen.distances[..., 0]
        if self.smoothing:
            grid = cv2.GaussianBlur(grid, (0, 0), self.smoothing, borderType=cv2.BORDER_REFLECT)
        grid = np.ascontiguousarray(grid)
        anomaly = anomaly_map(grid, size)

        def suspicion(region: Region) -> Suspicion:
            return Suspicion(region, self.good_patches(seen, *grid_place(region.peak_at, size, grid.shape)))

        regions = tuple(suspicion(region) for region in anomaly_regions(anomaly, self.level_))
        hottest = suspicion(hottest_region(anomaly, low=self.level_))
        return Inspection(self._score(seen), float(np.median(nearest)), grid, size, regions, hottest)

    def _score(self, seen: Comparison) -> float:
        nearest = seen.distances[..., 0]
        if self.scoring == "top_share":
            return top_mean(nearest, self.top_share)
        worst = np.unravel_index(nearest.argmax(), nearest.shape)
        return self._reweighted(seen.patches[worst], seen.found[worst][0]) * float(nearest[worst])

    def _reweighted(self, patch: np.ndarray, nearest: int) -> float:
        """The weight of equation 7: small where the nearest patch has as near ones around it."""
        k = min(max(self.neighbours, 2), len(self.bank_))
        _, around = faiss_loaded().knn(self.bank_[nearest][None], self.bank_, k)
        apart = np.linalg.norm(self.bank_[around[0]] - patch, axis=1)
        own = np.linalg.norm(self.bank_[nearest] - patch)
        # In units of the usual distance, or the exponentials would know only the furthest.
        apart, own = apart / self.usual_[nearest], own / self.usual_[nearest]
        return float(1 - np.exp(own - apart.max()) / np.exp(apart - apart.max()).sum())

    def _usual_level(self, patches: np.ndarray, halves: np.ndarray, bank_halves: np.ndarray) -> float:
        """The distance under which nearly all good patches have one of another good picture in the bank."""
        probed = np.random.default_rng(self.seed).permutation(len(patches))[:_PROBED]
        nearest = []
        for half in (0, 1):
            own, others = probed[halves[probed] == half], np.flatnonzero(bank_halves != half)
            if len(own) and len(others):
                squares, found = faiss_loaded().knn(patches[own], self.bank_[others], 1)
                nearest.append(np.sqrt(np.maximum(squares[:, 0], 0)) / self.usual_[others[found[:, 0]]])
        if not nearest:
            return float(np.finfo(np.float32).max)  # one picture can't say what is usual
        return float(np.quantile(np.concatenate(nearest), _BELOW_LEVEL))


def _origins(places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Number of the picture and the patch's box in its pixels, int32 (m, 5), from places on its grid."""
    picture, row, column = places.T
    width, height, rows, columns = sizes[picture].T
    left, right = column * width // columns, (column + 1) * width // columns
    top, bottom = row * height // rows, (row + 1) * height // rows
    return np.stack([picture, left, top, right - left, bottom - top], axis=1).astype(np.int32)


def grid_place(point: tuple[int, int], size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Row and column on a grid (rows, columns) of a pixel (x, y) of a picture of `size` (width, height)."""
    return point[1] * grid[0] // size[1], point[0] * grid[1] // size[0]


def anomaly_map(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Distances of patches (rows, columns) brought to a picture's size (width, height): float32 (h, w)."""
    return cv2.resize(np.ascontiguousarray(grid, np.float32), size, interpolation=cv2.INTER_LINEAR)
