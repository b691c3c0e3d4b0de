"""What a network sees of a picture at two scales, computed once and looked at by all opinions on it.

The coarse scale has wide patches, which know where on the part they are; the fine one has small patches of a
larger picture, which know scratches and pores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from vision.engine.backbones import get_backbone
from vision.engine.images import to_rgb
from vision.engine.patch_features import PatchFeatures, PatchSpace, joined

Scale = Literal["coarse", "fine"]
SCALES: tuple[Scale, ...] = get_args(Scale)
#: Sides of the picture at the fine scale, in those of the network's input.
_FINE = 1.5


@dataclass(frozen=True)
class MappedPicture:
    """A picture of `size` (width, height): for each scale maps float16 (h, w, d) of layers, finest first.

    About 0.5 MiB for `faultnet`.
    """

    maps: dict[Scale, list[np.ndarray]]
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for maps in self.maps.values() for one in maps)

    def all_layers(self) -> np.ndarray:
        """All layers joined on the finest grid, float32 (h, w, d); of the coarse scale the deepest only."""
        return joined([*self.maps["fine"], self.maps["coarse"][-1]])


class PictureMapper:
    """Maps pictures by a network with weights of a local file, None for random ones. Threads may share it.

    `resolution`, in pixels, is that of the coarse scale (default: the backbone's `input_size`). Raises
    WeightsError for a file that does not fit.
    """

    def __init__(
        self,
        backbone: str,
        weights: Path | None,
        *,
        resolution: int | None = None,
        device: str = "cpu",
        random_seed: int = 0,
    ):
        spec = get_backbone(backbone)
        coarse = resolution or spec.input_size
        self.features: dict[Scale, PatchFeatures] = {
            scale: PatchFeatures(
                backbone, weights, layers=layers, resolution=side, device=device, random_seed=random_seed
            )
            for scale, layers, side in (
                ("coarse", spec.taps.patch, coarse),
                ("fine", spec.taps.fine, round(_FINE * coarse)),
            )
        }

    def __call__(self, image: Image.Image) -> MappedPicture:
        """What is seen of a picture of any size and mode."""
        smaller = self.working_picture(image)
        maps = {
            scale: [one.astype(np.float16) for one in features.maps(smaller)]
            for scale, features in self.features.items()
        }
        return MappedPicture(maps, image.size)

    def working_picture(self, image: Image.Image) -> Image.Image:
        """A picture as RGB in the size of the fine scale: all that is ever seen of it."""
        size = self.features["fine"].working_size(image.size)
        return to_rgb(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)

    def patches(self, scale: Scale) -> "ScalePatches":
        """What gives a PatchCore the patches of mapped pictures at one scale."""
        return ScalePatches(scale, self.features[scale].space)

    @property
    def spaces(self) -> tuple[PatchSpace, ...]:
        """Those of all scales."""
        return tuple(features.space for features in self.features.values())


@dataclass(frozen=True)
class ScalePatches:
    """Patch features of MappedPictures at one scale."""

    scale: Scale
    space: PatchSpace

    def __call__(self, picture: MappedPicture) -> np.ndarray:
        """float32 (h, w, d), as `PatchFeatures` gives them but for half precision."""
        return joined(picture.maps[self.scale])


class KeptPictures(Sequence):
    """Mapped pictures of a sequence: kept up to so many bytes, mapped anew beyond."""

    def __init__(self, pictures: Sequence[Image.Image], mapper: PictureMapper, limit: int):
        self._pictures = pictures
        self._mapper = mapper
        self._room = limit
        self._kept: dict[int, MappedPicture] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, at: int) -> MappedPicture:
        if at in self._kept:
            return self._kept[at]
        mapped = self._mapper(self._pictures[at])
        if mapped.nbytes <= self._room:
            self._room -= mapped.nbytes
            self._kept[at] = mapped
        return mapped
