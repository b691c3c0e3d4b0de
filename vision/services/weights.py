"""Weight files of spaces, kept by their sha256, so that a space outlives a change of the file in use."""

import os
import shutil
from pathlib import Path

from django.conf import settings

from vision.engine.weight_checks import weights_verified
from vision.engine.weight_files import SUFFIXES, WeightsMissing, weights_folder


def kept_folder() -> Path:
    return weights_folder(settings.FAULTDIAG_DATA) / "kept"


def weights_keep(path: Path, sha256: str) -> Path:
    """Keep a weight file under its hash, whole or not at all; without a second copy where the disk allows."""
    target = kept_folder() / f"{sha256}{path.suffix}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{os.getpid()}-{target.name}")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
    except OSError:
        shutil.copyfile(path, part)
    os.replace(part, target)
    part.unlink(missing_ok=True)  # a rename onto another link of the same file leaves both
    return target


def weights_of(backbone: str, sha256: str) -> Path:
    """The weight file with this hash. Raises WeightsMissing when it is nowhere any more."""
    for suffix in SUFFIXES:
        kept = kept_folder() / f"{sha256}{suffix}"
        if kept.is_file():
            return kept
    path, digest = weights_verified(backbone, settings.FAULTDIAG_DATA)
    if digest != sha256:
        raise WeightsMissing(
            f"The weights {sha256[:12]}… of {backbone} are no longer here: {path} has"
            f" others ({digest[:12]}…)."
        )
    return path
