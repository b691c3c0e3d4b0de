"""What does not fit on the disk is an OSError, down to the last byte."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest

from vision.engine.index import faiss_loaded
from vision.engine.snapshot_files import array_write, index_write


@contextmanager
def files_up_to(size: int):
    """No file of this process grows beyond this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def index_of(count: int):
    faiss = faiss_loaded()
    flat = faiss.IndexScalarQuantizer(32, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2)
    flat.add(np.random.default_rng(0).standard_normal((count, 32), np.float32))
    return flat


@pytest.mark.parametrize("missing", [1, 100, 5000, 60_000])
def test_an_index_that_does_not_fit_is_an_error(tmp_path, missing):
    """FAISS alone writes through a buffer, and loses what is left in it without a word."""
    index = index_of(1000)
    size = len(faiss_loaded().serialize_index(index))
    with files_up_to(size - missing), pytest.raises(OSError, match="File too large"):
        index_write(tmp_path / "index", index)
    with files_up_to(size):
        index_write(tmp_path / "index", index)
    assert (tmp_path / "index").stat().st_size == size
    assert faiss_loaded().read_index(str(tmp_path / "index")).ntotal == 1000


def test_an_array_that_does_not_fit_is_an_error_with_its_cause(tmp_path):
    with files_up_to(1000), pytest.raises(OSError, match="File too large"):
        array_write(tmp_path / "ids.npy", np.arange(1000))
    array_write(tmp_path / "ids.npy", np.arange(1000))
    assert np.load(tmp_path / "ids.npy").tolist() == list(range(1000))
