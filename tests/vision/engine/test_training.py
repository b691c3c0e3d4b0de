"""Training on a tiny pool: it learns, repeats itself, resumes, and its losses mean what they say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional

from vision.engine.backbones import build_network, get_backbone
from vision.engine.faultnet import FaultNet
from vision.engine.synthesis.faults import FAULT_KINDS
from vision.engine.synthesis.pool import Pool
from vision.engine.synthesis.scenes import draw_canvas, draw_view
from vision.engine.synthesis.sources import FieldBank
from vision.engine.synthesis.textures import FAMILY_CYCLE, material_family
from vision.engine.training import TrainingError, TrainingPlan, train
from vision.engine.training_losses import (
    TrainingHeads,
    contrastive_loss,
    mask_targets,
    training_losses,
)

PLAN = TrainingPlan(steps=6, batch=8, threads=1, device="cpu")


@pytest.fixture(scope="module")
def pool() -> Pool:
    bank = FieldBank.draw(len(FAMILY_CYCLE), 1, seed=3)
    rng = np.random.default_rng(9)
    canvases = [draw_canvas(rng, bank) for _ in range(40)]
    drawn = [[draw_view(rng, canvas) for _ in range(2)] for canvas in canvases]
    return Pool(
        views=np.array([[view for view, _ in pair] for pair in drawn]),
        masks=np.array([[masks for _, masks in pair] for pair in drawn]),
        faults=np.array([(*canvas.faults, -1, -1)[:2] for canvas in canvases], np.int8),
        families=np.array([material_family(canvas.material) for canvas in canvases], np.int8),
    )


def test_training_lowers_the_contrastive_loss_and_writes_loadable_weights(pool, tmp_path):
    losses = []
    result = train(
        replace(PLAN, steps=40),
        pool,
        tmp_path / "net.safetensors",
        tmp_path / "net.checkpoint",
        progress=lambda state: losses.append(state.losses["contrast"]),
    )
    assert result.steps == len(losses) == 40
    assert losses[-1] < losses[0] - 0.1
    assert isinstance(build_network(get_backbone("faultnet"), result.weights), FaultNet)
    with safe_open(result.weights, "pt") as file:
        notes = json.loads(file.metadata()["training"])
    assert notes["steps"] == 40
    assert notes["canvases"] == 40
    assert not (tmp_path / "net.checkpoint").exists()


def test_the_same_plan_gives_the_same_file_and_another_seed_another(pool, tmp_path):
    def sha256(name: str, plan: TrainingPlan) -> str:
        return train(plan, pool, tmp_path / name, tmp_path / f"{name}.checkpoint").sha256

    assert sha256("first", PLAN) == sha256("again", PLAN)
    assert sha256("other", replace(PLAN, seed=1)) != sha256("again", PLAN)


def test_an_interrupted_training_goes_on_to_the_same_weights(pool, tmp_path):
    checkpoint, out = tmp_path / "net.checkpoint", tmp_path / "resumed.safetensors"

    def stop_at_three(state):
        if state.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(PLAN, pool, out, checkpoint, progress=stop_at_three)
    assert not out.exists()
    resumed = train(PLAN, pool, out, checkpoint, resume=True)
    whole = train(PLAN, pool, tmp_path / "whole.safetensors", tmp_path / "whole.checkpoint")
    assert resumed.sha256 == whole.sha256


def test_a_checkpoint_of_another_training_is_refused(pool, tmp_path):
    checkpoint = tmp_path / "net.checkpoint"

    def stop(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(PLAN, pool, tmp_path / "net.safetensors", checkpoint, progress=stop)
    with pytest.raises(TrainingError, match="belongs to another training"):
        train(replace(PLAN, seed=5), pool, tmp_path / "net.safetensors", checkpoint, resume=True)


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_missing_or_damaged_checkpoint_is_refused(pool, tmp_path, content):
    checkpoint = tmp_path / "net.checkpoint"
    if content is not None:
        checkpoint.write_bytes(content)
    with pytest.raises(TrainingError, match="no readable checkpoint"):
        train(PLAN, pool, tmp_path / "net.safetensors", checkpoint, resume=True)


def test_a_pool_smaller_than_a_batch_is_refused(pool, tmp_path):
    with pytest.raises(TrainingError, match="40 canvases, fewer than a batch of 64"):
        train(replace(PLAN, batch=64), pool, tmp_path / "net.safetensors", tmp_path / "net.checkpoint")


def test_training_stops_after_its_minutes(pool, tmp_path):
    plan = TrainingPlan(minutes=0.002, batch=8, threads=1, device="cpu")
    shares = []
    train(plan, pool, tmp_path / "n", tmp_path / "c", progress=lambda state: shares.append(state.share))
    assert shares[-1] == 1


def test_a_loss_that_is_no_number_stops_the_training(pool, tmp_path):
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        train(replace(PLAN, learning_rate=1e30, steps=30), pool, tmp_path / "n.safetensors", tmp_path / "c")
    assert not (tmp_path / "n.safetensors").exists()


@pytest.mark.parametrize("length", [{}, {"steps": 3, "minutes": 1}])
def test_a_plan_has_either_steps_or_minutes(length):
    with pytest.raises(ValueError, match="either the steps or the minutes"):
        TrainingPlan(**length)


def test_the_contrastive_loss_is_the_formula_of_the_paper():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = np.exp(vectors @ vectors.T / 0.15)
    expected = []
    for row in range(6):
        others = [column for column in range(6) if column != row]
        expected.append(-np.log(similarity[row, row ^ 1] / similarity[row, others].sum()))
    loss = contrastive_loss(torch.from_numpy(vectors))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_mask_targets_put_each_fault_in_its_own_plane():
    masks = torch.rand(2, 2, 4, 4)
    target = mask_targets(masks, torch.tensor([[3, 0], [5, -1]]))
    assert target.shape == (2, len(FAULT_KINDS), 4, 4)
    torch.testing.assert_close(target[0, 3], masks[0, 0])
    torch.testing.assert_close(target[0, 0], masks[0, 1])
    torch.testing.assert_close(target[1, 5], masks[1, 0])
    assert target[1].sum() == masks[1, 0].sum()


def test_perfect_predictions_cost_almost_nothing_and_wrong_ones_much():
    target = torch.zeros(2, len(FAULT_KINDS), 12, 12)
    target[:, 2, 3:6, 3:6] = 1
    families = torch.tensor([1, 1])
    shape = TrainingHeads()(
        [torch.rand(2, c, 96 // s, 96 // s) for c, s in zip((32, 64, 128, 256), (4, 8, 16, 32), strict=True)]
    )
    assert shape["mask"].shape == target.shape

    def cost(sign: int) -> dict[str, float]:
        outputs = {
            "projection": functional.normalize(torch.ones(2, 8), dim=1),
            "family": sign * 10 * functional.one_hot(families, shape["family"].shape[1]).float(),
            "fault": sign * 20 * (target.amax((2, 3)) - 0.5),
            "mask": sign * 40 * (target - 0.5),
        }
        return {name: loss.item() for name, loss in training_losses(outputs, families, target).items()}

    right, wrong = cost(1), cost(-1)
    assert right["mask_entropy"] < 0.01 < wrong["mask_entropy"]
    assert right["fault"] < 0.01 < wrong["fault"]
    assert right["mask_overlap"] < wrong["mask_overlap"]
    assert right["family"] < wrong["family"]
