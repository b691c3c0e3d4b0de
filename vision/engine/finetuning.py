"""The whole network tuned to labelled pictures: slower than a projection, for those who have the time.

Supervised contrastive loss (Khosla et al. 2020) beside plain classification, both on the pooled maps that
make the embedding, over crops, flips and changes of light. Statistics of batch normalisation stay as they
are: batches of one library are too much alike to estimate them from.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.backbones import BackboneSpec, build_network, get_backbone
from vision.engine.images import to_rgb
from vision.engine.weight_files import sha256_of

Read = Callable[[], Image.Image]
_TEMPERATURE = 0.1
_WARM_UP_SHARE = 0.05
#: Smallest side of a crop, as a share of the picture's: less would lose the fault too often.
_SMALLEST_CROP = 0.6


@dataclass(frozen=True)
class TuningPlan:
    """How to tune: exactly one of `steps` and `minutes`; a batch has `categories` x `pictures` images."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    categories: int = 8
    pictures: int = 4
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    threads: int = 1

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("Give either the steps or the minutes of the tuning.")


class Tuning:
    """A tuning that may be left and gone on with at any time.

    `reads` and `labels` (n,) are the pictures to learn from. What was done is kept in the file `checkpoint`;
    a checkpoint that can't be read is begun anew.
    """

    def __init__(
        self,
        backbone: str,
        weights: Path,
        reads: Sequence[Read],
        labels: np.ndarray,
        plan: TuningPlan,
        checkpoint: Path,
    ) -> None:
        self._spec = get_backbone(backbone)
        self._reads, self._plan, self._checkpoint = reads, plan, checkpoint
        _, self._labels = np.unique(labels, return_inverse=True)
        self._members = [np.flatnonzero(self._labels == one) for one in range(self._labels.max() + 1)]
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self._network = build_network(self._spec, weights).requires_grad_(True)
        self._pool = _Pooled(self._network, self._spec)
        with torch.no_grad():
            size = (1, self._spec.channels, self._spec.input_size, self._spec.input_size)
            width = self._pool(torch.zeros(size)).shape[1]
        self._head = nn.Linear(width, len(self._members))
        self._optimiser = torch.optim.AdamW(
            [
                {"params": list(self._network.parameters()), "lr": plan.learning_rate},
                {"params": list(self._head.parameters()), "lr": 10 * plan.learning_rate},
            ],
            weight_decay=plan.weight_decay,
        )
        self._rates = [group["lr"] for group in self._optimiser.param_groups]
        self._step, self._seconds = 0, 0.0
        self._load()

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        plan = self._plan
        done = self._seconds / (60 * plan.minutes) if plan.steps is None else self._step / plan.steps
        return min(done, 1.0)

    def run(self, seconds: float = math.inf, watch: Callable[[float], None] | None = None) -> bool:
        """Tune on for so long, one step at least, keep a checkpoint, and say whether it is complete.

        `watch(share)` is told after every step.
        """
        started = last = time.monotonic()
        while self.share < 1 and (last == started or last - started < seconds):
            self._learn()
            self._step += 1
            now = time.monotonic()
            self._seconds, last = self._seconds + now - last, now
            if watch:
                watch(self.share)
        self._save()
        return self.share >= 1

    def write(self, folder: Path) -> tuple[Path, str]:
        """Write the weights as SHA256.safetensors, whole or not at all; returns the path and the sha256."""
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{os.getpid()}-tuned.safetensors"
        state = {name: value.detach().contiguous() for name, value in self._network.state_dict().items()}
        save_file(state, part)
        digest = sha256_of(part)
        target = folder / f"{digest}.safetensors"
        os.replace(part, target)
        return target, digest

    def _learn(self) -> None:
        random = np.random.default_rng([self._plan.seed, self._step])
        chosen = self._draw(random)
        batch = torch.stack([_view(self._reads[one](), self._spec, random) for one in chosen])
        labels = torch.from_numpy(self._labels[chosen])
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * min(self.share / _WARM_UP_SHARE + 0.02, 1) * _cosine(self.share)
        vectors = self._pool(batch)
        loss = supervised_contrast(vectors, labels) + functional.cross_entropy(self._head(vectors), labels)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()

    def _draw(self, random: np.random.Generator) -> np.ndarray:
        """As many pictures of each of some categories, so that rare ones count as much."""
        count = min(self._plan.categories, len(self._members))
        categories = random.choice(len(self._members), count, replace=False)
        wanted = self._plan.pictures * self._plan.categories // count
        return np.concatenate(
            [
                random.choice(self._members[one], wanted, replace=len(self._members[one]) < wanted)
                for one in categories
            ]
        )

    def _save(self) -> None:
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self._checkpoint.with_name(self._checkpoint.name + ".part")
        content = {
            "plan": asdict(self._plan),
            "network": self._network.state_dict(),
            "head": self._head.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self._step,
            "seconds": self._seconds,
        }
        torch.save(content, part)
        os.replace(part, self._checkpoint)

    def _load(self) -> None:
        try:
            content = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
            if content["plan"] != asdict(self._plan):
                return
            self._network.load_state_dict(content["network"])
            self._head.load_state_dict(content["head"])
            self._optimiser.load_state_dict(content["optimiser"])
            self._step, self._seconds = content["step"], content["seconds"]
        except (OSError, RuntimeError, EOFError, UnpicklingError, KeyError, ValueError):
            return


