"""Every other backbone comes in through the command, embeds pictures, and serves as a space."""

import tempfile
from pathlib import Path

import pytest
from django.core.management import call_command

from tests import factories
from tests.published import require_clip, save_openai, save_published
from vision.engine.backbones import BACKBONES, build_network, get_backbone
from vision.engine.weight_files import SHIPPED
from vision.models import Embedding
from vision.services.embedding import pending_embed, space_current
from vision.services.search import pictures_search

pytestmark = pytest.mark.django_db
QUICK = {"efficientnet_b0"}
OTHERS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in BACKBONES
    if name not in SHIPPED
]


@pytest.fixture
def folder():
    """A folder that is gone after the test: weight files are large."""
    with tempfile.TemporaryDirectory(prefix="faultdiag-weights-") as path:
        yield Path(path)


def published(name: str, folder: Path) -> Path:
    """The file of a backbone as its authors publish it, with random numbers."""
    network = build_network(get_backbone(name), random_seed=3)
    if name == "clip_vit_b_32":
        save_openai(network, folder / "archive.pt")
        return folder / "archive.pt"
    if name == "clip_vit_b_32_laion":
        import torch

        torch.save(network.state_dict(), folder / "open_clip_pytorch_model.bin")
        return folder / "open_clip_pytorch_model.bin"
    return save_published(name, network.state_dict(), folder)


@pytest.mark.parametrize("name", OTHERS)
def test_a_published_file_serves_as_a_space(name, folder, settings, use_backbone):
    spec = get_backbone(name)
    if spec.needs:
        require_clip()
    source = published(name, folder)
    use_backbone(name, folder / "data")
    call_command("fetch_weights", name, "--file", str(source))
    source.unlink()
    scratch = factories.category("SCR")
    cases = [factories.case(labelled=scratch, seed=seed) for seed in (100, 200, 300)]
    assert not pending_embed()
    space = space_current()
    assert (space.backbone, space.dimension, space.state) == (name, spec.dimension, "active")
    assert Embedding.objects.filter(space=space).count() == 3
    found = pictures_search([factories.picture(200)], top_k=3).matches
    assert found[0].case == cases[1]
    assert found[0].similarity == pytest.approx(1, abs=0.001)
    assert found[0].similarity - found[1].similarity > 0.0001
