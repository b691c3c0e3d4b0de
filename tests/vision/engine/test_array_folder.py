"""A folder of arrays is opened as it was written, or refused with the reason."""

import json

import numpy as np
import pytest

from vision.engine.array_folder import FolderError, folder_open, folder_verify, folder_write

ARRAYS = {"numbers": np.arange(12, dtype=np.float32).reshape(3, 4), "ids": np.array([3, 1], np.int64)}


@pytest.fixture
def folder(tmp_path):
    folder_write(tmp_path / "one", "numbers", 1, {"colour": "red"}, ARRAYS)
    return tmp_path / "one"


def test_comes_back_memory_mapped(folder):
    about, arrays = folder_open(folder, "numbers", 1)
    assert about == {"colour": "red"}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert np.array_equal(array, ARRAYS[name])
    folder_verify(folder)


def test_leaves_nothing_else_behind(folder):
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_written_folder_is_never_overwritten(folder):
    with pytest.raises(FileExistsError):
        folder_write(folder, "numbers", 1, {}, ARRAYS)


def test_another_kind_or_format_is_refused(folder):
    with pytest.raises(FolderError, match="holds numbers, not letters"):
        folder_open(folder, "letters", 1)
    with pytest.raises(FolderError, match="format 1, and this version reads 2"):
        folder_open(folder, "numbers", 2)


def test_a_truncated_file_is_refused(folder):
    path = folder / "numbers.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FolderError, match="bytes instead of"):
        folder_open(folder, "numbers", 1)


def test_a_missing_file_is_refused(folder):
    (folder / "ids.npy").unlink()
    with pytest.raises(FolderError, match="can't be read"):
        folder_open(folder, "numbers", 1)


def test_a_flipped_byte_is_found_by_verify(folder):
    path = folder / "numbers.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FolderError, match="sha256"):
        folder_verify(folder)


def test_a_changed_manifest_is_refused(folder):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["about"]["colour"] = "blue"
    path.write_text(json.dumps(content))
    with pytest.raises(FolderError, match="digest"):
        folder_open(folder, "numbers", 1)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"kind": ', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(FolderError, match="can't be read"):
        folder_open(folder, "numbers", 1)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(FolderError, match="can't be read"):
        folder_open(tmp_path, "numbers", 1)


def test_pickles_are_not_read(folder):
    content = json.loads((folder / "manifest.json").read_text())
    np.save(folder / "ids.npy", np.array([{"a": 1}], object), allow_pickle=True)
    size = (folder / "ids.npy").stat().st_size
    from vision.engine import array_folder

    content["files"]["ids.npy"]["bytes"] = size
    del content["digest"]
    content["digest"] = array_folder._digest(content)
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(FolderError, match="can't be read"):
        folder_open(folder, "numbers", 1)
