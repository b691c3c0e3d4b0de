"""Local features of a picture, one vector for each patch: what anomaly detection compares.

Two middle layers of a network, each averaged over a neighbourhood of 3 x 3 positions, the coarser brought to
the grid of the finer, joined (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.backbones import build_network, get_backbone
from vision.engine.embedder import prepare


class PatchFeatures:
    """Patch features of a backbone's layers `taps.patch`, computed by torch.

    `weights` is the network's local file, or None for random weights of `random_seed`. Raises WeightsError
    for a file that does not fit.
    """

    def __init__(self, backbone: str, weights: Path | None, *, random_seed: int = 0):
        self.spec = get_backbone(backbone)
        self._network = build_network(self.spec, weights, random_seed=random_seed)
        self._maps: dict[str, Tensor] = {}
        for name in self.spec.taps.patch:
            self._network.get_submodule(name).register_forward_hook(self._keeper(name))

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Features of n pictures: float32 (n, h, w, d), with h and w the grid of the finer layer."""
        batch = torch.from_numpy(np.stack([prepare(image, self.spec) for image in images]))
        with torch.inference_mode():
            self._network(batch)
            finer, coarser = (_averaged(_as_map(self._maps.pop(name))) for name in self.spec.taps.patch)
            coarser = functional.interpolate(coarser, finer.shape[-2:], mode="bilinear", align_corners=False)
            joined = torch.cat([_even(finer), _even(coarser)], dim=1)
        return joined.permute(0, 2, 3, 1).contiguous().numpy()

    def _keeper(self, name: str):
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            self._maps[name] = output

        return keep


def _as_map(output: Tensor) -> Tensor:
    """(n, d, h, w); of a transformer's tokens (n, 1 + side * side, d) the first, which has no place, goes."""
    if output.ndim == 4:
        return output
    tokens = output[:, 1:]
    side = round(tokens.shape[1] ** 0.5)
    return tokens.mT.unflatten(2, (side, side))


def _averaged(maps: Tensor) -> Tensor:
    return functional.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)


def _even(maps: Tensor) -> Tensor:
    """Both layers in the same measure, whatever their numbers of channels and their strengths."""
    return maps / (maps.square().sum(1).mean((1, 2)).sqrt()[:, None, None, None] + 1e-6)
