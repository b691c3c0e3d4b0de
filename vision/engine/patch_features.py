"""Local features of a picture, one vector for each patch: what inspection compares.

Middle layers of a network, each averaged over a neighbourhood of 3 x 3 positions, the coarser ones brought to
the grid of the finest, joined (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022).
Unlike there a picture keeps its proportions, and a large one is seen in overlapping tiles.
"""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.backbones import build_network, get_backbone
from vision.engine.checkpoints import sha256_of
from vision.engine.images import to_rgb
from vision.engine.tiling import tile_spans

#: Longer side in pixels of what goes through the network at once: bounds the memory.
_TILE = 512
#: Share of a tile that it has in common with its neighbour.
_OVERLAP = 0.25
#: No side of a picture is brought under this, or the coarse layers would have hardly a position.
_LEAST_SIDE = 64
_TALLEST = 16.0


@dataclass(frozen=True)
class PatchSpace:
    """Everything that makes two patches comparable. `resolution` in pixels, see `PatchFeatures`."""

    backbone: str
    weights_sha256: str
    layers: tuple[str, ...]
    resolution: int
    preprocessing: str = "patches-v1"

    def as_dict(self) -> dict:
        return {**asdict(self), "layers": list(self.layers)}


class PatchFeatures:
    """Patch features of a backbone, computed by torch. Safe to share between threads: one pass at a time.

    `weights` is the network's local file, or None for random weights of `random_seed`. `layers` are names
    of maps, finest first (default: the backbone's `taps.patch`). A picture is brought to the area of
    `resolution` x `resolution` pixels (default: the backbone's `input_size`), its own proportions kept to the
    nearest step of the coarsest layer. `device` is a torch device. Raises WeightsError for a file that does
    not fit, ValueError for a resolution under 64.
    """

    def __init__(
        self,
        backbone: str,
        weights: Path | None,
        *,
        layers: Sequence[str] | None = None,
        resolution: int | None = None,
        device: str = "cpu",
        random_seed: int = 0,
    ):
        self.spec = get_backbone(backbone)
        self.space = PatchSpace(
            backbone=backbone,
            weights_sha256=sha256_of(weights) if weights else f"random-{random_seed}",
            layers=tuple(layers or self.spec.taps.patch),
            resolution=resolution or self.spec.input_size,
        )
        if self.space.resolution < _LEAST_SIDE:
            raise ValueError(f"A resolution of {resolution} pixels is under the least, {_LEAST_SIDE}.")
        self._device = device
        self._network = build_network(self.spec, weights, random_seed=random_seed).to(device)
        self._lock = threading.Lock()
        self._maps: dict[str, Tensor] = {}
        for name in self.space.layers:
            self._network.get_submodule(name).register_forward_hook(self._keeper(name))
        self._probe()

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Features of a picture of any size and mode: float32 (h, w, d) on the finest layer's grid."""
        return joined(self.maps(image))

    def maps(self, image: Image.Image) -> list[np.ndarray]:
        """The same before they are joined: of each layer float32 (h, w, d) on its own grid, finest first."""
        with self._lock, torch.inference_mode():
            maps = [_even(_averaged(one)) for one in self._layer_maps(self._prepared(image))]
        return [one[0].permute(1, 2, 0).contiguous().cpu().numpy() for one in maps]

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height in pixels that a picture of `size` is brought to before the network sees it."""
        width, height = size
        # A strip of a thousand to one would become a line: beyond this its proportions change.
        ratio = min(max(width / height, 1 / _TALLEST), _TALLEST)
        sides = (self.space.resolution * sqrt(ratio), self.space.resolution / sqrt(ratio))
        least = self._tile if self._fixed else max(_LEAST_SIDE, self._step)
        wide, high = (max(round(side / self._step) * self._step, least) for side in sides)
        return wide, high

    def _probe(self) -> None:
        """Learn the step of the coarsest layer in pixels, and whether the network takes only one size."""
        side = self.spec.input_size
        with torch.inference_mode():
            self._network(torch.zeros(1, self.spec.channels, side, side, device=self._device))
        maps = [self._maps.pop(name) for name in self.space.layers]
        self._fixed = any(one.ndim == 3 for one in maps)
        self._steps = [round(side / _as_map(one).shape[-1]) for one in maps]
        self._step = max(self._steps)
        self.dimension = sum(_as_map(one).shape[1] for one in maps)
        self._tile = side if self._fixed else _TILE // self._step * self._step

    def _prepared(self, image: Image.Image) -> Tensor:
        image = to_rgb(image)
        if self.spec.channels == 1:
            image = image.convert("L")
        # Pillow's filters average over what they leave out, so fine textures do not turn into moire.
        image = image.resize(self.working_size(image.size), Image.Resampling.BILINEAR, reducing_gap=3.0)
        pixels = np.asarray(image, np.float32).reshape(image.height, image.width, self.spec.channels) / 255
        pixels = (pixels - np.float32(self.spec.mean)) / np.float32(self.spec.std)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(self._device)

    def _layer_maps(self, pixels: Tensor) -> list[Tensor]:
        """The map of each layer over the whole picture (1, d, h, w), joined from tiles where it is large."""
        overlap = round(_OVERLAP * self._tile)
        rows, columns = (tile_spans(side, self._tile, overlap, self._step) for side in pixels.shape[-2:])
        strips: list[list[Tensor]] = [[] for _ in self._steps]
        for row in rows:
            parts: list[list[Tensor]] = [[] for _ in self._steps]
            for column in columns:
                self._network(pixels[..., row.start : row.stop, column.start : column.stop])
                for layer, (name, step) in enumerate(zip(self.space.layers, self._steps, strict=True)):
                    top, bottom, left, right = (
                        edge // step
                        for edge in (
                            row.first - row.start,
                            row.last - row.start,
                            column.first - column.start,
                            column.last - column.start,
                        )
                    )
                    parts[layer].append(_as_map(self._maps.pop(name))[..., top:bottom, left:right])
            for layer, part in enumerate(parts):
                strips[layer].append(torch.cat(part, dim=3))
        return [torch.cat(strip, dim=2) for strip in strips]

    def _keeper(self, name: str):
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            self._maps[name] = output

        return keep


def joined(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Maps (h, w, d) of layers, finest first, on the grid of the finest: float32 (h, w, sum of d)."""
    height, width, _ = maps[0].shape
    layers = [torch.from_numpy(np.asarray(one, np.float32)).permute(2, 0, 1)[None] for one in maps]
    whole = torch.cat([_at_grid(one, (height, width)) for one in layers], dim=1)
    return whole[0].permute(1, 2, 0).contiguous().numpy()


def _as_map(output: Tensor) -> Tensor:
    """(n, d, h, w); of a transformer's tokens (n, 1 + side * side, d) the first, which has no place, goes."""
    if output.ndim == 4:
        return output
    tokens = output[:, 1:]
    side = round(tokens.shape[1] ** 0.5)
    return tokens.mT.unflatten(2, (side, side))


def _averaged(maps: Tensor) -> Tensor:
    return functional.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)


def _at_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    if maps.shape[-2:] == grid:
        return maps
    return functional.interpolate(maps, grid, mode="bilinear", align_corners=False)


def _even(maps: Tensor) -> Tensor:
    """In one measure: layers of any number of channels, pictures in any light."""
    return maps / (maps.square().sum(1).mean((1, 2)).sqrt()[:, None, None, None] + 1e-6)
