"""Arrays come back from storage as they were, however they lay in memory."""

import numpy as np
import pytest

from vision.engine.arrays import arrays_pack, arrays_unpack

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "array", [NUMBERS, NUMBERS.T, NUMBERS[:, ::2], np.asfortranarray(NUMBERS), NUMBERS[:0]]
)
def test_arrays_come_back_as_they_were(array):
    again = arrays_unpack(memoryview(arrays_pack({"array": array})))["array"]
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_nothing_is_no_bytes():
    assert arrays_pack({}) == b""
    assert arrays_unpack(b"") == {}
