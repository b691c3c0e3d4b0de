"""A random sample of the patches of any number of pictures, in bounded memory."""

import numpy as np


class PatchSample:
    """Keeps at most `size` of all patches that pass, each with the same chance, and where they come from.

    Every patch draws a number, and the `size` lowest stay (bottom-k sampling: a reservoir that is cut only
    now and then). Memory: 2 `size` patches at most. The same pictures in the same order give the same sample.
    """

    def __init__(self, size: int, seed: int = 0):
        if size < 1:
            raise ValueError(f"A sample needs room for at least 1 patch, not {size}.")
        self.size = size
        self.seen = 0
        self._sizes: list[tuple[int, int, int, int]] = []
        self._rng = np.random.default_rng(seed)
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._held = 0
        self._limit = 1.0

    @property
    def pictures(self) -> int:
        """How many pictures passed."""
        return len(self._sizes)

    @property
    def sizes(self) -> np.ndarray:
        """Width and height in pixels, and rows and columns of the grid, of each picture: int (n, 4)."""
        return np.array(self._sizes)

    def add(self, patches: np.ndarray, size: tuple[int, int]) -> None:
        """Add the patches float32 (h, w, d) of a picture of `size` (width, height)."""
        height, width, depth = patches.shape
        draws = self._rng.random(height * width)
        kept = np.flatnonzero(draws < self._limit)
        places = np.stack([np.full(len(kept), self.pictures), *np.divmod(kept, width)], axis=1)
        self._parts.append((draws[kept], patches.reshape(-1, depth)[kept], places.astype(np.int32)))
        self._sizes.append((*size, height, width))
        self.seen += height * width
        self._held += len(kept)
        if self._held >= 2 * self.size:
            self._cut()

    def taken(self) -> tuple[np.ndarray, np.ndarray]:
        """Patches float32 (n, d), and int32 (n, 3): number of the picture, row and column; in that order.

        Raises ValueError when nothing was added.
        """
        if not self._parts:
            raise ValueError("There is no picture to take patches from.")
        self._cut()
        _, patches, places = self._parts[0]
        order = np.lexsort(places.T[::-1])
        return patches[order], places[order]

    def _cut(self) -> None:
        draws, patches, places = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if len(draws) > self.size:
            lowest = np.argpartition(draws, self.size)
            self._limit = draws[lowest[self.size]]
            kept = lowest[: self.size]
            draws, patches, places = draws[kept], patches[kept], places[kept]
        self._parts = [(draws, patches, places)]
        self._held = len(draws)
