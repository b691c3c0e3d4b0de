"""The demo's pictures, drawn side by side in processes of their own."""

import io
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from vision.engine.synthesis.gallery import draw_fault_image

#: Pixels of a side.
SIZE = 384
_QUALITY = 90
#: A close-up shows the fault with this much around it, within these shares of the picture's width.
_SURROUNDINGS = 1.2
_SMALLEST_PART = 0.28
_LARGEST_PART = 0.85
#: Drawn at a time by one process; more would make the progress jump.
_CHUNK = 4


@dataclass(frozen=True)
class Drawing:
    """What to draw; `strength` 1 shows the fault as it is, less a slighter one, 0 the part without it."""

    kind: str
    seed: int
    material: str
    is_close_up: bool = False
    strength: float = 1.0


def drawings_draw(drawings: Sequence[Drawing], processes: int | None = None) -> Iterator[bytes]:
    """JPEG files in the order of `drawings`, the same for the same drawings."""
    processes = processes or min(4, len(os.sched_getaffinity(0)))
    # Spawned and not forked: the caller may hold threads and connections.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_use_one_thread) as pool:
        yield from pool.map(draw, drawings, chunksize=_CHUNK)


def draw(drawing: Drawing) -> bytes:
    """One JPEG file, SIZE pixels square."""
    pixels, mask = _photograph(drawing.kind, drawing.seed, drawing.material, drawing.strength)
    if drawing.is_close_up and mask.any():
        pixels = _close_up(pixels, mask)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


@lru_cache(maxsize=2)  # the close-up and the overview of one piece follow each other
def _photograph(kind: str, seed: int, material: str, strength: float) -> tuple[np.ndarray, np.ndarray]:
    return draw_fault_image(kind, seed, material=material, strength=strength)


def _close_up(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The square around the fault."""
    whole = len(pixels)
    rows, columns = (np.flatnonzero((mask > 0.3 * mask.max()).any(axis=axis)) for axis in (1, 0))
    extent = max(np.ptp(rows), np.ptp(columns)) * _SURROUNDINGS
    side = int(np.clip(extent, _SMALLEST_PART * whole, _LARGEST_PART * whole))
    top, left = (
        int(np.clip((found[0] + found[-1] - side) // 2, 0, whole - side)) for found in (rows, columns)
    )
    return pixels[top : top + side, left : left + side]


def _use_one_thread() -> None:
    cv2.setNumThreads(1)
