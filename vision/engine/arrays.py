"""Named arrays as bytes and back, in the safetensors format: what was learned, as it is stored."""

import numpy as np
from safetensors.numpy import load, save


def arrays_pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays by name as bytes; none at all as no bytes."""
    # safetensors writes the memory as it lies, which for a transposed array is another array.
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}) if arrays else b""


def arrays_unpack(stored: bytes) -> dict[str, np.ndarray]:
    """The opposite of `arrays_pack`."""
    return load(bytes(stored)) if stored else {}
