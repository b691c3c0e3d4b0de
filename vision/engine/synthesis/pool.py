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

from vision.engine.synthesis.scenes import MASK_SIZE, MAX_FAULTS, VIEW_SIZE, draw_canvas, draw_view
from vision.engine.synthesis.sources import FieldBank
from vision.engine.synthesis.textures import material_family

#: Changes whenever the same seed would give other pictures.
GENERATOR_VERSION = 1
VIEWS = 2
_CHUNK = 250
_MANIFEST = "pool.json"

Progress = Callable[[str, float, float], None]
"""Called with the name of the stage, what is done and how much there is."""


@dataclass(frozen=True)
class PoolPlan:
    """What a pool is made of. `canvases` is a multiple of 250."""

    canvases: int = 100_000
    materials: int = 1_200
    pieces: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.canvases % _CHUNK or self.canvases <= 0:
            raise ValueError(f"A pool holds a multiple of {_CHUNK} canvases, not {self.canvases}.")
        if self.materials < 1 or self.pieces < 1:
            raise ValueError("A pool needs at least one material, and one piece of it.")


@dataclass(frozen=True)
class Pool:
    """Two views of each of n canvases.

    views (n, 2, 128, 128) uint8; masks (n, 2, 2, 32, 32) uint8 by canvas, view and fault; faults (n, 2) int8
    positions in FAULT_KINDS, -1 for none; families (n,) int8 positions in FAMILIES.
    """

    views: np.ndarray
    masks: np.ndarray
    faults: np.ndarray
    families: np.ndarray

    def __len__(self) -> int:
        return len(self.views)


def _layout(canvases: int) -> dict[str, tuple[tuple[int, ...], type]]:
    return {
        "views": ((canvases, VIEWS, VIEW_SIZE, VIEW_SIZE), np.uint8),
        "masks": ((canvases, VIEWS, MAX_FAULTS, MASK_SIZE, MASK_SIZE), np.uint8),
        "faults": ((canvases, MAX_FAULTS), np.int8),
        "families": ((canvases,), np.int8),
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
    for name, (shape, dtype) in _layout(plan.canvases).items():
        open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    # Spawned, not forked: a fork after torch has started its threads may hang.
    with multiprocessing.get_context("spawn").Pool(
        workers, initializer=cv2.setNumThreads, initargs=(1,)
    ) as crew:
        run = partial(_mapped, crew, progress, plan.materials)
        FieldBank.draw(plan.materials, plan.pieces, plan.seed, run=run).save(folder)
        chunks = range(plan.canvases // _CHUNK)
        draw = partial(_draw_chunk, folder, plan.seed)
        for done, _ in enumerate(crew.imap_unordered(draw, chunks), start=1):
            progress("Drawing views", done, len(chunks))
    manifest.write_text(json.dumps(wanted))
    return open_pool(folder)


def _mapped(crew, progress: Progress, total: int, draw, numbers):
    for done, pieces in enumerate(crew.imap(draw, numbers, chunksize=4), start=1):
        progress("Drawing materials", done, total)
        yield pieces


def _draw_chunk(folder: Path, seed: int, chunk: int) -> None:
    """Draw canvases 250 * chunk and the 249 after it, and write their views in their places."""
    rng = np.random.default_rng([4, seed, chunk])
    bank = FieldBank.load(folder)
    out = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _layout(0)}
    for row in range(chunk * _CHUNK, (chunk + 1) * _CHUNK):
        canvas = draw_canvas(rng, bank)
        out["families"][row] = material_family(canvas.material)
        out["faults"][row] = (canvas.faults + (-1,) * MAX_FAULTS)[:MAX_FAULTS]
        for view in range(VIEWS):
            out["views"][row, view], out["masks"][row, view] = draw_view(rng, canvas)
