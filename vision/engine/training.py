"""Trains FaultNet from nothing, on drawn pictures only, and writes its weights.

    train(TrainingPlan(minutes=25), pool, out, checkpoint, progress=...)

The same plan with `steps`, the same pool and the same number of threads on the same machine give the same
weights to the byte. With `minutes` the number of steps depends on the machine; the weights then differ, the
quality does not.
"""

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from vision.engine.backbones import get_backbone
from vision.engine.faultnet import STAGE_CHANNELS, STAGE_DIMENSIONS, FaultNet, pooled
from vision.engine.synthesis.pool import GENERATOR_VERSION, VIEWS, Pool
from vision.engine.synthesis.scenes import VIEW_SIZE
from vision.engine.training_losses import (
    WEIGHTS,
    TrainingHeads,
    dense_contrastive_loss,
    training_losses,
)
from vision.engine.training_views import SMALL_VIEW, ViewBatch, draw_batch, match_points, sample_at
from vision.engine.weight_files import sha256_of
from vision.engine.whitening import scene_projection

#: Share of the training with small views.
SMALL_VIEW_SHARE = 0.6
WARM_UP_SHARE = 0.04
CHECKPOINT_SECONDS = 120
#: Spots of each scene for the dense contrast.
POINTS = 24
#: The weights that are kept are a moving average over about so many steps (1 / (1 - decay)).
AVERAGE_DECAY = 0.998
#: Scenes from which the projection is computed at the end.
PROJECTION_SCENES = 6_000


class TrainingError(Exception):
    """Training cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train. Exactly one of `steps` and `minutes` is given; a batch is counted in scenes."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int = 48
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    threads: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("Give either the steps or the minutes of the training.")
        if (self.steps if self.minutes is None else self.minutes) <= 0:
            raise ValueError("A training takes more than 0 steps or minutes.")


@dataclass(frozen=True)
class TrainingProgress:
    """`share` of the stage that is done, from 0 to 1, and smoothed losses of the training by name."""

    step: int
    share: float
    losses: dict[str, float]
    stage: Literal["training", "projection"] = "training"


@dataclass(frozen=True)
class TrainingResult:
    """Where the weights are, their sha256, the steps taken and the smoothed losses at the end."""

    weights: Path
    sha256: str
    steps: int
    losses: dict[str, float]


class _State:
    """Everything that a checkpoint must hold to go on as if nothing had happened."""

    def __init__(self, plan: TrainingPlan, device: torch.device) -> None:
        torch.manual_seed(plan.seed)
        self.network = FaultNet().to(device, memory_format=torch.channels_last)
        self.heads = TrainingHeads().to(device, memory_format=torch.channels_last)
        self.average = AveragedModel(self.network, avg_fn=_averaged, use_buffers=True)
        parameters = [
            *self.network.stem.parameters(),
            *self.network.stages.parameters(),
            *self.heads.parameters(),
        ]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=plan.learning_rate,
        )
        self.parameters = parameters
        self.step = 0
        self.seconds = 0.0
        self.losses: dict[str, float] = {}

    def save(self, path: Path, plan: TrainingPlan) -> None:
        content = {
            "plan": asdict(plan),
            "network": self.network.state_dict(),
            "heads": self.heads.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        torch.save(content, unfinished)
        os.replace(unfinished, path)

    def load(self, path: Path, plan: TrainingPlan) -> None:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            saved = {key: content["plan"][key] for key in _RECIPE}
        except (OSError, RuntimeError, EOFError, UnpicklingError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} is no readable checkpoint ({error}). Start without it.") from error
        if saved != {key: asdict(plan)[key] for key in _RECIPE}:
            raise TrainingError(
                f"The checkpoint {path} belongs to another training ({saved}). Start without it, or repeat "
                "the options of that training."
            )
        self.network.load_state_dict(content["network"])
        self.heads.load_state_dict(content["heads"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.seconds, self.losses = content["step"], content["seconds"], content["losses"]


def _averaged(average: Tensor, current: Tensor, updates: Tensor) -> Tensor:
    """The moving average of weights; at first over few steps, so that the start is soon forgotten."""
    if not current.is_floating_point():
        return current
    decay = min(AVERAGE_DECAY, (1 + updates.item()) / (10 + updates.item()))
    return torch.lerp(current, average, decay)


# What must agree between a checkpoint and the plan that goes on from it.
_RECIPE = ("steps", "minutes", "seed", "batch", "learning_rate", "weight_decay")


def train(
    plan: TrainingPlan,
    pool: Pool,
    out: Path,
    checkpoint: Path,
    *,
    resume: bool = False,
    progress: Callable[[TrainingProgress], None] = lambda state: None,
) -> TrainingResult:
    """Train on a pool and write the weights to `out` (.safetensors).

    `checkpoint` is written every two minutes and on Ctrl+C, and removed at the end; with `resume` training
    goes on from it.
    Raises TrainingError when the loss is no longer a number, when half the pool is smaller than a batch, or
    when the checkpoint does not fit.
    """
    if len(pool) < 2 * plan.batch:
        raise TrainingError(
            f"The pool holds {len(pool)} scenes, fewer than two batches of {plan.batch}. Draw more."
        )
    torch.set_num_threads(plan.threads)
    device = _choose_device(plan.device)
    state = _State(plan, device)
    if resume:
        state.load(checkpoint, plan)
    state.network.train()
    state.heads.train()
    started = time.monotonic() - state.seconds
    saved_at = time.monotonic()
    try:
        for rows in _batches(len(pool), plan, state.step):
            share = _share_done(plan, state)
            if share >= 1:
                break
            _train_step(plan, state, pool, rows, share, device)
            state.seconds = time.monotonic() - started
            progress(TrainingProgress(state.step, min(1.0, _share_done(plan, state)), dict(state.losses)))
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                state.save(checkpoint, plan)
                saved_at = time.monotonic()
        network = state.average.module.eval()
        _set_projection(
            network,
            pool,
            device,
            lambda share: progress(TrainingProgress(state.step, share, dict(state.losses), "projection")),
        )
    except KeyboardInterrupt:
        state.save(checkpoint, plan)
        raise
    digest = write_weights(network, out, {**asdict(plan), "steps": state.step, "scenes": len(pool)})
    checkpoint.unlink(missing_ok=True)
    return TrainingResult(out, digest, state.step, dict(state.losses))


def write_weights(network: nn.Module, out: Path, training: dict[str, object]) -> str:
    """Write a network's weights with what made them, without a date; returns the file's sha256."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    # One entry: safetensors does not keep the order of several, and the same weights should hash the same.
    notes = {"training": json.dumps({"generator": GENERATOR_VERSION, **training}, sort_keys=True)}
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + ".part")
    save_file(tensors, unfinished, metadata=notes)
    unfinished.chmod(0o644)  # save_file lets only its owner read it
    os.replace(unfinished, out)
    return sha256_of(out)


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _share_done(plan: TrainingPlan, state: _State) -> float:
    return state.step / plan.steps if plan.steps else state.seconds / (60 * plan.minutes)


