"""FaultNet: shapes at every size, the embedding's parts, and the weights that ship."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vision.engine.backbones import WeightsError, build_embedding_network, build_network, get_backbone
from vision.engine.faultnet import FAULTNET_DIMENSION, STAGE_CHANNELS, FaultNet, FaultNetEmbedding
from vision.engine.synthesis.gallery import draw_fault_image
from vision.engine.synthesis.textures import draw_material
from vision.engine.weight_files import SHIPPED

SPEC = get_backbone("faultnet")


@pytest.fixture(scope="module")
def shipped() -> FaultNetEmbedding:
    return FaultNetEmbedding(build_network(SPEC, SHIPPED["faultnet"])).eval()


def embed(network: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    grey = torch.from_numpy(pictures).float()[:, None] / 255
    with torch.inference_mode():
        return network((grey - SPEC.mean[0]) / SPEC.std[0]).numpy()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 260), (224, 224), (512, 512)])
def test_stages_halve_the_picture_from_a_quarter_on(height, width):
    network = FaultNet().eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, 1, height, width))
    sides = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
    assert [tuple(m.shape[2:]) for m in maps] == sides
    assert tuple(m.shape[1] for m in maps) == STAGE_CHANNELS


def test_the_network_stays_compact():
    assert sum(parameter.numel() for parameter in FaultNet().parameters()) < 1_300_000


@pytest.mark.parametrize("size", [64, 128, 224, 512])
def test_embeddings_have_unit_length_and_equal_shares_of_each_stage(shipped, size):
    pictures = np.random.default_rng(0).integers(0, 256, (2, size, size), dtype=np.uint8)
    vectors = embed(shipped, pictures)
    assert vectors.shape == (2, FAULTNET_DIMENSION)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    ends = np.cumsum([0, *(2 * channels for channels in STAGE_CHANNELS)])
    shares = [np.linalg.norm(vectors[:, a:b], axis=1) for a, b in pairwise(ends)]
    assert np.allclose(shares, 0.5, atol=1e-4)


def test_an_embedding_holds_the_mean_and_deviation_of_the_maps(shipped):
    picture = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        vector, last = shipped(picture)[0], shipped.network(picture)[-1][0].flatten(1)
    expected = torch.cat([last.mean(1), (last.var(1, unbiased=False) + 1e-6).sqrt()])
    torch.testing.assert_close(vector[-512:], expected / expected.norm() / 2, atol=1e-5, rtol=1e-4)


def test_a_uniform_picture_gives_a_finite_embedding(shipped):
    assert np.all(np.isfinite(embed(shipped, np.full((1, 128, 128), 77, np.uint8))))


def test_weights_tell_what_made_them():
    assert SHIPPED["faultnet"].stat().st_size < 8_000_000
    with safe_open(SHIPPED["faultnet"], "pt") as file:
        notes = json.loads(file.metadata()["training"])
    assert {"seed", "steps", "generator", "canvases", "batch"} <= notes.keys()
    assert notes["steps"] > 1000


def test_weights_of_something_else_are_refused(tmp_path):
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(WeightsError, match=r"other\.safetensors does not hold the weights"):
        build_network(SPEC, other)


def test_shipped_weights_find_other_pieces_of_a_material_better_than_random_ones(shipped):
    """Materials that training never drew: the nearest picture is another piece of the same one."""
    unseen = range(5_000_000, 5_000_060)
    pictures = np.concatenate([draw_material(material, 2)[:, :128, :128] for material in unseen])
    random = build_embedding_network(SPEC, random_seed=0)

    def share_found(network: torch.nn.Module) -> float:
        vectors = embed(network, pictures)
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -1)
        return float(np.mean(similarity.argmax(1) == (np.arange(len(pictures)) ^ 1)))

    found = share_found(shipped)
    assert found > 0.8
    assert found > share_found(random) + 0.05


def test_a_picture_stays_near_itself_under_another_light(shipped):
    colour, _ = draw_fault_image("scale", 1, 224, material="steel_sheet")
    other, _ = draw_fault_image("none", 1, 224, material="leather_panel")
    grey, other = colour.mean(2), other.mean(2)
    lit = np.clip(grey * 0.8 + np.linspace(0, 30, 224), 0, 255)
    vectors = embed(shipped, np.stack([grey, lit, other]).astype(np.uint8))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.05
