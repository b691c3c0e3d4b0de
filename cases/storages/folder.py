"""Files in a folder, which appear whole or not at all."""

import os
import uuid
from pathlib import Path

from django.core.files.storage import FileSystemStorage

from cases.storages import StorageAway


class FolderStorage(FileSystemStorage):
    """Two processes may write the same file at once: each writes its own, and the last rename wins."""

    def __str__(self):
        return str(self.location)

    def check(self) -> None:
        """StorageAway when nothing can be written here."""
        place = Path(self.location)
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise StorageAway(f"{place} can't be written to.")

    def _save(self, name, content):
        part = f"{name}.{uuid.uuid4().hex}.part"
        try:
            os.replace(self.path(super()._save(part, content)), self.path(name))
        except OSError as error:
            raise StorageAway(f"{self.path(name)} can't be written: {error.strerror}.") from error
        finally:
            Path(self.path(part)).unlink(missing_ok=True)
        return name
