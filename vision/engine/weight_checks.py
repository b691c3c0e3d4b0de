"""A weight file is what it claims to be, as far as can be told without building the network."""

import json
import re
from pathlib import Path

from vision.engine.backbones import WeightsError, check_extra, get_backbone
from vision.engine.weight_files import find_weights, sha256_of

#: What the hash of FILE is recorded in, in the form of sha256sum: FILE.sha256.
RECORD_SUFFIX = ".sha256"
_known: dict[tuple, str] = {}


def weights_verified(backbone: str, data: Path) -> tuple[Path, str]:
    """The weight file that serves a backbone, and its sha256.

    Raises WeightsMissing when there is none, WeightsError when the network needs an extra that is not
    installed, or when the file is truncated or its hash is not the recorded one: that in FILE.sha256, or the
    digits at the end of the names of torchvision's files.
    The file is read again only when it has changed.
    """
    path = find_weights(backbone, data)
    check_extra(get_backbone(backbone))
    record = path.with_name(path.name + RECORD_SUFFIX)
    key = (path, *_stamp(path), *_stamp(record))
    if key not in _known:
        _whole(path)
        digest = sha256_of(path)
        recorded = _recorded(path, record)
        if recorded and not digest.startswith(recorded):
            raise WeightsError(
                f"{path} has the sha256 {digest[:12]}…, but {recorded[:12]}… is recorded for it: it was"
                f" damaged or exchanged. Run: {get_backbone(backbone).mending_command}"
            )
        _known.clear()
        _known[key] = digest
    return path, _known[key]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


def _recorded(path: Path, record: Path) -> str:
    if record.is_file():
        return record.read_text(errors="replace").split(maxsplit=1)[0] if record.stat().st_size else ""
    named = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    return named[1] if named else ""


def _whole(path: Path) -> None:
    """A safetensors file says in its head how long it is; torch's own are checked when they are read."""
    if path.suffix != ".safetensors":
        return
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            head = int.from_bytes(file.read(8), "little")
            if head > size - 8:
                raise ValueError
            entries = json.loads(file.read(head))
        entries.pop("__metadata__", None)
        wanted = 8 + head + max(entry["data_offsets"][1] for entry in entries.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is truncated or is no weight file. Fetch it again.") from error
    if size != wanted:
        raise WeightsError(f"{path} is truncated: {size} bytes instead of {wanted}. Fetch it again.")
