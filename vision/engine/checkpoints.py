"""Weight files in the formats that their authors publish, read without running anything that is in them.

torch.save in its zip format and in the older one (with tensors or parameters), safetensors, and TorchScript
archives, of which only the tensors are taken.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# As torch.hub names files: name-digits.pth. Digits without any letter may be a date.
_DIGITS = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})\.[a-z]+$")


class WeightsError(Exception):
    """A weight file that cannot be used; the text says which, why, and what to do."""


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digits_in_name(name: str) -> str | None:
    """The first digits of the sha256 that a file name such as vgg16-397923af.pth promises."""
    found = _DIGITS.search(name)
    return found and found[1]


def check_digits(path: Path, digits: str | None) -> None:
    """WeightsError unless the sha256 of a file begins with `digits`; None lets every file through.

    A file that isn't there is left to whoever reads it.
    """
    if digits is None or not path.is_file():
        return
    found = sha256_of(path)
    if not found.startswith(digits.lower()):
        raise WeightsError(
            f"{path} is not the file that it should be: its sha256 begins with {found[: len(digits)]} and "
            f"not with {digits}. It was changed or damaged on the way: fetch it again."
        )


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, float32, from a weight file. Raises WeightsError; no code in the file is ever run."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from vision.engine.torchscript import is_archive, read_archive

    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        elif is_archive(path):
            state = read_archive(path)
        else:  # only torch's newer format can be memory-mapped
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        raise WeightsError(_unpicklable(path, error)) from error
    except (
        SafetensorError, zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, LookupError,
        AttributeError, TypeError,
    ) as error:  # fmt: skip
        raise WeightsError(
            f"{path} is damaged, cut off or no weight file ({first_line(error)}). Fetch it again."
        ) from error
    if not isinstance(state, dict) or not all(hasattr(value, "shape") for value in state.values()):
        raise WeightsError(f"{path} holds no plain table of tensors. Save the state dict of the network.")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def first_line(error: Exception) -> str:
    """What an error says, on one line; of torch's lists of differences the first entry."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[1] if len(lines) > 1 and lines[0].startswith("Error(s)") else (lines or [""])[0]
    return text if len(text) <= 100 else f"{text[:100]}…"


def _unpicklable(path: Path, error: UnpicklingError) -> str:
    # torch explains over several lines how its check is turned off, which nobody should do here.
    named = re.search(r"GLOBAL ([\w.]+)|names ([\w.]+)", str(error))
    if not named:
        return f"{path} is damaged, cut off or no weight file. Fetch it again."
    return (
        f"{path} holds more than weights: reading it would run {named[1] or named[2]}, so it was not read. "
        "Take a file from the network's authors, or save its state dict alone."
    )
