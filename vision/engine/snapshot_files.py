"""Files of snapshots reach the disk completely, or an OSError says why not."""

import io
import os
from pathlib import Path

import numpy as np

from vision.engine.index import faiss_loaded

_BLOCK_BYTES = 2**20


def array_write(path: Path, array: np.ndarray) -> None:
    """np.save, which itself would not say that it was the disk that took too little."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    path.write_bytes(content.getbuffer())


def index_write(path: Path, index) -> None:
    """faiss.write_index, which itself fails without an OSError, and keeps silent about the last few bytes."""
    faiss = faiss_loaded()
    failures = []

    def write(block: bytes) -> None:
        try:
            file.write(block)
        except OSError as error:
            failures.append(error)
            raise

    with path.open("wb") as file:
        try:
            faiss.write_index(index, faiss.PyCallbackIOWriter(write, _BLOCK_BYTES))
        except Exception as error:
            raise failures[0] if failures else error from None


def sync(path: Path) -> None:
    """Have what was written to a file or folder reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
