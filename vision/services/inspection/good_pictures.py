"""The good pictures that an inspector learns from, read one at a time."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from cases.models import ImageFile
from vision.engine.duplicates import fingerprint, near_duplicate_groups
from vision.engine.images import ImageError, is_grey, load_image
from vision.services.embedding import embedder

#: Called with the share that is done, 0 to 1.
Tell = Callable[[float], None]


class GoodPictureError(Exception):
    """A good picture can't be read; the sentence says which, and what to do."""


class GoodPictures:
    """Originals as RGB pictures, decoded when their turn comes; with `grey` without their colour.

    Going through them raises GoodPictureError for one that can't be read, and StorageAway.
    """

    def __init__(self, files: Sequence[ImageFile], *, grey: bool = False):
        self.files = files
        self.grey = grey

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Image.Image]:
        return (picture_load(file, grey=self.grey) for file in self.files)

    def chosen(self, which: np.ndarray) -> "GoodPictures":
        """Those at the positions where bool (n,) `which` is true."""
        return GoodPictures([self.files[at] for at in np.flatnonzero(which)], grey=self.grey)


def picture_load(file: ImageFile, *, grey: bool = False) -> Image.Image:
    """An original as RGB; with `grey` without its colour. Raises GoodPictureError, StorageAway."""
    try:
        with file.original.open("rb") as original:
            image = load_image(original.read())
    except (ImageError, FileNotFoundError) as error:
        raise GoodPictureError(
            f"The good picture {file} can't be read ({error}). Take it away, or upload it again."
        ) from error
    return image.convert("L").convert("RGB") if grey else image


def pictures_survey(pictures: GoodPictures, tell: Tell) -> tuple[np.ndarray, bool]:
    """Near-duplicate groups, int64 (n,), and whether all pictures are grey."""
    network, vectors, prints, grey = embedder(), [], [], True
    for at, image in enumerate(pictures):
        grey = grey and is_grey(image)
        vectors.append(network.embed([image])[0])
        prints.append(fingerprint(image))
        tell(0.6 * (at + 1) / len(pictures))

    def watch(pairs, total):
        for at, pair in enumerate(pairs):
            if at % 500 == 0:
                tell(0.6 + 0.4 * at / total)
            yield pair

    return near_duplicate_groups(prints, np.stack(vectors), watch=watch), grey
