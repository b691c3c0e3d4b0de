"""Arrays in a folder, written once and then only read: memory-mapped .npy files beside a JSON manifest.

The manifest holds the format, what kind of folder it is, whatever the writer wants to say of it, and the
size and sha256 of each file. It has a digest of itself and is written last. No pickle is ever read.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from vision.engine.checkpoints import sha256_of
from vision.engine.snapshot_files import array_write, sync

MANIFEST = "manifest.json"


class FolderError(Exception):
    """A folder is damaged, cut off or of another kind; the text says what is wrong with which file."""


def folder_write(folder: Path, kind: str, format: int, about: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays by name and `about` (JSON) into a folder that does not exist yet, whole or not at all.

    Everything has reached the disk on return. Raises FileExistsError, and OSError when the disk is full.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        files = {}
        for name, array in arrays.items():
            path = fresh / f"{name}.npy"
            array_write(path, np.ascontiguousarray(array))
            sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        content = {"kind": kind, "format": format, "about": about, "files": files}
        content["digest"] = _digest(content)
        manifest = fresh / MANIFEST
        manifest.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        sync(manifest)
        sync(fresh)
        fresh.chmod(0o755)  # mkdtemp lets nobody else read
        os.rename(fresh, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def folder_open(folder: Path, kind: str, format: int) -> tuple[dict, dict[str, np.ndarray]]:
    """What was written: `about`, and the arrays by name, memory-mapped and read-only.

    Takes milliseconds: the sizes of the files are compared, their content is not (see `folder_verify`).
    Raises FolderError.
    """
    content = _manifest(folder)
    if content["kind"] != kind:
        raise FolderError(f"{folder} holds {content['kind']}, not {kind}.")
    if content["format"] != format:
        raise FolderError(f"{folder} has format {content['format']}, and this version reads {format}.")
    arrays = {}
    for name, noted in content["files"].items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != noted["bytes"]:
                raise FolderError(f"{path} is damaged: it has {size:,} bytes instead of {noted['bytes']:,}.")
            arrays[path.stem] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise FolderError(f"{path} can't be read ({error}).") from error
    return content["about"], arrays


def folder_verify(folder: Path) -> None:
    """Hash every file. Raises FolderError when one is not what was written."""
    for name, noted in _manifest(folder)["files"].items():
        try:
            digest = sha256_of(folder / name)
        except OSError as error:
            raise FolderError(f"{folder / name} can't be read ({error}).") from error
        if digest != noted["sha256"]:
            raise FolderError(f"{folder / name} is damaged: its sha256 is not what was written.")


def _manifest(folder: Path) -> dict:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        digest = content.pop("digest")
        if digest != _digest(content):
            raise FolderError(f"{path} is damaged: its digest does not fit its content.")
        for name in content["files"]:
            if Path(name).name != name:
                raise FolderError(f"{path} names a file outside the folder: {name}.")
        return {key: content[key] for key in ("kind", "format", "about", "files")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FolderError(f"{path} can't be read ({type(error).__name__}: {error}).") from error


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
