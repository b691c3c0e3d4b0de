"""What lies in a folder that is to be imported: one subfolder a category, pictures below it."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from cases.models import Case
from cases.services.folder_table import TABLE_NAME, CaseTable, FolderImportError, Problem, table_read
from vision.engine.images import EXTENSIONS


@dataclass(frozen=True)
class FolderImport:
    """What to import and what holds for all its cases. The fields are a job's parameters."""

    folder: str
    kind: str = Case.Kind.INTERNAL
    part: str = ""
    customer: str = ""
    limit: int | None = None

    @property
    def name(self) -> str:
        """The import's name in the source of its cases: the folder's own, wherever it lies."""
        return Path(self.folder).name[:80]

    @property
    def source_prefix(self) -> str:
        return f"folder:{self.name}/"

    def place(self, relative: str) -> str:
        """The source of a file's case but for its content: at most 280 characters."""
        place = f"{self.source_prefix}{relative}"
        if len(place) > 280:
            place = f"{place[:240]}~{hashlib.sha256(place.encode()).hexdigest()[:32]}"
        return place

    def source(self, relative: str, digest: str) -> str:
        """`Case.source`: the same for the same bytes at the same place in a folder of the same name."""
        return f"{self.place(relative)}#{digest[:16]}"


@dataclass(frozen=True)
class FolderFile:
    """A picture below a category folder."""

    path: Path
    relative: str  # POSIX, to the imported folder
    category_folder: str


@dataclass
class FolderScan:
    """Pictures in the order of import, what the table says about them, and what was left out."""

    files: list[FolderFile]
    table: CaseTable
    problems: list[Problem]

    @property
    def category_folders(self) -> list[str]:
        return sorted({file.category_folder for file in self.files})


def folder_scan(wanted: FolderImport) -> FolderScan:
    """Look at the folder without changing anything. Raises FolderImportError with a sentence."""
    root = Path(wanted.folder)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist or can't be read from here"
        raise FolderImportError(f"{root} {what}. Name a folder that holds one folder per fault category.")
    try:
        entries = sorted(entry for entry in root.iterdir() if _is_wanted(entry.name))
    except OSError as error:
        raise FolderImportError(f"{root} can't be read: {error.strerror}.") from error
    found = {entry.name: list(_walk(root, entry)) for entry in entries if entry.is_dir()}
    # One picture of each category in turn, so that a library is of use long before its import ends.
    everything = [file for file in chain.from_iterable(zip_longest(*found.values())) if file]
    files = [file for file in everything if _is_text(file.relative)]
    if not files:
        raise FolderImportError(
            f"{root} holds no pictures in category folders. Make one folder per fault category, named after"
            " it, and put its pictures inside."
        )
    table = table_read(root)
    problems = [
        *table.problems,
        *_loose_pictures(entries),
        *(Problem(name, "The folder holds no pictures.") for name, inside in found.items() if not inside),
        *_unnameable(everything),
        *_unmatched_rows(table, files),
    ]
    return FolderScan(files[: wanted.limit], table, problems)


def _loose_pictures(entries: list[Path]) -> Iterator[Problem]:
    loose = [entry.name for entry in entries if entry.is_file() and _is_picture(entry.name)]
    if loose:
        yield Problem(
            _printable(loose[0]),
            f"Pictures beside the category folders were left out, {len(loose)} in all: move them into one.",
        )


def _unnameable(files: list[FolderFile]) -> Iterator[Problem]:
    for file in files:
        if not _is_text(file.relative):
            yield Problem(_printable(file.relative), "The name is not UTF-8: rename the file.")


def _unmatched_rows(table: CaseTable, files: list[FolderFile]) -> Iterator[Problem]:
    known = {file.relative for file in files}
    for file in table.rows:
        if file not in known:
            yield Problem(TABLE_NAME, f"{file} is in the table, but not among the folder's pictures.")


def _walk(root: Path, folder: Path) -> Iterator[FolderFile]:
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(filter(_is_wanted, subfolders))
        for name in sorted(filter(_is_picture, names)):
            path = Path(parent, name)
            if path.is_file():
                yield FolderFile(path, path.relative_to(root).as_posix(), folder.name)


def _is_wanted(name: str) -> bool:
    return not name.startswith((".", "__"))


def _is_picture(name: str) -> bool:
    return _is_wanted(name) and name.lower().endswith(tuple(f".{extension}" for extension in EXTENSIONS))


def _is_text(name: str) -> bool:
    """Names that are not UTF-8 come from the system with stray surrogates, which no database takes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _printable(name: str) -> str:
    return os.fsencode(name).decode(errors="replace")
