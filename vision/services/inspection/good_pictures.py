"""The good pictures that an inspector learns from, read one at a time."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from cases.models import ImageFile
from vision.engine.duplicates import fingerprint, near_duplicate_groups
from vision.engine.images import is_grey
from vision.services.embedding import embedder
from vision.services.inspection.pictures import picture_load

#: Called with the share that is done, 0 to 1.
Tell = Callable[[float], None]


class GoodPictures(Sequence):
    """Originals, as RGB, each decoded when it is needed; without colour where they are to be grey."""

    def __init__(self, files: Sequence[ImageFile], *, grey: bool = False):
        self._files = files
        self._grey = grey

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, at: int) -> Image.Image:
        """Raises PictureUnreadable, StorageAway."""
        return picture_load(self._files[at], grey=self._grey)

    def chosen(self, which: np.ndarray) -> "GoodPictures":
        """Some of them: bool (n,)."""
        return GoodPictures([self._files[at] for at in np.flatnonzero(which)], grey=self._grey)


def pictures_survey(files: Sequence[ImageFile], tell: Tell) -> tuple[np.ndarray, bool]:
    """Near-duplicate groups, int64 (n,), and whether all pictures are grey.

    Raises PictureUnreadable, StorageAway.
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
