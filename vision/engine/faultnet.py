"""FaultNet: the product's own compact network for surfaces, trained on drawn faults (see `training`).

A slim residual network (He et al. 2016) with dense 3x3 convolutions, which a CPU runs two to three times
faster per operation than depthwise ones.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Channels of the four stages, which work at 1/4, 1/8, 1/16 and 1/32 of the picture's side.
STAGE_CHANNELS = (32, 64, 128, 256)
#: Residual blocks of each stage. The third sees faults whole and is still fine enough to place them.
STAGE_BLOCKS = (1, 1, 2, 1)
#: Numbers that all stages are pooled to: mean and standard deviation of every channel.
POOLED = 2 * sum(STAGE_CHANNELS)
#: Numbers in an embedding that come from each stage, and all of them.
STAGE_DIMENSIONS = (24, 48, 96, 152)
FAULTNET_DIMENSION = sum(STAGE_DIMENSIONS)
#: Share of each stage in an embedding, as a length. The first sees a few pixels: grain and noise, mostly.
STAGE_SHARES = (0.5, 1.0, 1.0, 1.0)
#: Luma (ITU-R BT.601) and two differences of colour, from red, green and blue.
_OPPONENT = ((0.299, 0.587, 0.114), (1.0, -0.5, -0.5), (0.0, 1.0, -1.0))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first may halve the map with stride 2."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            # Averaging before the 1x1 convolution keeps the three quarters that a stride would drop.
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, maps: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(maps)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(maps))


def _stage(channels_in: int, channels_out: int, stride: int, blocks: int) -> nn.Sequential:
    first = ResidualBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(ResidualBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


class FaultNet(nn.Module):
    """Pictures to four maps of features.

    Takes (n, 3, h, w) float32 RGB, normalised as its entry in `backbones` says, h and w from 64 to 512
    pixels; a grey picture has three equal channels. Returns the maps of the stages, (n, 32, h/4, w/4) to
    (n, 256, h/32, w/32), rounded up. `projection` turns what `pooled` makes of them into the embedding, stage
    by stage; it is not trained with the rest, but computed from it at the end (see `whitening`).
    """

    def __init__(self) -> None:
        super().__init__()
        first = STAGE_CHANNELS[0]
        # Colour apart from brightness: in a grey picture the last two are zero, and nothing else changes.
        self.register_buffer("opponent", torch.tensor(_OPPONENT)[:, :, None, None])
        self.stem = nn.Sequential(
            nn.Conv2d(3, first // 2, 5, 2, 2, bias=False),
            nn.BatchNorm2d(first // 2),
            nn.ReLU(),
            nn.Conv2d(first // 2, first, 3, 2, 1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        )
        channels = pairwise((first, *STAGE_CHANNELS))
        self.stages = nn.ModuleList(
            _stage(channels_in, channels_out, 1 if stage == 0 else 2, STAGE_BLOCKS[stage])
            for stage, (channels_in, channels_out) in enumerate(channels)
        )
        self.projection = nn.Linear(POOLED, FAULTNET_DIMENSION)
        nn.init.orthogonal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = [self.stem(functional.conv2d(pictures, self.opponent))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def pooled(maps: list[Tensor]) -> Tensor:
    """Mean and standard deviation of every channel of all stages: (n, 960) float32.

    The square root keeps the few strong channels from ruling the rest, and every stage is scaled to length 1.
    """
    blocks = []
    for stage_map in maps:
        mean = stage_map.mean((2, 3), keepdim=True)
        variance = (stage_map - mean).square().mean((2, 3))
        spread = (variance + 1e-8).sqrt()
        block = (torch.cat([mean.flatten(1), spread], dim=1) + 1e-4).sqrt()
        blocks.append(functional.normalize(block, dim=1))
    return torch.cat(blocks, dim=1)


class FaultNetEmbedding(nn.Module):
    """Pictures to vectors: takes what FaultNet takes, returns (n, 320) float32 of unit length.

    Each stage has a fixed share of a vector, so fine texture counts as much as coarse shape.
    """

    def __init__(self, network: FaultNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        projected = self.network.projection(pooled(self.network(pictures)))
        blocks = projected.split(STAGE_DIMENSIONS, dim=1)
        weighed = [
            share * functional.normalize(block, dim=1)
            for share, block in zip(STAGE_SHARES, blocks, strict=True)
        ]
        return functional.normalize(torch.cat(weighed, dim=1), dim=1)
