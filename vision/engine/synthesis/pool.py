"""A pool of drawn views on disk, made by several processes, read by the training through memory maps."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap

from vision.engine.synthesis.scenes import (
    MASK_SIZE,
    MAX_FAULTS,
    VIEW_SIZE,
    draw_canvas,
    draw_scene,
    draw_view,
)
from vision.engine.synthesis.sources import FieldBank
from vision.engine.synthesis.textures import material_family

#: Changes whenever the same seed would give other pictures.
GENERATOR_VERSION = 2
#: Two views of one canvas, and one of another canvas of the same scene.
VIEWS = 3
#: Of these the places are known, so that their pixels can be matched.
PLACED_VIEWS = 2
_CHUNK = 250
_MANIFEST = "pool.json"

Progress = Callable[[str, float, float], None]
"""Called with the name of the stage, what is done and how much there is."""


@dataclass(frozen=True)
class PoolPlan:
    """What a pool is made of. `scenes` is a multiple of 250."""

    scenes: int = 54_000
    materials: int = 1_800
    pieces: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scenes % _CHUNK or self.scenes <= 0:
            raise ValueError(f"A pool holds a multiple of {_CHUNK} scenes, not {self.scenes}.")
        if self.materials < 1 or self.pieces < 1:
            raise ValueError("A pool needs at least one material, and one piece of it.")


@dataclass(frozen=True)
class Pool:
    """Three views of each of n scenes, the first half of them easier than the second.

    views (n, 3, 128, 128, 3) uint8 RGB; masks (n, 3, 32, 32) uint8; places (n, 2, 2, 3) float32, from pixels
    of the canvas to those of the first two views; faults (n, 2) int8 positions in FAULT_KINDS, -1 for none;
    families (n,) int8 positions in FAMILIES.
    """

    views: np.ndarray
    masks: np.ndarray
    places: np.ndarray
    faults: np.ndarray
    families: np.ndarray

    def __len__(self) -> int:
        return len(self.views)


def _layout(scenes: int) -> dict[str, tuple[tuple[int, ...], type]]:
    return {
        "views": ((scenes, VIEWS, VIEW_SIZE, VIEW_SIZE, 3), np.uint8),
        "masks": ((scenes, VIEWS, MASK_SIZE, MASK_SIZE), np.uint8),
        "places": ((scenes, PLACED_VIEWS, 2, 3), np.float32),
        "faults": ((scenes, MAX_FAULTS), np.int8),
        "families": ((scenes,), np.int8),
    }


def open_pool(folder: Path) -> Pool:
    """The pool of a folder, memory-mapped for reading."""
    return Pool(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _layout(0)})


def make_pool(plan: PoolPlan, folder: Path, *, workers: int, progress: Progress) -> Pool:
    """The pool of that plan: the one in `folder` if it is complete, else drawn now by `workers` processes.

    The folder is the pool's own: whatever another plan left there is replaced.
    """
    manifest = folder / _MANIFEST
    wanted = {"generator": GENERATOR_VERSION, **asdict(plan)}
    if manifest.is_file() and json.loads(manifest.read_text()) == wanted:
        return open_pool(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, (shape, dtype) in _layout(plan.scenes).items():
        open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    # Spawned, not forked: a fork after torch has started its threads may hang.
    with multiprocessing.get_context("spawn").Pool(
        workers, initializer=cv2.setNumThreads, initargs=(1,)
    ) as crew:
        run = partial(_mapped, crew, progress, plan.materials)
        FieldBank.draw(plan.materials, plan.pieces, plan.seed, run=run).save(folder)
        chunks = range(plan.scenes // _CHUNK)
        draw = partial(_draw_chunk, folder, plan.seed, plan.scenes)
        for done, _ in enumerate(crew.imap_unordered(draw, chunks), start=1):
            progress("Drawing views", done, len(chunks))
    manifest.write_text(json.dumps(wanted))
    return open_pool(folder)


def _mapped(crew, progress: Progress, total: int, draw, numbers):
    for done, pieces in enumerate(crew.imap(draw, numbers, chunksize=4), start=1):
        progress("Drawing materials", done, total)
        yield pieces


def _draw_chunk(folder: Path, seed: int, scenes: int, chunk: int) -> None:
    """Draw scenes 250 * chunk and the 249 after it, and write their views in their places."""
    rng = np.random.default_rng([4, seed, chunk])
    bank = FieldBank.load(folder)
    out = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _layout(0)}
    for row in range(chunk * _CHUNK, (chunk + 1) * _CHUNK):
        scene = draw_scene(rng, bank, difficulty=min(1.0, 2 * row / scenes))
        canvas, twin = (draw_canvas(rng, bank, scene) for _ in range(2))
        out["families"][row] = material_family(scene.material)
        out["faults"][row] = (scene.faults + (-1,) * MAX_FAULTS)[:MAX_FAULTS]
        for view, shown in enumerate((canvas, canvas, twin)):
            out["views"][row, view], out["masks"][row, view], place = draw_view(rng, shown)
            if view < PLACED_VIEWS:
                out["places"][row, view] = place