def _batches(scenes: int, plan: TrainingPlan, first_step: int) -> Iterator[np.ndarray]:
    """Rows of the batch of each step from `first_step` on, without end; every epoch in another order.

    The first epoch sees only the first half of the pool, whose faults are easier.
    """
    step = 0
    for epoch in itertools.count():
        rows = scenes // 2 if epoch == 0 else scenes
        order = np.random.default_rng([plan.seed, epoch]).permutation(rows)
        for start in range(0, rows - plan.batch + 1, plan.batch):
            if step >= first_step:
                # Sorted, because the pool lies on disk.
                yield np.sort(order[start : start + plan.batch])
            step += 1


def _train_step(
    plan: TrainingPlan, state: _State, pool: Pool, rows: np.ndarray, share: float, device: torch.device
) -> None:
    # A generator of the step's own, so that a resumed training sees the same pictures.
    rng = np.random.default_rng([plan.seed, 1, state.step])
    size = SMALL_VIEW if share < SMALL_VIEW_SHARE else VIEW_SIZE
    batch = draw_batch(pool, rows, rng, size, device)
    for group in state.optimiser.param_groups:
        group["lr"] = plan.learning_rate * _schedule(share)
    outputs = state.heads(state.network(batch.views))
    losses = training_losses(outputs, batch.scenes, batch.families, batch.kinds, batch.masks)
    losses["dense"] = WEIGHTS["dense"] * _dense_loss(outputs["local"], batch, rng)
    total = sum(losses.values())
    if not torch.isfinite(total):
        raise TrainingError(f"The loss is no number any more at step {state.step}. Lower the learning rate.")
    state.optimiser.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(state.parameters, 5.0)
    state.optimiser.step()
    state.average.update_parameters(state.network)
    state.step += 1
    for name, loss in losses.items():
        state.losses[name] = 0.98 * state.losses.get(name, loss.item()) + 0.02 * loss.item()


def _dense_loss(local: Tensor, batch: ViewBatch, rng: np.random.Generator) -> Tensor:
    spots = match_points(batch, POINTS, rng)
    first = sample_at(local[::VIEWS], spots.first)[spots.inside]
    second = sample_at(local[1::VIEWS], spots.second)[spots.inside]
    scenes = torch.arange(len(spots.inside), device=local.device)[:, None].expand_as(spots.inside)
    return dense_contrastive_loss(first, second, scenes[spots.inside], spots.on_fault[spots.inside])


def _set_projection(
    network: FaultNet, pool: Pool, device: torch.device, progress: Callable[[float], None]
) -> None:
    """Compute the projection of the finished network from scenes of the pool.

    Enlarged to what the product's pictures are brought to: maps of another size have other statistics.
    """
    spec = get_backbone("faultnet")
    size = (spec.input_size, spec.input_size)
    rows = np.linspace(0, len(pool) - 1, min(PROJECTION_SCENES, len(pool))).astype(int)
    features = []
    with torch.inference_mode():
        for start in range(0, len(rows), 16):
            pixels = torch.from_numpy(pool.views[rows[start : start + 16]]).to(device).flatten(0, 1)
            views = (pixels.permute(0, 3, 1, 2).float() / 255 - spec.mean[0]) / spec.std[0]
            views = functional.interpolate(views, size, mode="bilinear", align_corners=False)
            features.append(
                pooled(network(views.contiguous(memory_format=torch.channels_last))).cpu().numpy()
            )
            progress((start + len(features[-1]) // VIEWS) / len(rows))
    blocks = np.split(np.concatenate(features), np.cumsum([2 * c for c in STAGE_CHANNELS])[:-1], axis=1)
    weights, offsets = [], []
    for block, dimension in zip(blocks, STAGE_DIMENSIONS, strict=True):
        matrix, offset = scene_projection(block.reshape(len(rows), VIEWS, -1), dimension)
        weights.append(torch.from_numpy(matrix.T))
        offsets.append(torch.from_numpy(offset))
    network.projection.load_state_dict({"weight": torch.block_diag(*weights), "bias": torch.cat(offsets)})


def _schedule(share: float) -> float:
    """Factor of the learning rate: a short rise, then half a cosine down to zero."""
    return min(1.0, 0.02 + share / WARM_UP_SHARE) * 0.5 * (1 + math.cos(math.pi * share))
