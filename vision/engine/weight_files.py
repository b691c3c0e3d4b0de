"""Where weight files are found, and how they are told apart: by the sha256 of what is in them.

Nothing here reaches for the network: the operator's `fetch_weights` command does, with `place_weights`.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.engine.backbones import (
    BACKBONES,
    BackboneSpec,
    WeightsError,
    build_network,
    check_extra,
    get_backbone,
)
from vision.engine.checkpoints import check_digits, sha256_of

#: Weights that ship with the product.
SHIPPED = {"faultnet": Path(__file__).with_name("weights") / "faultnet.safetensors"}
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


class WeightsMissing(WeightsError):
    """No weight file for a backbone; the text names the command that mends it."""


def weights_folder(data: Path) -> Path:
    """Where an installation keeps its weight files, below its data folder."""
    return data / "weights"


def find_weights(backbone: str, data: Path) -> Path:
    """The weight file of a backbone: NAME.*, else one under its published name, else the shipped one.

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


@dataclass(frozen=True)
class WeightsInPlace:
    """What an installation has of one backbone: its file, size in bytes, sha256; else None."""

    spec: BackboneSpec
    path: Path | None = None
    size: int | None = None
    sha256: str | None = None


def weights_in_place(data: Path) -> Iterator[WeightsInPlace]:
    """Every backbone of the registry in its order, with the file that `find_weights` would take."""
    for spec in BACKBONES.values():
        try:
            path = find_weights(spec.name, data)
        except WeightsMissing:
            yield WeightsInPlace(spec)
        else:
            yield WeightsInPlace(spec, path, path.stat().st_size, sha256_of(path))


def download_source(backbone: str) -> tuple[str, str]:
    """Its authors' own (url, first digits of the sha256) for a backbone; WeightsError if there is none."""
    spec = get_backbone(backbone)
    if spec.weights_url and spec.weights_sha256:
        return spec.weights_url, spec.weights_sha256
    if backbone in SHIPPED:
        raise WeightsError(
            f"The weights of {spec.title} ship with the product: there is nothing to download."
        )
    raise WeightsError(
        f"{spec.title} has no one address to download from. Bring its file (docs/backbones.md says from "
        f"where) and run: {spec.mending_command}"
    )


def place_weights(
    backbone: str,
    data: Path,
    write: Callable[[Path], None],
    suffix: str,
    *,
    source: str | None = None,
    digits: Sequence[str] = (),
) -> tuple[Path, str]:
    """Put a weight file into place, whole or not at all.

    `write` fills the given path (a copy, a download); the result is loaded into the network, and only then
    takes the place of what was there. Its sha256 must begin with each of `digits`; `source` is what errors
    call it. Returns the path and its sha256; raises WeightsError and OSError.
    """
    spec = get_backbone(backbone)
    check_extra(spec)
    folder = weights_folder(data)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{backbone}{suffix}"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as incoming:
        part = Path(incoming) / target.name
        write(part)
        try:
            for promised in digits:
                check_digits(part, promised)
            build_network(spec, part)
        except WeightsError as error:
            # The copy is gone when somebody reads this.
            raise WeightsError(str(error).replace(str(part), source or part.name)) from error
        digest = sha256_of(part)
        os.replace(part, target)
    for other in SUFFIXES:  # else an older file of another format would still come first
        if other != suffix:
            (folder / f"{backbone}{other}").unlink(missing_ok=True)
    return target, digest


def copy_from(source: Path) -> Callable[[Path], None]:
    """A `write` for `place_weights` that copies a local file."""

    def write(target: Path) -> None:
        shutil.copyfile(source, target)

    return write
