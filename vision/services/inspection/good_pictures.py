"""The good pictures that an inspector learns from, read one at a time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cases.models import ImageFile
from vision.engine.duplicates import fingerprint, near_duplicate_groups
from vision.engine.images import ImageError, is_grey, load_image
from vision.services.embedding import embedder

if TYPE_CHECKING:
    from vision.engine.patch_features import PatchFeatures

#: Bytes of features that are remembered: those of some 2,500 pictures.
_REMEMBERED = 512 * 2**20
#: Called with the share that is done, 0 to 1.
Tell = Callable[[float], None]


class GoodPictureError(Exception):
    """A stored picture can't be read; the sentence says which, and what to do."""


class GoodPicture:
    """An original that is decoded when it is needed; `size` is its width and height."""

    def __init__(self, file: ImageFile, *, grey: bool = False):
        self.file = file
        self.grey = grey
        self.size = (file.width, file.height)

    def load(self) -> Image.Image:
        """As RGB, without colour where it is to be grey. Raises GoodPictureError, StorageAway."""
        return picture_load(self.file, grey=self.grey)


class RememberedFeatures:
    """Patch features of GoodPictures, in half precision: kept up to so many bytes, computed anew beyond."""

    def __init__(self, features: "PatchFeatures", limit: int = _REMEMBERED):
        self.features = features
        self.space = features.space
        self._room = limit
        self._kept: dict[int, np.ndarray] = {}

    def __call__(self, picture: GoodPicture) -> np.ndarray:
        """float32 (h, w, d), see PatchFeatures. Raises GoodPictureError, StorageAway."""
        key = picture.file.pk
        if key in self._kept:
            return self._kept[key].astype(np.float32)
        patches = self.features(picture.load()).astype(np.float16)
        if patches.nbytes <= self._room:
            self._room -= patches.nbytes
            self._kept[key] = patches
        return patches.astype(np.float32)


def picture_load(file: ImageFile, *, grey: bool = False) -> Image.Image:
    """An original as RGB; with `grey` without its colour. Raises GoodPictureError, StorageAway."""
    try:
        with file.original.open("rb") as original:
            image = load_image(original.read())
    except (ImageError, FileNotFoundError) as error:
        raise GoodPictureError(
            f"The picture {file} can't be read ({error}). Take it away, or upload it again."
        ) from error
    return image.convert("L").convert("RGB") if grey else image


def pictures_survey(files: Sequence[ImageFile], tell: Tell) -> tuple[np.ndarray, bool]:
    """Near-duplicate groups, int64 (n,), and whether all pictures are grey.

    Raises GoodPictureError, StorageAway.
    """
    network, vectors, prints, grey = embedder(), [], [], True
    for at, file in enumerate(files):
        image = picture_load(file)
        grey = grey and is_grey(image)
        vectors.append(network.embed([image])[0])
        prints.append(fingerprint(image))
        tell(0.6 * (at + 1) / len(files))

    def watch(pairs, total):
        for at, pair in enumerate(pairs):
            if at % 500 == 0:
                tell(0.6 + 0.4 * at / total)
            yield pair

    return near_duplicate_groups(prints, np.stack(vectors), watch=watch), grey
