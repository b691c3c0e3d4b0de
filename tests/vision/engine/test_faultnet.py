"""FaultNet: shapes at every size, the embedding's parts, colour, and the weights that ship."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vision.engine.backbones import WeightsError, build_embedding_network, build_network, get_backbone
from vision.engine.faultnet import (
    FAULTNET_DIMENSION,
    POOLED,
    STAGE_CHANNELS,
    FaultNet,
    FaultNetEmbedding,
    pooled,
)
from vision.engine.synthesis.gallery import draw_fault_image
from vision.engine.synthesis.textures import draw_material
from vision.engine.weight_files import SHIPPED

SPEC = get_backbone("faultnet")


@pytest.fixture(scope="module")
def shipped() -> FaultNetEmbedding:
    return FaultNetEmbedding(build_network(SPEC, SHIPPED["faultnet"])).eval()


def normalised(pictures: np.ndarray) -> torch.Tensor:
    """(n, h, w, 3) or grey (n, h, w) uint8 as the network wants it."""
    if pictures.ndim == 3:
        pictures = np.repeat(pictures[..., None], 3, axis=3)
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - SPEC.mean[0]) / SPEC.std[0]


def embed(network: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(normalised(pictures)).numpy()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 260), (224, 224), (512, 512)])
def test_stages_halve_the_picture_from_a_quarter_on(height, width):
    network = FaultNet().eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, 3, height, width))
    sides = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
    assert [tuple(m.shape[2:]) for m in maps] == sides
    assert tuple(m.shape[1] for m in maps) == STAGE_CHANNELS


def test_the_network_stays_compact():
    assert sum(parameter.numel() for parameter in FaultNet().parameters()) < 2_100_000


@pytest.mark.parametrize("size", [64, 128, 224, 512])
def test_embeddings_have_unit_length(shipped, size):
    pictures = np.random.default_rng(0).integers(0, 256, (2, size, size), dtype=np.uint8)
    vectors = embed(shipped, pictures)
    assert vectors.shape == (2, FAULTNET_DIMENSION)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_is_pooled_are_mean_and_deviation_with_equal_shares_of_each_stage():
    maps = [torch.rand(2, channels, 6, 6) for channels in STAGE_CHANNELS]
    vectors = pooled(maps)
    assert vectors.shape == (2, POOLED)
    blocks = vectors.split([2 * channels for channels in STAGE_CHANNELS], dim=1)
    for block in blocks:
        torch.testing.assert_close(block.norm(dim=1), torch.ones(2))
    last = maps[-1].flatten(2)
    expected = torch.cat([last.mean(2), last.std(2, correction=0)], dim=1).sqrt()
    torch.testing.assert_close(
        blocks[-1], expected / expected.norm(dim=1, keepdim=True), atol=1e-3, rtol=1e-2
    )


def test_weights_leave_nothing_of_the_network_undefined(shipped):
    """A network is built without memory and filled from the file: what the file lacks would be garbage."""
    fresh = FaultNet()
    fresh.load_state_dict(shipped.network.state_dict())
    picture = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        for loaded, expected in zip(shipped.network(picture), fresh.eval()(picture), strict=True):
            torch.testing.assert_close(loaded, expected)


def test_a_uniform_picture_gives_a_finite_embedding(shipped):
    assert np.all(np.isfinite(embed(shipped, np.full((1, 128, 128), 77, np.uint8))))


def test_weights_tell_what_made_them():
    assert SHIPPED["faultnet"].stat().st_size < 16_000_000
    with safe_open(SHIPPED["faultnet"], "pt") as file:
        notes = json.loads(file.metadata()["training"])
    assert {"seed", "steps", "generator", "scenes", "batch"} <= notes.keys()
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
    picture, _ = draw_fault_image("scale", 1, 224, material="steel_sheet")
    other, _ = draw_fault_image("none", 1, 224, material="leather_panel")
    lit = np.clip(picture * 0.8 + np.linspace(0, 30, 224)[:, None], 0, 255).astype(np.uint8)
    vectors = embed(shipped, np.stack([picture, lit, other]))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_a_fault_of_hue_alone_is_seen(shipped):
    """A patch that is as bright as its surroundings: invisible in grey, and another picture in colour."""
    surface = np.repeat(draw_material(3, 1)[0][:224, :224, None].astype(np.float32), 3, axis=2)
    stained = surface.copy()
    stained[60:160, 60:160] += np.array([25, -20, 37.4])  # no change of luma
    pictures = np.clip(np.stack([surface, stained]), 0, 255).astype(np.uint8)
    grey = np.round(pictures @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)

    def distance(two: np.ndarray) -> float:
        vectors = embed(shipped, two)
        return float(1 - vectors[0] @ vectors[1])

    assert distance(pictures) > 0.05 + 3 * distance(grey)
