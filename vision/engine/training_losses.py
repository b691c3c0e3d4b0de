"""What FaultNet learns from: heads that exist only in training, and their losses."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.faultnet import STAGE_CHANNELS
from vision.engine.synthesis.faults import FAULT_KINDS
from vision.engine.synthesis.textures import FAMILIES

TEMPERATURE = 0.15
#: Weights of the losses; the contrastive one does most of the work.
WEIGHTS = {"contrast": 1.0, "family": 0.5, "fault": 4.0, "mask_entropy": 10.0, "mask_overlap": 0.5}
#: A fault counts as visible when its mask reaches this.
VISIBLE = 0.3


class TrainingHeads(nn.Module):
    """Projection for the contrastive loss, texture family, faults of the picture and fault masks at 1/8."""

    def __init__(self, projection: int = 128, lateral: int = 48) -> None:
        super().__init__()
        deepest = STAGE_CHANNELS[-1]
        self.projection = nn.Sequential(
            nn.Linear(deepest, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, projection)
        )
        self.family = nn.Linear(deepest, len(FAMILIES))
        self.fault = nn.Linear(deepest, len(FAULT_KINDS))
        self.laterals = nn.ModuleList(nn.Conv2d(channels, lateral, 1) for channels in STAGE_CHANNELS[1:])
        self.mask = nn.Sequential(
            nn.BatchNorm2d(lateral), nn.ReLU(), nn.Conv2d(lateral, len(FAULT_KINDS), 3, 1, 1)
        )

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Outputs of all heads for the four maps of FaultNet; logits, except the unit-length projection."""
        deepest = maps[-1]
        mean = deepest.mean((2, 3))
        joined = self.laterals[0](maps[1])
        for lateral, stage_map in zip(self.laterals[1:], maps[2:], strict=True):
            joined = joined + functional.interpolate(
                lateral(stage_map), joined.shape[-2:], mode="bilinear", align_corners=False
            )
        return {
            "projection": functional.normalize(self.projection(mean), dim=1),
            "family": self.family(mean),
            "fault": self.fault((mean + deepest.amax((2, 3))) / 2),
            "mask": self.mask(joined),
        }


def contrastive_loss(projections: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """NT-Xent (Chen et al. 2020): rows 2i and 2i + 1 are views of one canvas, all others are negatives."""
    similarity = projections @ projections.T / temperature
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    partner = torch.arange(len(similarity), device=similarity.device) ^ 1
    return functional.cross_entropy(similarity.masked_fill(itself, -1e4), partner)


def mask_targets(masks: Tensor, faults: Tensor) -> Tensor:
    """Masks by fault kind.

    `masks` (n, 2, s, s) from 0 to 1 and `faults` (n, 2) int64, -1 for none, give (n, kinds, s, s).
    """
    # Unused slots write into one kind too many, which is cut off.
    target = masks.new_zeros(len(masks), len(FAULT_KINDS) + 1, *masks.shape[2:])
    rows = torch.arange(len(masks), device=masks.device)
    for slot in range(masks.shape[1]):
        kind = torch.where(faults[:, slot] < 0, len(FAULT_KINDS), faults[:, slot])
        target[rows, kind] = masks[:, slot]
    return target[:, :-1]


def training_losses(outputs: dict[str, Tensor], families: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The weighted losses by name; their sum is what training lowers.

    `families` (n,) int64; `target` (n, kinds, s, s) from `mask_targets`, at the size of outputs["mask"].
    """
    logits = outputs["mask"]
    visible = (target.amax((2, 3)) > VISIBLE).float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight=1 + 4 * target)
    predicted = logits.sigmoid()
    shared, either = (predicted * target).sum((0, 2, 3)), (predicted + target).sum((0, 2, 3))
    losses = {
        "contrast": contrastive_loss(outputs["projection"]),
        "family": functional.cross_entropy(outputs["family"], families, label_smoothing=0.05),
        "fault": functional.binary_cross_entropy_with_logits(outputs["fault"], visible),
        "mask_entropy": entropy,
        "mask_overlap": 1 - ((2 * shared + 1) / (either + 1)).mean(),
    }
    return {name: WEIGHTS[name] * loss for name, loss in losses.items()}
