"""Batches of views for the training: mirrored, relit and cropped, with the places of their pixels kept."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vision.engine.backbones import get_backbone
from vision.engine.synthesis.faults import FAULT_KINDS
from vision.engine.synthesis.pool import PLACED_VIEWS, VIEWS, Pool
from vision.engine.synthesis.scenes import MASK_SIZE, VIEW_SIZE

#: Small pictures first: more of them in the same time.
SMALL_VIEW = 96
#: Pixels of a view for one value of the mask head.
MASK_STRIDE = 8
#: A spot counts as seen when it lies so many pixels inside the other view.
_MARGIN = 3
#: Share of batches without colour: where scenes differ in hue, hue alone tells them apart, and little is
#: learned of texture.
_GREY_SHARE = 0.7
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
#: Chance of a spot on a fault to be chosen, beside one elsewhere.
_FAULT_WEIGHT = 12.0


@dataclass(frozen=True)
class ViewBatch:
    """Views of s scenes, three in a row for each.

    views (3s, 3, h, h) float32, normalised; masks (3s, h/8, h/8) from 0 to 1; scenes, families (3s,) int64;
    kinds (3s, kinds) float32; transforms (s, 2, 3, 3) float32, from pixels of the canvas to those of the
    first two views.
    """

    views: Tensor
    masks: Tensor
    scenes: Tensor
    families: Tensor
    kinds: Tensor
    transforms: Tensor


def draw_batch(
    pool: Pool, rows: np.ndarray, rng: np.random.Generator, size: int, device: torch.device
) -> ViewBatch:
    """The scenes of these rows of the pool, every view mirrored, relit and cropped to `size` pixels.

    Most batches are grey throughout.
    """
    count = len(rows) * VIEWS
    spec = get_backbone("faultnet")
    pixels = torch.from_numpy(pool.views[rows]).to(device).flatten(0, 1)
    views = pixels.permute(0, 3, 1, 2).float() / 255
    views = (views - spec.mean[0]) / spec.std[0]
    if rng.uniform() < _GREY_SHARE:
        luma = torch.tensor(_LUMA, device=device)[:, None, None]
        views = (views * luma).sum(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    masks = torch.from_numpy(pool.masks[rows]).to(device).flatten(0, 1)[:, None].float() / 255
    masks = functional.max_pool2d(masks, MASK_SIZE * MASK_STRIDE // VIEW_SIZE)
    transforms = torch.eye(3).repeat(len(rows), VIEWS, 1, 1)
    transforms[:, :PLACED_VIEWS, :2] = torch.from_numpy(pool.places[rows])
    transforms = transforms.flatten(0, 1)
    for change, matrix in _MIRRORINGS:
        chosen = torch.from_numpy(rng.uniform(size=count) < 0.5)
        views[chosen] = change(views[chosen])
        masks[chosen] = change(masks[chosen])
        transforms[chosen] = matrix @ transforms[chosen]
    contrast = torch.from_numpy(rng.uniform(0.75, 1.3, (count, 1, 1, 1)).astype(np.float32))
    brightness = torch.from_numpy(rng.normal(0, 0.25, (count, 1, 1, 1)).astype(np.float32))
    views = views * contrast.to(device) + brightness.to(device)
    if size < VIEW_SIZE:
        left, top = rng.integers(0, (VIEW_SIZE - size) // MASK_STRIDE + 1, 2) * MASK_STRIDE
        views = views[:, :, top : top + size, left : left + size]
        y, x, side = top // MASK_STRIDE, left // MASK_STRIDE, size // MASK_STRIDE
        masks = masks[:, :, y : y + side, x : x + side]
        transforms = torch.tensor([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]) @ transforms
    faults = torch.from_numpy(pool.faults[rows].astype(np.int64))
    kinds = functional.one_hot(faults + 1, len(FAULT_KINDS) + 1).sum(1)[:, 1:].float()
    families = torch.from_numpy(pool.families[rows].astype(np.int64))
    return ViewBatch(
        views.contiguous(memory_format=torch.channels_last),
        masks[:, 0],
        torch.arange(len(rows), device=device).repeat_interleave(VIEWS),
        families.to(device).repeat_interleave(VIEWS),
        kinds.to(device).repeat_interleave(VIEWS, 0),
        transforms.unflatten(0, (len(rows), VIEWS))[:, :PLACED_VIEWS].to(device),
    )


_LAST = VIEW_SIZE - 1
_MIRRORINGS = (
    (lambda t: t.flip(3), torch.tensor([[-1.0, 0, _LAST], [0, 1, 0], [0, 0, 1]])),
    (lambda t: t.flip(2), torch.tensor([[1.0, 0, 0], [0, -1, _LAST], [0, 0, 1]])),
    (lambda t: t.transpose(2, 3), torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])),
)


@dataclass(frozen=True)
class MatchedPoints:
    """Spots of s canvases, p each, by where the two views show them.

    first, second (s, p, 2) float32: their places in the views from -1 to 1, as grid_sample takes them;
    on_fault (s, p) the share of fault there; inside (s, p) bool, whether the second view shows the spot.
    """

    first: Tensor
    second: Tensor
    on_fault: Tensor
    inside: Tensor


def match_points(batch: ViewBatch, per_scene: int, rng: np.random.Generator) -> MatchedPoints:
    """Random spots of the first views, more often on faults than beside, and their places in the second."""
    size, device = batch.views.shape[-1], batch.views.device
    masks = batch.masks[::VIEWS]
    weights = (1 + _FAULT_WEIGHT * masks).flatten(1)
    # The largest of log-weight + Gumbel noise: a weighted draw without replacement.
    noise = torch.from_numpy(rng.gumbel(size=weights.shape).astype(np.float32)).to(device)
    chosen = (weights.log() + noise).topk(per_scene, dim=1).indices
    cells = torch.stack([chosen % masks.shape[2], chosen // masks.shape[2]], dim=-1)
    jitter = torch.from_numpy(rng.uniform(0, 1, (*chosen.shape, 2)).astype(np.float32)).to(device)
    first = (cells + jitter) * MASK_STRIDE - 0.5
    onward = batch.transforms[:, 1] @ torch.linalg.inv(batch.transforms[:, 0])
    second = first @ onward[:, :2, :2].mT + onward[:, None, :2, 2]
    inside = ((second > _MARGIN) & (second < size - 1 - _MARGIN)).all(-1)
    # From the middles of pixels to the edges of the picture.
    first, second = ((2 * places + 1) / size - 1 for places in (first, second))
    return MatchedPoints(first, second, masks.flatten(1).gather(1, chosen), inside)


def sample_at(maps: Tensor, places: Tensor) -> Tensor:
    """Values of (s, d, h, w) maps at places (s, p, 2): (s, p, d), bilinear, of unit length."""
    values = functional.grid_sample(maps, places[:, None], align_corners=False, padding_mode="border")
    return functional.normalize(values[:, :, 0].mT, dim=2)