class _Pooled:
    """The pooled outputs of the layers that make the embedding, side by side: (n, d), unit length."""

    def __init__(self, network: nn.Module, spec: BackboneSpec) -> None:
        self._network = network
        self._maps: list[Tensor] = []
        for name in spec.taps.embedding:
            network.get_submodule(name).register_forward_hook(
                lambda module, inputs, output: self._maps.append(output)
            )

    def __call__(self, pictures: Tensor) -> Tensor:
        self._maps.clear()
        self._network(pictures)
        blocks = [functional.normalize(_pool(one), dim=1) for one in self._maps]
        self._maps.clear()
        return functional.normalize(torch.cat(blocks, dim=1), dim=1)


def _pool(maps: Tensor) -> Tensor:
    """(n, c, h, w) to mean and deviation, (n, tokens, c) to their mean, (n, c) as it is."""
    if maps.ndim == 4:
        mean = maps.mean((2, 3))
        deviation = ((maps - mean[:, :, None, None]).square().mean((2, 3)) + 1e-6).sqrt()
        return torch.cat([mean, deviation], dim=1)
    return maps.mean(1) if maps.ndim == 3 else maps


def supervised_contrast(vectors: Tensor, labels: Tensor, temperature: float = _TEMPERATURE) -> Tensor:
    """Khosla et al. 2020, L_out: rows (n, d) of unit length; rows of one label attract each other."""
    itself = torch.eye(len(vectors), dtype=torch.bool)
    logits = (vectors @ vectors.T / temperature).masked_fill(itself, -1e4)
    same = (labels[:, None] == labels[None]) & ~itself
    chances = logits - logits.logsumexp(dim=1, keepdim=True)
    count = same.sum(1)
    return -((chances * same).sum(1) / count.clamp(min=1))[count > 0].mean()


def _view(image: Image.Image, spec: BackboneSpec, random: np.random.Generator) -> Tensor:
    """A crop of a picture, perhaps mirrored, in another light: (channels, s, s), normalised."""
    image = to_rgb(image)
    width, height = (side * random.uniform(_SMALLEST_CROP, 1) for side in image.size)
    left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    size = (spec.input_size, spec.input_size)
    image = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    if spec.channels == 1:
        image = image.convert("L")
    pixels = np.asarray(image, np.float32).reshape(*size, spec.channels) / 255
    pixels = pixels[:, :: random.choice([1, -1])][:: random.choice([1, -1])]
    pixels = np.clip(pixels * random.uniform(0.8, 1.2) + random.uniform(-0.1, 0.1), 0, 1)
    pixels = (pixels - np.float32(spec.mean)) / np.float32(spec.std)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share)) + 0.01
