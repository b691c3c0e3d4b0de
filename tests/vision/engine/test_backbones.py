"""The registry keeps its promises, and every network computes what its authors' own code computes."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from tests.published import HALF, require_clip, save_published
from vision.engine.backbones import (
    BACKBONES,
    DEFAULT_BACKBONE,
    WeightsError,
    build_embedding_network,
    build_network,
    get_backbone,
    read_state,
)

TORCHVISION = [name for name in BACKBONES if name in models.list_models()]
CLIP = [name for name, spec in BACKBONES.items() if spec.understands_text]
SMALL = "efficientnet_b0"
# Where torchvision's own model hands its features to the last layer.
LAST_LAYER = {
    "resnet50": "fc",
    "wide_resnet50_2": "fc",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "vit_b_16": "heads.head",
}
# Of a picture: patches and one for the whole.
TOKENS = {"vit_b_16": 197, "clip_vit_b_32": 50, "clip_vit_b_32_laion": 50}
HEAVY = {"vgg16", "wide_resnet50_2", "vit_b_16"}


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in names]


def pixels(spec, count=2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, spec.channels, spec.input_size, spec.input_size, generator=generator)


@pytest.mark.parametrize("name", marked(TORCHVISION))
@torch.inference_mode()
def test_a_published_file_makes_the_network_that_torchvision_makes_of_it(name, tmp_path):
    spec = get_backbone(name)
    theirs = build_network(spec, random_seed=5)  # settled, so that no signal vanishes
    reference = models.get_model(name, weights=None)
    reference.load_state_dict(theirs.state_dict())
    if name in HALF:
        reference.half().float()  # to the numbers that the file can hold
    reference.eval()
    path = save_published(name, reference.state_dict(), tmp_path)

    captured = []
    if name == "vgg16":
        reference.features.register_forward_hook(lambda _, __, out: captured.append(out.mean(dim=(2, 3))))
    else:
        layer = reference.get_submodule(LAST_LAYER[name])
        layer.register_forward_hook(lambda _, given, __: captured.append(given[0]))
    logits = reference(pixels(spec))
    torch.testing.assert_close(build_network(spec, path)(pixels(spec)), logits)
    expected = captured[0] / captured[0].norm(dim=1, keepdim=True)
    vectors = build_embedding_network(spec, path)(pixels(spec))
    torch.testing.assert_close(vectors, expected, atol=1e-6, rtol=1e-4)
    assert vectors.shape == (2, spec.dimension)
    assert vectors[0] @ vectors[1] < 0.99999


@pytest.mark.parametrize("name", BACKBONES)
def test_taps_exist_and_give_maps(name):
    if name in CLIP:
        require_clip()
    spec = get_backbone(name)
    with torch.device("meta"):  # shapes without computing
        network = spec.build().eval()
        shapes, taps = {}, {*spec.taps.patch, *spec.taps.fine, spec.taps.gradcam, *spec.taps.embedding}
        for tap in taps:
            network.get_submodule(tap).register_forward_hook(
                lambda _, __, out, tap=tap: shapes.update({tap: out.shape})
            )
        network(torch.zeros(1, spec.channels, spec.input_size, spec.input_size))
    assert shapes.keys() == taps
    for pair in (spec.taps.patch, spec.taps.fine):
        finer, coarser = (shapes[tap] for tap in pair)
        assert len(finer) == len(coarser) == len(shapes[spec.taps.gradcam])
        if name in TOKENS:
            assert finer == coarser == (1, TOKENS[name], 768)
        else:
            assert finer[2] == 2 * coarser[2]
            assert finer[2] >= 8
    assert spec.taps.fine[1] == spec.taps.patch[0]


@pytest.mark.parametrize("name", TORCHVISION)
def test_weight_files_are_the_ones_that_torchvision_publishes(name):
    spec = get_backbone(name)
    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    assert weights.url == spec.weights_url
    assert spec.weights_url.endswith(f"-{spec.weights_sha256}.pth")
    transforms = weights.transforms()
    assert (tuple(transforms.mean), tuple(transforms.std)) == (spec.mean, spec.std)
    assert transforms.crop_size == [spec.input_size]


@pytest.mark.parametrize("suffix", ["pth", "old.pth", "safetensors"])
def test_reads_every_weight_format(suffix, tmp_path):
    spec = get_backbone(SMALL)
    state = build_network(spec, random_seed=1).state_dict()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(
            {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
            path,
        )
    else:
        torch.save(state, path, _use_new_zipfile_serialization=suffix == "pth")
    loaded = read_state(path)
    assert loaded.keys() == state.keys()
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    network = build_network(spec, path)
    name = "features.0.0.weight"
    torch.testing.assert_close(network.state_dict()[name], state[name], atol=1e-3, rtol=1e-2)
    assert not any(parameter.is_meta for parameter in network.state_dict().values())


def test_random_weights_repeat_and_differ_by_seed():
    spec = get_backbone(SMALL)
    state = torch.random.get_rng_state()
    first, again, other = (
        build_embedding_network(spec, random_seed=seed)(pixels(spec, 1)) for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first, again)
    assert (first * other).sum() < 0.99
    assert torch.equal(torch.random.get_rng_state(), state)


class Spy:
    """What a hostile file would carry: unpickling it would run `print`."""

    def __reduce__(self):
        return print, ("ran code from a weight file",)


def test_bad_weight_files_are_refused_and_run_nothing(tmp_path, capsys):
    spec = get_backbone(SMALL)
    hostile, early = tmp_path / "hostile.pth", tmp_path / "early.pth"
    torch.save({"a": Spy()}, hostile)
    torch.save({"a": Spy()}, early, _use_new_zipfile_serialization=False)
    for path in (hostile, early):
        with pytest.raises(WeightsError, match=rf"{path.name} holds more than weights: .* run .*print"):
            build_network(spec, path)
    junk = tmp_path / "junk.pth"
    junk.write_bytes(b"not weights at all")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 50)
    table = tmp_path / "table.pth"
    torch.save({"epoch": 3}, table)
    for path in (junk, broken, table):
        with pytest.raises(WeightsError, match=path.name):
            build_network(spec, path)
    with pytest.raises(WeightsError, match="cannot be read"):
        build_network(spec, tmp_path / "absent.pth")
    other = tmp_path / "other.pth"
    torch.save({"features.0.0.weight": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match="fetch_weights efficientnet_b0"):
        build_network(spec, other)
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize("form", ["early.pth", "pth", "safetensors"])
def test_a_file_that_was_cut_off_is_refused_in_one_sentence(form, tmp_path):
    spec = get_backbone(SMALL)
    state = build_network(spec, random_seed=1).state_dict()
    path = tmp_path / f"weights.{form}"
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "pth")
    whole = path.read_bytes()
    for share in (0.001, 0.5, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(WeightsError, match="Fetch it again") as caught:
            build_network(spec, path)
        assert "\n" not in str(caught.value)


def test_a_published_name_with_other_content_is_refused(tmp_path):
    spec = get_backbone(SMALL)
    state = build_network(spec, random_seed=1).state_dict()
    for name in (spec.weights_file, "mine-12ab34cd.pth"):
        torch.save(state, tmp_path / name)
        with pytest.raises(WeightsError, match=r"its sha256 begins with \w{8} and not with .*fetch it again"):
            build_network(spec, tmp_path / name)
    dated = tmp_path / "mine-20261125.pth"
    torch.save(state, dated)
    build_network(spec, dated)


@pytest.mark.parametrize(("name", "other"), [("resnet50", "wide_resnet50_2"), ("resnet50", "convnext_tiny")])
def test_another_architecture_is_refused(name, other, tmp_path):
    path = tmp_path / "weights.pth"
    with torch.device("meta"):
        shapes = get_backbone(other).build().state_dict()
    torch.save({key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()}, path)
    with pytest.raises(WeightsError, match=f"does not hold the weights of ResNet-50 .*fetch_weights {name}"):
        build_network(get_backbone(name), path)


def test_the_registry_needs_no_torch():
    code = (
        "import sys, vision.engine.backbones, vision.engine.weight_files; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert DEFAULT_BACKBONE in BACKBONES
    with pytest.raises(ValueError, match="Known are: faultnet, vgg16"):
        get_backbone("VGG")
