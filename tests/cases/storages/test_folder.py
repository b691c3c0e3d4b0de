import os
import threading

import pytest
from django.core.files.base import ContentFile

from cases.storages import StorageAway
from cases.storages.folder import FolderStorage


@pytest.fixture
def folder(tmp_path):
    return FolderStorage(location=tmp_path, allow_overwrite=True)


def files(tmp_path):
    return [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]


def test_the_name_is_kept_and_the_file_replaced(folder, tmp_path):
    for data in (b"torn", b"whole"):
        assert folder.save("a/b.png", ContentFile(data)) == "a/b.png"
        assert (tmp_path / "a" / "b.png").read_bytes() == data
    assert files(tmp_path) == ["a/b.png"]


def test_a_file_appears_whole_or_not_at_all(folder, tmp_path):
    data = os.urandom(2**20)
    seen, over = [], threading.Event()

    def look():
        while not over.is_set():
            if (tmp_path / "a.png").exists():
                seen.append((tmp_path / "a.png").stat().st_size)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(100):
        folder.save("a.png", ContentFile(data))
    over.set()
    reader.join()
    assert set(seen) == {len(data)}


def test_a_write_that_breaks_off_leaves_nothing(folder, tmp_path):
    class Breaking(ContentFile):
        def chunks(self, chunk_size=None):
            yield b"half"
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageAway) as told:
        folder.save("a.png", Breaking(b""))
    assert told.value.reason == f"{tmp_path / 'a.png'} can't be written: No space left on device."
    assert files(tmp_path) == []


def test_a_folder_that_can_not_be_written_to_is_told(folder, tmp_path, monkeypatch):
    FolderStorage(location=tmp_path / "not" / "yet").check()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StorageAway) as told:
        folder.check()
    assert told.value.reason == f"{tmp_path} can't be written to."
