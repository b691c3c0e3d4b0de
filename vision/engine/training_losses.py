"""What FaultNet learns from: heads that exist only in training, and their losses."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.faultnet import POOLED, STAGE_CHANNELS, pooled
from vision.engine.synthesis.faults import FAULT_KINDS
from vision.engine.synthesis.textures import FAMILIES

TEMPERATURE = 0.15
#: Weights of the losses; the contrastive ones do most of the work.
WEIGHTS = {"contrast": 1.0, "dense": 0.5, "family": 0.3, "fault": 2.0, "mask": 1.0}
#: A point lies on a fault when the mask reaches the second value there, and beside it below the first.
_CLEAR, _FAULTY = 0.1, 0.4


class TrainingHeads(nn.Module):
    """Projections for both contrastive losses, texture family, kinds of fault, and a fault mask at 1/8."""

    def __init__(self, projection: int = 128, local: int = 64) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(POOLED, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, projection)
        )
        self.family = nn.Linear(POOLED, len(FAMILIES))
        self.fault = nn.Linear(POOLED, len(FAULT_KINDS))
        self.laterals = nn.ModuleList(nn.Conv2d(channels, local, 1) for channels in STAGE_CHANNELS[1:])
        self.joined = nn.Sequential(nn.BatchNorm2d(local), nn.ReLU())
        self.local = nn.Conv2d(local, local, 1)
        self.mask = nn.Conv2d(local, 1, 3, 1, 1)

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Outputs of all heads for the four maps of FaultNet.

        Logits, except `projection` (n, 128) of unit length and `local` (n, 64, h/8, w/8), which is not.
        """
        whole = pooled(maps)
        joined = self.laterals[0](maps[1])
        for lateral, stage_map in zip(self.laterals[1:], maps[2:], strict=True):
            joined = joined + functional.interpolate(
                lateral(stage_map), joined.shape[-2:], mode="bilinear", align_corners=False
            )
        joined = self.joined(joined)
        return {
            "projection": functional.normalize(self.projection(whole), dim=1),
            "family": self.family(whole),
            "fault": self.fault(whole),
            "local": self.local(joined),
            "mask": self.mask(joined),
        }


def contrastive_loss(projections: Tensor, scenes: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, L_out): rows of equal `scenes` (n,) attract.

    With two views a scene it is NT-Xent (Chen et al. 2020).
    """
    similarity = projections @ projections.T / temperature
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    logs = functional.log_softmax(similarity.masked_fill(itself, -1e4), dim=1)
    partners = (scenes[:, None] == scenes[None]) & ~itself
    return -(logs * partners).sum(1).div(partners.sum(1)).mean()


def dense_contrastive_loss(
    first: Tensor, second: Tensor, scenes: Tensor, on_fault: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Contrast between matched points of two views: row i of both shows the same spot of the same canvas.

    `first` and `second` are (m, d) of unit length; `scenes` (m,) and `on_fault` (m,), the share of fault at
    the spot, tell which other rows repel: all of other scenes, and those of the same scene where one lies on
    a fault and the other clearly beside it. Spots of the same surface are left alone, since nothing tells
    them apart.
    """
    clear, faulty = on_fault < _CLEAR, on_fault > _FAULTY
    differ = (clear[:, None] & faulty[None]) | (faulty[:, None] & clear[None])
    ignored = (scenes[:, None] == scenes[None]) & ~differ
    ignored.fill_diagonal_(False)
    similarity = (first @ second.T / temperature).masked_fill(ignored, -1e4)
    match = torch.arange(len(first), device=first.device)
    return (functional.cross_entropy(similarity, match) + functional.cross_entropy(similarity.T, match)) / 2


def training_losses(
    outputs: dict[str, Tensor], scenes: Tensor, families: Tensor, kinds: Tensor, masks: Tensor
) -> dict[str, Tensor]:
    """The weighted losses of whole pictures by name, dense contrast aside.

    For each of n views `scenes` and `families` (n,) int64, `kinds` (n, kinds) float32 with 1 for the faults
    that show, `masks` (n, s, s) from 0 to 1 at the size of outputs["mask"].
    """
    logits = outputs["mask"][:, 0]
    predicted = logits.sigmoid()
    shared, either = (predicted * masks).sum(), (predicted + masks).sum()
    overlap = 1 - (2 * shared + 1) / (either + 1)
    losses = {
        "contrast": contrastive_loss(outputs["projection"], scenes),
        "family": functional.cross_entropy(outputs["family"], families, label_smoothing=0.05),
        "fault": functional.binary_cross_entropy_with_logits(outputs["fault"], kinds),
        "mask": functional.binary_cross_entropy_with_logits(logits, masks) + 0.5 * overlap,
    }
    return {name: WEIGHTS[name] * loss for name, loss in losses.items()}
