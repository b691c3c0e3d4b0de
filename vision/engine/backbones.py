"""The networks that turn a picture into a vector: how each is built, fed, tapped and loaded.

The registry itself needs no torch, which is imported only when a network is built: a process that serves
a converted network never pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vision.engine.checkpoints import WeightsError, check_digits, digits_in_name, first_line, read_state

if TYPE_CHECKING:
    from torch import Tensor, nn

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_TORCHVISION_DOWNLOADS = "https://download.pytorch.org/models/"
_TORCHVISION_LICENCE = (
    "Code BSD-3-Clause (torchvision). Weights trained on ImageNet, whose images are for non-commercial "
    "research: check that your use is covered."
)


class ExtraMissing(WeightsError):
    """A backbone of an optional extra that is not installed; the text gives the command that mends it."""


@dataclass(frozen=True)
class Taps:
    """Names of layers, as `nn.Module.get_submodule` takes them.

    `embedding` are those whose output, pooled over positions, makes the vector; `patch` gives two maps of
    local features (finer, coarser; for a transformer two blocks of tokens), `fine` the same a step nearer to
    the pixels, `gradcam` the last map that still has positions.
    """

    embedding: tuple[str, ...]
    patch: tuple[str, str]
    fine: tuple[str, str]
    gradcam: str


@dataclass(frozen=True)
class BackboneSpec:
    """One entry of the registry. Sizes in pixels; mean and std for channel values scaled to 0 to 1.

    `resize` tells how a picture becomes square: "resize" changes its proportions, "letterbox" keeps them and
    pads. Nothing is ever cropped, since a fault may lie at the edge. `weights_file` is the file that the
    network's authors publish, `weights_url` its address and `weights_sha256` its first digits at least; all
    are None for a network whose file has no one address. `needs` is the module of an optional extra, and
    `understands_text` says that words have vectors in the same space (`vision.engine.clip`).
    """

    name: str
    title: str
    dimension: int
    input_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["resize", "letterbox"]
    build: Callable[[], nn.Module]
    headless: Callable[[nn.Module], nn.Module]
    taps: Taps
    weights_file: str | None
    licence: str
    weights_url: str | None = None
    weights_sha256: str | None = None
    needs: str | None = None
    understands_text: bool = False

    @property
    def mending_command(self) -> str:
        """What brings the weights of this backbone into place."""
        return f"manage.py fetch_weights {self.name}" + ("" if self.weights_url else " --file PATH")

    @property
    def preprocessing(self) -> str:
        """Version of the preprocessing: a change to how pixels are prepared must change this text."""
        colour = "grey" if self.channels == 1 else "rgb"
        return f"v1-{colour}-{self.input_size}-{self.resize}"


def _build_torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None)

    return build


def _replace_with_identity(layer: str) -> Callable[[nn.Module], nn.Module]:
    def headless(model: nn.Module) -> nn.Module:
        from torch import nn

        parent, _, child = layer.rpartition(".")
        owner = model.get_submodule(parent)
        if child.isdigit():
            owner[int(child)] = nn.Identity()
        else:
            setattr(owner, child, nn.Identity())
        return model

    return headless


def _vgg_without_classifier(model: nn.Module) -> nn.Module:
    """VGG16 up to the mean of its last map (512).

    The usual fc7 (4,096) lies behind 120 million parameters that answer which ImageNet class it is; the
    mean of the last map says as much about surfaces in an eighth of the numbers.
    """
    from torch import nn

    return nn.Sequential(model.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def _torchvision(
    name: str,
    title: str,
    dimension: int,
    headless: Callable[[nn.Module], nn.Module],
    taps: Taps,
    weights_file: str,
) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        title=title,
        dimension=dimension,
        input_size=224,
        channels=3,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        resize="resize",
        build=_build_torchvision(name),
        headless=headless,
        taps=taps,
        weights_file=weights_file,
        licence=_TORCHVISION_LICENCE,
        weights_url=_TORCHVISION_DOWNLOADS + weights_file,
        weights_sha256=digits_in_name(weights_file),
    )


def _clip(
    name: str, title: str, activation: Literal["quick_gelu", "gelu"], **published: str | None
) -> BackboneSpec:
    def build() -> nn.Module:
        from vision.engine.clip import build_vit_b_32

        return build_vit_b_32(quick_gelu=activation == "quick_gelu")

    return BackboneSpec(
        name=name,
        title=title,
        dimension=512,
        input_size=224,
        channels=3,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        resize="resize",
        build=build,
        headless=lambda model: model.visual,
        taps=Taps(
            ("visual.ln_post",),
            ("visual.transformer.resblocks.5", "visual.transformer.resblocks.8"),
            ("visual.transformer.resblocks.2", "visual.transformer.resblocks.5"),
            "visual.transformer.resblocks.11.ln_1",
        ),
        needs="open_clip",
        understands_text=True,
        **published,
    )


def _build_faultnet() -> nn.Module:
    from vision.engine.faultnet import FaultNet

    return FaultNet()


def _pool_faultnet(model: nn.Module) -> nn.Module:
    from vision.engine.faultnet import FaultNetEmbedding

    return FaultNetEmbedding(model)


_OPENAI_VIT_B_32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"

# The first weights (IMAGENET1K_V1) of the residual networks on purpose: the second were trained for top-1
# with label smoothing and mixing, and their features transfer worse to neighbours and anomaly detectors.
_SPECS = (
    BackboneSpec(
        name="faultnet",
        title="FaultNet (trained on drawn faults, ships with the product)",
        dimension=320,
        # Trained on 96 to 128 px, but fully convolutional: at 256 px small faults keep more of their pixels.
        input_size=256,
        channels=3,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        resize="resize",
        build=_build_faultnet,
        headless=_pool_faultnet,
        taps=Taps(
            ("stages.0", "stages.1", "stages.2", "stages.3"),
            ("stages.2", "stages.3"),
            ("stages.1", "stages.2"),
            "stages.3",
        ),
        weights_file=None,
        licence="Part of this product: trained on generated images only, free to use with it.",
    ),
    _torchvision(
        "vgg16", "VGG16", 512, _vgg_without_classifier,
        Taps(("features",), ("features.22", "features.29"), ("features.15", "features.22"), "features.29"),
        "vgg16-397923af.pth",
    ),
    _torchvision(
        "resnet50", "ResNet-50", 2048, _replace_with_identity("fc"),
        Taps(("avgpool",), ("layer2", "layer3"), ("layer1", "layer2"), "layer4"),
        "resnet50-0676ba61.pth",
    ),
    _torchvision(
        "wide_resnet50_2", "Wide ResNet-50-2", 2048, _replace_with_identity("fc"),
        Taps(("avgpool",), ("layer2", "layer3"), ("layer1", "layer2"), "layer4"),
        "wide_resnet50_2-95faca4d.pth",
    ),
    _torchvision(
        "efficientnet_b0", "EfficientNet-B0", 1280, _replace_with_identity("classifier"),
        Taps(("avgpool",), ("features.3", "features.5"), ("features.2", "features.3"), "features.8"),
        "efficientnet_b0_rwightman-7f5810bc.pth",
    ),
    _torchvision(
        "convnext_tiny", "ConvNeXt-Tiny", 768, _replace_with_identity("classifier.2"),
        Taps(("classifier.0",), ("features.3", "features.5"), ("features.1", "features.3"), "features.7"),
        "convnext_tiny-983f1562.pth",
    ),
    _torchvision(
        "vit_b_16", "ViT-B/16", 768, _replace_with_identity("heads"),
        Taps(("encoder.ln",), ("encoder.layers.encoder_layer_5", "encoder.layers.encoder_layer_8"),
             ("encoder.layers.encoder_layer_2", "encoder.layers.encoder_layer_5"),
             "encoder.layers.encoder_layer_11.ln_1"),
        "vit_b_16-c867db91.pth",
    ),
    _clip(
        "clip_vit_b_32", "CLIP ViT-B/32 (OpenAI)", "quick_gelu",
        weights_file="ViT-B-32.pt",
        weights_url=f"https://openaipublic.azureedge.net/clip/models/{_OPENAI_VIT_B_32}/ViT-B-32.pt",
        weights_sha256=_OPENAI_VIT_B_32,
        licence="Code and weights MIT (OpenAI, open_clip). Trained on pictures from the web; the authors "
        "ask for tests in the field before any use.",
    ),
    _clip(
        "clip_vit_b_32_laion", "CLIP ViT-B/32 (LAION-2B)", "gelu",
        weights_file=None,
        licence="Code and weights MIT (LAION, open_clip). Trained on pictures from the web; the authors "
        "ask for tests in the field before any use.",
    ),
)  # fmt: skip
BACKBONES: dict[str, BackboneSpec] = {spec.name: spec for spec in _SPECS}
DEFAULT_BACKBONE = "faultnet"
#: What installs the packages of CLIP.
EXTRA_COMMAND = ".venv/bin/pip install -r requirements-clip.txt -c constraints.txt"


def get_backbone(name: str) -> BackboneSpec:
    """The registry entry of `name`; ValueError with the known names for any other."""
    try:
        return BACKBONES[name]
    except KeyError:
        raise ValueError(f"There is no backbone {name!r}. Known are: {', '.join(BACKBONES)}.") from None


def check_extra(spec: BackboneSpec) -> None:
    """ExtraMissing when a backbone needs packages of an extra that is not installed."""
    if spec.needs and find_spec(spec.needs) is None:
        raise ExtraMissing(
            f"{spec.title} is an optional extra, and its package {spec.needs} is not installed. "
            f"Run: {EXTRA_COMMAND}"
        )


def published_digits(spec: BackboneSpec, name: str) -> str | None:
    """First digits of the sha256 that a weight file called `name` must have; None when nobody said."""
    return spec.weights_sha256 if name == spec.weights_file else digits_in_name(name)


def build_network(spec: BackboneSpec, weights: Path | None = None, *, random_seed: int = 0) -> nn.Module:
    """The whole network as its authors define it, in evaluation mode, with the weights of a local file.

    Without `weights` it is initialised at random from `random_seed`. Raises WeightsError when the file does
    not hold this network's weights or is not the one that its name promises, ExtraMissing without the extra.
    """
    check_extra(spec)
    import torch

    from vision.engine.torchscript import is_archive

    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed)
            network = spec.build()
            _settle_batch_norms(network, spec)
            return network.eval().requires_grad_(False)
    check_digits(weights, published_digits(spec, weights.name))
    state = read_state(weights)
    # On the meta device nothing is initialised that the file would overwrite anyway.
    with torch.device("meta"):
        network = spec.build()
    if is_archive(weights):
        # Beside the weights it has tensors of other purposes, which cannot be told apart by themselves.
        known = network.state_dict().keys()
        state = {name: value for name, value in state.items() if name in known}
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{weights} does not hold the weights of {spec.title} ({first_line(error)}). "
            f"Bring the file of this network: {spec.mending_command}"
        ) from error
    return network.eval().requires_grad_(False)


def build_embedding_network(
    spec: BackboneSpec, weights: Path | None = None, *, random_seed: int = 0
) -> nn.Module:
    """The network from pixels to vectors: (n, channels, s, s) float32 to (n, dimension) of unit length."""
    network = build_network(spec, weights, random_seed=random_seed)
    return _unit_length(spec.headless(network)).eval()


def _settle_batch_norms(network: nn.Module, spec: BackboneSpec) -> None:
    """Give a random network the activation statistics that training would have given it.

    Without them the signal of a deep one vanishes (EfficientNet: 1e-13), and a baseline made of rounding
    errors flatters whatever stands beside it. The statistics come from noise of several scales.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    size = (spec.input_size, spec.input_size)
    noise = sum(
        functional.interpolate(torch.randn(8, spec.channels, cells, cells), size, mode="bilinear")
        for cells in (4, 16, 64, spec.input_size)
    )
    network.eval()
    for norm in norms:
        norm.train().momentum = None  # average over all that is seen, here one pass
    with torch.no_grad():
        network(noise / 2)


def _unit_length(network: nn.Module) -> nn.Module:
    from torch import nn
    from torch.nn import functional

    class UnitLength(nn.Module):
        def forward(self, vectors: Tensor) -> Tensor:
            return functional.normalize(vectors.flatten(1), dim=1, eps=1e-12)

    return nn.Sequential(network, UnitLength())
