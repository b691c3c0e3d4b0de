"""Training on a tiny pool: it learns, repeats itself, resumes, and its losses mean what they say."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional

from vision.engine import training_views
from vision.engine.backbones import build_network, get_backbone
from vision.engine.faultnet import FaultNet
from vision.engine.synthesis.faults import FAULT_KINDS
from vision.engine.synthesis.pool import Pool
from vision.engine.synthesis.scenes import draw_canvas, draw_scene, draw_view
from vision.engine.synthesis.sources import FieldBank
from vision.engine.synthesis.textures import FAMILIES, FAMILY_CYCLE, material_family
from vision.engine.training import TrainingError, TrainingPlan, train
from vision.engine.training_losses import (
    TEMPERATURE,
    TrainingHeads,
    contrastive_loss,
    dense_contrastive_loss,
    training_losses,
)

PLAN = TrainingPlan(steps=6, batch=6, threads=2, device="cpu")


@pytest.fixture(scope="module")
def pool() -> Pool:
    bank = FieldBank.draw(len(FAMILY_CYCLE), 1, seed=3)
    rng = np.random.default_rng(9)
    scenes = [draw_scene(rng, bank) for _ in range(40)]
    drawn = []
    for scene in scenes:
        canvas, twin = (draw_canvas(rng, bank, scene) for _ in range(2))
        drawn.append([draw_view(rng, shown) for shown in (canvas, canvas, twin)])
    return Pool(
        views=np.array([[view for view, _, _ in views] for views in drawn]),
        masks=np.array([[mask for _, mask, _ in views] for views in drawn]),
        places=np.array([[place for _, _, place in views[:2]] for views in drawn]),
        faults=np.array([(*scene.faults, -1, -1)[:2] for scene in scenes], np.int8),
        families=np.array([material_family(scene.material) for scene in scenes], np.int8),
    )


def test_training_lowers_the_contrastive_loss_and_writes_loadable_weights(pool, tmp_path, monkeypatch):
    # Scenes are told apart by colour within a few steps, without it only after many.
    monkeypatch.setattr(training_views, "_GREY_SHARE", 0)
    losses = []
    result = train(
        replace(PLAN, steps=60),
        pool,
        tmp_path / "net.safetensors",
        tmp_path / "net.checkpoint",
        progress=lambda state: state.stage == "training" and losses.append(state.losses["contrast"]),
    )
    assert result.steps == len(losses) == 60
    assert losses[-1] < losses[9] - 0.1  # the first ones are smoothed over few steps
    assert isinstance(build_network(get_backbone("faultnet"), result.weights), FaultNet)
    with safe_open(result.weights, "pt") as file:
        notes = json.loads(file.metadata()["training"])
    assert notes["steps"] == 60
    assert notes["scenes"] == 40
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


def test_a_training_that_is_interrupted_at_its_end_goes_on_there(pool, tmp_path):
    checkpoint, out, stages = tmp_path / "net.checkpoint", tmp_path / "resumed.safetensors", []

    def stop_at_the_projection(state):
        if state.stage == "projection":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(PLAN, pool, out, checkpoint, progress=stop_at_the_projection)
    again = partial(train, PLAN, pool, out, checkpoint, resume=True)
    resumed = again(progress=lambda state: stages.append(state.stage))
    assert set(stages) == {"projection"}
    assert resumed.sha256 == train(PLAN, pool, tmp_path / "whole", tmp_path / "other").sha256


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


def test_a_pool_smaller_than_two_batches_is_refused(pool, tmp_path):
    with pytest.raises(TrainingError, match="40 scenes, fewer than two batches of 32"):
        train(replace(PLAN, batch=32), pool, tmp_path / "net.safetensors", tmp_path / "net.checkpoint")


def test_training_stops_after_its_minutes(pool, tmp_path):
    plan = TrainingPlan(minutes=0.002, batch=6, threads=2, device="cpu")
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


def unit_rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_the_contrastive_loss_is_the_formula_of_the_paper():
    vectors = unit_rows(np.random.default_rng(0), 6, 4)
    scenes = [0, 0, 0, 1, 1, 1]
    similarity = np.exp(vectors @ vectors.T / TEMPERATURE)
    expected = []
    for row in range(6):
        others = [column for column in range(6) if column != row]
        partners = [column for column in others if scenes[column] == scenes[row]]
        logs = [np.log(similarity[row, partner] / similarity[row, others].sum()) for partner in partners]
        expected.append(-np.mean(logs))
    loss = contrastive_loss(torch.from_numpy(vectors), torch.tensor(scenes))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_dense_contrast_leaves_spots_of_one_surface_alone():
    """Rows 0 and 1 are one scene's surface, row 2 its fault, row 3 another scene."""
    first, second = (torch.from_numpy(unit_rows(np.random.default_rng(n), 4, 5)) for n in (1, 2))
    scenes, on_fault = torch.tensor([0, 0, 0, 1]), torch.tensor([0.0, 0.05, 0.9, 0.0])
    similarity = np.exp((first @ second.T).numpy() / TEMPERATURE)
    seen = np.array([[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    expected = [
        -np.log(matrix[row, row] / (matrix[row] * seen[row]).sum())
        for matrix in (similarity, similarity.T)
        for row in range(4)
    ]
    loss = dense_contrastive_loss(first, second, scenes, on_fault)
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_perfect_predictions_cost_almost_nothing_and_wrong_ones_much():
    masks = torch.zeros(4, 12, 12)
    masks[:2, 3:6, 3:6] = 1
    families, scenes = torch.tensor([1, 1, 3, 3]), torch.tensor([0, 0, 1, 1])
    kinds = torch.zeros(4, len(FAULT_KINDS))
    kinds[:2, 2] = 1
    stages = [
        torch.rand(4, channels, 96 // stride, 96 // stride)
        for channels, stride in zip((32, 64, 128, 256), (4, 8, 16, 32), strict=True)
    ]
    shapes = TrainingHeads()(stages)
    assert shapes["mask"].shape == (4, 1, 12, 12)
    assert shapes["local"].shape == (4, 64, 12, 12)

    def cost(sign: int) -> dict[str, float]:
        outputs = {
            "projection": functional.one_hot(scenes if sign > 0 else torch.tensor([0, 1, 0, 1]), 8).float(),
            "family": sign * 10 * functional.one_hot(families, len(FAMILIES)).float(),
            "fault": sign * 20 * (kinds - 0.5),
            "mask": sign * 40 * (masks[:, None] - 0.5),
        }
        losses = training_losses(outputs, scenes, families, kinds, masks)
        return {name: loss.item() for name, loss in losses.items()}

    right, wrong = cost(1), cost(-1)
    assert right["mask"] < 0.01 < wrong["mask"]
    assert right["fault"] < 0.01 < wrong["fault"]
    assert right["contrast"] < 0.01 < wrong["contrast"]
    assert right["family"] < wrong["family"]
