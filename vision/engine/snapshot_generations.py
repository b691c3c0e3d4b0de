"""The generations of a space's snapshots: numbered folders, the greatest of which serves."""

import os
import shutil
from pathlib import Path

from vision.engine.snapshot_files import sync


def generations(parent: Path) -> list[Path]:
    """Complete snapshots of a space, newest first. Numbers order them, so a clock may be set back."""
    if not parent.is_dir():
        return []
    return sorted((p for p in parent.iterdir() if p.is_dir() and p.name.isdigit()), reverse=True)


def generation_next(parent: Path) -> str:
    """The number that the next snapshot gets; those of quarantined ones stay taken."""
    taken = [int(p.name.split(".")[0]) for p in parent.iterdir() if p.name.split(".")[0].isdigit()]
    return f"{max(taken, default=0) + 1:08d}"


def snapshot_publish(parent: Path, unfinished: Path) -> Path:
    """Give a finished snapshot the next number, in one rename."""
    target = parent / generation_next(parent)
    os.rename(unfinished, target)
    sync(parent)
    return target


def snapshot_quarantine(folder: Path) -> None:
    """Put a snapshot aside under another name, where nobody opens it and nothing is lost."""
    try:
        os.rename(folder, folder.with_name(folder.name + ".quarantined"))
    except FileNotFoundError:
        return  # another process was faster
    except OSError:
        if folder.exists():
            raise


def snapshots_prune(parent: Path, keep: int) -> None:
    """Delete all but the newest `keep`; processes that still read an older one keep its pages."""
    for folder in generations(parent)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
