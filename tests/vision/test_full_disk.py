"""A disk that fills up while a snapshot is written: the old one serves, and the job says what to do."""

import os
import resource
import subprocess
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command

from cases.models import Job
from tests.vision.plain_library import images_add, space_add, vector
from vision.engine.snapshot_generations import generations
from vision.services.library import Library
from vision.services.snapshots import BUILD_KIND, SnapshotUnwritten, snapshot_write_current, snapshots_folder
from vision.tasks import build_snapshot

pytestmark = pytest.mark.django_db

PAGE = 4096


class SmallDisk:
    """A file system of its own, which something else fills up to the last page but a few."""

    def __init__(self, folder):
        self.ballast = folder / "ballast"

    @contextmanager
    def leaving(self, pages):
        with self.ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * PAGE)
            except OSError:
                ballast.truncate(max(0, ballast.tell() - pages * PAGE))
            yield
        self.ballast.unlink()


class ShortFiles:
    """No disk at all, but a limit to the size of every file that this process writes."""

    @contextmanager
    def leaving(self, pages):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (pages * PAGE, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def disk(settings, tmp_path):
    """A data folder on a disk that can be filled.

    Whoever may mount gets a real small one (tmpfs), where writing fails with "No space left on device",
    whichever file is the one too many. An ordinary user, as in most CI, gets a limit to the size of files:
    then each fails by itself, with "File too large", at the same calls and with the same consequences.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    settings.FAULTDIAG_DATA, settings.INDEX = folder, "approximate"
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield ShortFiles()
        return
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def space(disk):
    space = space_add()
    images_add(space, 1500, labelled=1500)
    return space


def pages_of(folder) -> list[int]:
    return [-(-path.stat().st_size // PAGE) for path in folder.iterdir()]


def test_wherever_it_happens_nothing_is_lost_and_the_job_says_what_to_do(space, disk):
    first = snapshot_write_current(space)
    needed = sum(pages_of(first)) if isinstance(disk, SmallDisk) else max(pages_of(first))
    expected = Library(space).search(vector(1), 20)
    for pages in range(0, needed - 1, 3):
        job = Job.objects.create(kind=BUILD_KIND)
        with disk.leaving(pages), pytest.raises(SnapshotUnwritten):
            build_snapshot(job.pk)
        job.refresh_from_db()
        assert job.state == Job.State.FAILED
        assert ("No space left" if isinstance(disk, SmallDisk) else "File too large") in job.error
        assert f"No snapshot was written into {snapshots_folder(space)}" in job.error
        assert "Make room there" in job.error
        assert "manage.py library rebuild" in job.error
        assert generations(snapshots_folder(space)) == [first]
        assert [path.name for path in sorted(snapshots_folder(space).iterdir())] == [".lock", first.name]
        library = Library(space)
        assert library.search(vector(1), 20).image_ids.tolist() == expected.image_ids.tolist()
        assert library.snapshot.folder == first
    job = Job.objects.create(kind=BUILD_KIND)
    build_snapshot(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["generation"]) == (Job.State.DONE, "00000002")
    library = Library(space)
    assert library.search(vector(1), 20).image_ids.tolist() == expected.image_ids.tolist()
    library.snapshot.verify()


def test_the_command_says_it_in_a_sentence(space, disk):
    snapshot_write_current(space)
    with disk.leaving(2), pytest.raises(CommandError, match=r"No snapshot was written.*Make room there"):
        call_command("library", "rebuild")
