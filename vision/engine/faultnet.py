"""FaultNet: the product's own compact network for surfaces, trained on drawn faults (see `training`).

A slim residual network (He et al. 2016) with one input channel and dense 3x3 convolutions, which a CPU runs
two to three times faster per operation than depthwise ones.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Channels of the four stages, which work at 1/4, 1/8, 1/16 and 1/32 of the picture's side.
STAGE_CHANNELS = (32, 64, 128, 256)
#: Numbers in an embedding: mean and standard deviation of every channel.
FAULTNET_DIMENSION = 2 * sum(STAGE_CHANNELS)


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


class FaultNet(nn.Module):
    """Grey pictures to four maps of features.

    Takes (n, 1, h, w) float32, normalised as its entry in `backbones` says, h and w from 64 to 512 pixels.
    Returns the maps of the stages, (n, 32, h/4, w/4) to (n, 256, h/32, w/32), rounded up.
    """

    def __init__(self) -> None:
        super().__init__()
        first = STAGE_CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(1, first // 2, 5, 2, 2, bias=False),
            nn.BatchNorm2d(first // 2),
            nn.ReLU(),
            nn.Conv2d(first // 2, first, 3, 2, 1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList(
            ResidualBlock(channels_in, channels_out, 1 if stage == 0 else 2)
            for stage, (channels_in, channels_out) in enumerate(pairwise((first, *STAGE_CHANNELS)))
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = [self.stem(pictures)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class FaultNetEmbedding(nn.Module):
    """Grey pictures to vectors: mean and standard deviation of all four stages.

    Takes what FaultNet takes, returns (n, 960) float32 of unit length. Every stage has the same share of it,
    so fine texture counts as much as coarse shape.
    """

    def __init__(self, network: FaultNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        blocks = []
        for stage_map in self.network(pictures):
            mean = stage_map.mean((2, 3), keepdim=True)
            deviation = ((stage_map - mean).square().mean((2, 3)) + 1e-6).sqrt()
            blocks.append(functional.normalize(torch.cat([mean.flatten(1), deviation], dim=1), dim=1))
        return functional.normalize(torch.cat(blocks, dim=1), dim=1)
