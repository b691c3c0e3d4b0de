"""The tensors of a TorchScript archive, taken out without running the program that it is.

torch.jit.load would execute what the archive defines. Here its data.pkl is read by an unpickler that knows
five kinds of names and makes inert objects of every class of the archive.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_CONSTANTS, _OBJECTS = "constants.pkl", "data.pkl"
_STORAGES = {
    "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64", "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16",
    "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with the constants of a program."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(_is_top(name, _CONSTANTS) for name in archive.namelist())


def read_archive(path: Path) -> dict[str, Tensor]:
    """Tensors by their names in the module, on the CPU, as they are stored.

    Those that are plain attributes (a mask, the size of the input) can't be told from parameters and buffers,
    so there may be more than the network has. Raises UnpicklingError for what is no module of tensors, and
    what zipfile raises for a damaged file.
    """
    with zipfile.ZipFile(path) as archive:
        objects = next((name for name in archive.namelist() if _is_top(name, _OBJECTS)), None)
        if objects is None:
            raise pickle.UnpicklingError("There is no data.pkl in it.")
        folder = objects.removesuffix(_OBJECTS)
        module = _Unpickler(archive, folder).load()
    if not isinstance(module, _Inert):
        raise pickle.UnpicklingError("It holds no module.")
    return dict(_tensors(module, ""))


def _is_top(name: str, wanted: str) -> bool:
    return name.count("/") == 1 and name.endswith(f"/{wanted}")


class _Inert:
    """An object of a class that the archive defines: its attributes, and no behaviour."""

    attributes: Mapping[str, Any] = MappingProxyType({})

    def __setstate__(self, state):
        self.attributes = state if isinstance(state, dict) else MappingProxyType({})


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str):
        super().__init__(io.BytesIO(archive.read(f"{folder}{_OBJECTS}")))
        self._archive = archive
        self._folder = folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str):
        import torch

        if module.partition(".")[0] == "__torch__":
            return _Inert
        if module == "torch" and name in _STORAGES:
            return getattr(torch, _STORAGES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle":  # marks the type of a list
            return _first
        raise pickle.UnpicklingError(f"It names {module}.{name}")

    def persistent_load(self, pid: tuple) -> Tensor:
        import torch

        _, dtype, key, _, _ = pid
        if key not in self._storages:
            raw = bytearray(self._archive.read(f"{self._folder}data/{key}"))
            self._storages[key] = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _rebuild(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    return storage.as_strided(size, stride, offset)


def _first(value: object, *_: object) -> object:
    return value


def _tensors(module: _Inert, prefix: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    for name, value in module.attributes.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Inert):
            yield from _tensors(value, f"{prefix}{name}.")
