"""Rows are read as they were written, whether the system has them in memory or not."""

import os

import numpy as np
import pytest

from vision.engine import rows_file
from vision.engine.rows_file import RowsFile

WIDTH, OFFSET, COUNT = 96, 13, 5000
POSITIONS = np.array([4999, 0, 17, 17, 2500], np.int64)


@pytest.fixture
def file(tmp_path):
    """A file of rows behind a head of 13 bytes, and the rows."""
    rows = np.random.default_rng(0).integers(0, 256, (COUNT, WIDTH), np.uint8)
    path = tmp_path / "rows"
    path.write_bytes(bytes(OFFSET) + rows.tobytes())
    return path, rows


def forget(path):
    """Have the system drop the file from its memory."""
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("how", ["in memory", "on the disk", "without preadv2"])
def test_rows_come_in_the_order_asked_for(file, how, monkeypatch):
    path, rows = file
    if how == "on the disk":
        forget(path)
    elif how == "without preadv2":
        monkeypatch.setattr(rows_file, "_preadv2", None)
    np.testing.assert_array_equal(RowsFile(path, WIDTH, OFFSET).read(POSITIONS), rows[POSITIONS])


def test_no_row_is_asked_for(file):
    assert RowsFile(file[0], WIDTH, OFFSET).read(np.empty(0, np.int64)).shape == (0, WIDTH)


def test_a_file_that_ends_early_is_an_error(file):
    path, rows = file
    opened = RowsFile(path, WIDTH, OFFSET)
    os.truncate(path, OFFSET + 100 * WIDTH + 1)
    np.testing.assert_array_equal(opened.read(np.array([99])), rows[99:100])
    with pytest.raises(OSError, match="ends before byte"):
        opened.read(np.array([3, 100]))
    with pytest.raises(OSError, match="ends before byte"):
        opened.read(np.array([COUNT - 1]))


def test_a_file_is_closed_with_its_last_user(file):
    before = len(os.listdir("/proc/self/fd"))
    opened = RowsFile(file[0], WIDTH, OFFSET)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del opened
    assert len(os.listdir("/proc/self/fd")) == before
