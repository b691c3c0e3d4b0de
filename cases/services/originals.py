"""Originals from one storage to another, each of them checked by what comes back."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import islice
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from cases.models import ImageFile

#: Originals on their way at once: a bucket answers many requests as fast as one.
_AT_ONCE = 8


class Copied(StrEnum):
    """What became of an original."""

    COPIED = "copied"
    PRESENT = "there already"
    DAMAGED = "the file in the data folder is not what was uploaded: upload the picture again"
    MISSING = "neither in the data folder nor in the bucket: upload the picture again"
    UNLIKE = "came back from the bucket changed: look at what lies between, then copy again"

    @property
    def is_good(self) -> bool:
        return self in (Copied.COPIED, Copied.PRESENT)


def originals_copy(source: Path, target: Storage) -> Iterator[tuple[ImageFile, Copied]]:
    """Copy all originals that `target` lacks from a media folder, and say of each what became of it.

    The source stays as it is. What is there already is read and compared too, so that a copy which was
    broken off is made good, and nothing is sent twice. Raises StorageAway.
    """
    files = ImageFile.objects.order_by("pk").iterator(chunk_size=500)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # So few at a time that little is left to wait for when the copy is broken off.
        while batch := list(islice(files, 4 * _AT_ONCE)):
            yield from zip(batch, pool.map(lambda one: _copy(one, source, target), batch), strict=True)


def _copy(image_file: ImageFile, source: Path, target: Storage) -> Copied:
    name = image_file.original.name
    if _is_same(image_file, _read(target, name)):
        return Copied.PRESENT
    try:
        data = (source / name).read_bytes()
    except FileNotFoundError:
        return Copied.MISSING
    if not _is_same(image_file, data):
        return Copied.DAMAGED
    target.save(name, ContentFile(data))
    return Copied.COPIED if _is_same(image_file, _read(target, name)) else Copied.UNLIKE


def _read(storage: Storage, name: str) -> bytes:
    try:
        with storage.open(name) as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _is_same(image_file: ImageFile, data: bytes) -> bool:
    return len(data) == image_file.size and hashlib.sha256(data).hexdigest() == image_file.sha256
