"""Rows of a file that lie far apart, read without mapping it, and without giving way to other threads."""

import ctypes
import os
import weakref
from pathlib import Path

import numpy as np

#: "Give me what is in memory, and don't wait for the disk" (Linux).
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
# A call of os.preadv hands Python's lock to another thread. With a hundred short reads for each search and
# many searches at once they would spend their time on that; calls through PyDLL keep it.
_preadv2 = getattr(ctypes.PyDLL(None), "preadv2", None) if _NOWAIT else None
if _preadv2 is not None:
    _preadv2.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int)
    _preadv2.restype = ctypes.c_ssize_t


class RowsFile:
    """Rows of `width` bytes from `offset` on; safe to share between threads. Raises OSError.

    A mapping would bring 16 pages into the process's memory for each row that is looked at.
    """

    def __init__(self, path: Path, width: int, offset: int):
        self._path, self._width, self._offset = path, width, offset
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Rows at int64 (n,) positions: uint8 (n, width). Raises OSError, also where the file ends early."""
        rows = np.empty((len(positions), self._width), np.uint8)
        places = (self._offset + self._width * positions).tolist()
        absent = self._read_present(rows, places)
        # The disk is told of all rows before the first is waited for; other threads work meanwhile.
        for row in absent:
            os.posix_fadvise(self._file, places[row], self._width, os.POSIX_FADV_WILLNEED)
        for row in absent:
            if os.preadv(self._file, [rows[row]], places[row]) != self._width:
                raise OSError(f"{self._path} ends before byte {places[row] + self._width}")
        return rows

    def _read_present(self, rows, places) -> list[int]:
        """Fill in the rows that the system holds in memory; returns the others."""
        if _preadv2 is None:
            return list(range(len(places)))
        # One struct iovec (address, length) for each row.
        buffers = np.empty((len(places), 2), np.uint64)
        buffers[:, 0] = rows.ctypes.data + self._width * np.arange(len(places), dtype=np.uint64)
        buffers[:, 1] = self._width
        first, size = buffers.ctypes.data, buffers.strides[0]
        return [
            row
            for row, place in enumerate(places)
            if _preadv2(self._file, first + size * row, 1, place, _NOWAIT) != self._width
        ]
