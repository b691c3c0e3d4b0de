"""Weight files as the networks' authors publish them: the real formats and names around random numbers."""

import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vision.engine.checkpoints import sha256_of

#: Published in half precision.
HALF = {"wide_resnet50_2"}


class _EarlyPickler(pickle.Pickler):
    """Writes tensors as torch did before version 0.4, when VGG16 was published."""

    def reducer_override(self, value):
        if type(value) is not torch.Tensor:
            return NotImplemented
        storage = torch.storage.TypedStorage(
            wrap_storage=value.untyped_storage(), dtype=value.dtype, _internal=True
        )
        return torch._utils._rebuild_tensor, (
            storage,
            value.storage_offset(),
            tuple(value.shape),
            value.stride(),
        )


_EARLY = SimpleNamespace(__name__="early", Pickler=_EarlyPickler, dump=pickle.dump)


def save_published(name: str, state: dict[str, torch.Tensor], folder: Path) -> Path:
    """Write a state dict of torchvision's network `name` as its published file is laid out; the path.

    Formats by age: VGG16 and the residual networks in the older format, not a zip, with parameters instead
    of tensors and without the counters of batch normalisation, the wide one in half precision (its file has
    132 MB for 69 million parameters); ViT under the names before torchvision 0.13.
    The name ends in the first digits of the sha256, as published names do.
    """
    path = folder / f"{name}.pth"
    if name in {"vgg16", "resnet50", "wide_resnet50_2"}:
        if name in HALF:
            state = {key: value.half() for key, value in state.items()}
        kept = {key: nn.Parameter(value) if "running" not in key else value
                for key, value in state.items() if not key.endswith("num_batches_tracked")}  # fmt: skip
        early = {"pickle_module": _EARLY} if name == "vgg16" else {}
        torch.save(kept, path, _use_new_zipfile_serialization=False, **early)
    elif name == "vit_b_16":
        old = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
        torch.save({_renamed(key, old): value for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    # At least one letter, else it could be a date.
    digits = sha256_of(path)
    length = next(end for end in range(8, 65) if not digits[:end].isdigit())
    return path.rename(folder / f"{name}-{digits[:length]}.pth")


def save_openai(network: nn.Module, path: Path) -> None:
    """Write a CLIP network as OpenAI does: a TorchScript archive in half precision."""
    from open_clip.model import convert_weights_to_lp

    convert_weights_to_lp(network)
    network.register_buffer("input_resolution", torch.tensor(224))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(network), path)


def require_clip() -> None:
    """Skip where the extra is not installed."""
    pytest.importorskip(
        "open_clip", reason="CLIP is not installed: pip install -r requirements-clip.txt -c constraints.txt"
    )


def _renamed(key: str, names: dict[str, str]) -> str:
    for new, old in names.items():
        key = key.replace(new, old)
    return key
