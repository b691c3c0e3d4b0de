"""Where weight files are found, and how they are told apart: by the sha256 of what is in them.

Nothing here reaches for the network: the operator's `fetch_weights` command does, with `place_weights`.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from vision.engine.backbones import WeightsError, build_network, get_backbone

#: Weights that ship with the product.
SHIPPED = {"faultnet": Path(__file__).with_name("weights") / "faultnet.safetensors"}
#: Where torchvision publishes its files.
DOWNLOADS = "https://download.pytorch.org/models/"
SUFFIXES = (".safetensors", ".pth", ".pt")


class WeightsMissing(WeightsError):
    """No weight file for a backbone; the text names the command that mends it."""


def weights_folder(data: Path) -> Path:
    """Where an installation keeps its weight files, below its data folder."""
    return data / "weights"


def find_weights(backbone: str, data: Path) -> Path:
    """The weight file of a backbone: NAME.*, else one under torchvision's file name, else the shipped one.

    Raises WeightsMissing, and ValueError for an unknown backbone.
    """
    spec = get_backbone(backbone)
    folder = weights_folder(data)
    names = [f"{backbone}{suffix}" for suffix in SUFFIXES]
    candidates = [folder / name for name in names]
    if spec.weights_file:
        candidates.append(folder / spec.weights_file)
    if backbone in SHIPPED:
        candidates.append(SHIPPED[backbone])
    for path in candidates:
        if path.is_file():
            return path
    raise WeightsMissing(
        f"The weights of {spec.title} are not here: no {names[0]} or {names[1]} in {folder}. "
        f"Run: {spec.mending_command} (where there is no network, bring the file and add --file PATH)"
    )


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_source(backbone: str) -> tuple[str, str]:
    """torchvision's own (url, first digits of the sha256) for a backbone; WeightsError if it has none."""
    spec = get_backbone(backbone)
    if spec.weights_file is None:
        raise WeightsError(
            f"The weights of {spec.title} ship with the product: there is nothing to download."
        )
    return DOWNLOADS + spec.weights_file, spec.weights_file.rpartition("-")[2].removesuffix(".pth")


def place_weights(backbone: str, data: Path, write: Callable[[Path], None], suffix: str) -> tuple[Path, str]:
    """Put a weight file into place, whole or not at all.

    `write` fills the given path (a copy, a download); the result is loaded into the network, and only then
    takes the place of what was there. Returns the path and its sha256; raises WeightsError and OSError.
    """
    spec = get_backbone(backbone)
    folder = weights_folder(data)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{backbone}{suffix}"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as incoming:
        part = Path(incoming) / target.name
        write(part)
        build_network(spec, part)
        digest = sha256_of(part)
        os.replace(part, target)
    return target, digest


def copy_from(source: Path) -> Callable[[Path], None]:
    """A `write` for `place_weights` that copies a local file."""

    def write(target: Path) -> None:
        shutil.copyfile(source, target)

    return write
