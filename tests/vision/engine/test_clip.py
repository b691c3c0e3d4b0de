"""CLIP from its published formats computes what open_clip's own loader computes, for pictures and words."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.published import require_clip, save_openai
from vision.engine import backbones
from vision.engine.backbones import ExtraMissing, WeightsError, build_embedding_network, build_network
from vision.engine.clip import TEMPLATES, TextEncoder
from vision.engine.embedder import Embedder

NAME = "clip_vit_b_32"
WORDS = ["dark blister near the edge", "long scratch"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_openais_archive_gives_what_open_clip_makes_of_it(tmp_path):
    require_clip()
    import open_clip
    from open_clip.model import build_model_from_openai_state_dict

    spec = backbones.get_backbone(NAME)
    path = tmp_path / "archive.pt"
    save_openai(build_network(spec, random_seed=2), path)
    stored = torch.jit.load(path).state_dict()
    del stored["attn_mask"]  # open_clip keeps it beside its weights
    reference = build_model_from_openai_state_dict(stored, cast_dtype=torch.float32).float().eval()
    tokens = open_clip.get_tokenizer("ViT-B-32")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    with torch.inference_mode():
        pictures = reference.encode_image(pixels, normalize=True)
        torch.testing.assert_close(
            build_embedding_network(spec, path)(pixels), pictures, atol=1e-5, rtol=1e-3
        )
        sentences = [template.format(WORDS[0]) for template in TEMPLATES]
        mean = reference.encode_text(tokens(sentences), normalize=True).mean(dim=0)
    encoded = TextEncoder(NAME, path).encode(WORDS)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[0], mean / mean.norm(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(encoded, axis=1), 1, atol=1e-5)
    assert encoded[0] @ encoded[1] < 0.999

    # The same tensors in the other formats are the same network; the other activation is another one.
    state = build_network(spec, path).state_dict()
    save_file(state, tmp_path / "open_clip_model.safetensors")
    torch.save(state, tmp_path / "open_clip_pytorch_model.bin")
    for name in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        np.testing.assert_allclose(TextEncoder(NAME, tmp_path / name).encode(WORDS), encoded, atol=1e-6)
    other = TextEncoder("clip_vit_b_32_laion", tmp_path / "open_clip_model.safetensors").encode(WORDS)
    assert not np.allclose(other, encoded, atol=1e-3)


@pytest.mark.slow
def test_openvino_and_torch_see_the_same(clip_data):
    weights = clip_data / "weights" / f"{NAME}.safetensors"
    noise = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    pictures = [Image.fromarray(noise), Image.new("RGB", (40, 90), "navy")]
    ours = Embedder(NAME, weights, device="cpu", runtime="openvino", cache_dir=clip_data / "openvino")
    reference = Embedder(NAME, weights, device="cpu", runtime="torch")
    assert ours.space == reference.space
    assert (ours.embed(pictures) * reference.embed(pictures)).sum(axis=1).min() > 0.9999


def test_without_the_extra_one_sentence_gives_the_command(monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    spec = backbones.get_backbone(NAME)
    with pytest.raises(ExtraMissing, match=r"open_clip is not installed\. Run: \.venv/bin/pip install -r "):
        build_network(spec)
    with pytest.raises(ExtraMissing):
        TextEncoder(NAME, None)


def test_other_backbones_have_no_words():
    with pytest.raises(WeightsError, match="understands no words"):
        TextEncoder("resnet50", None)
