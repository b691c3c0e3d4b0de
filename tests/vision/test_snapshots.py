"""Whatever happens to a snapshot, the library says what the database says."""

import os
import shutil
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from cases.models import CaseImage, FaultCategory, Job
from cases.services.labels import images_label
from tests.milvus import require_milvus
from tests.vision.test_library import DIMENSION, embedded_image, nearest, vector
from vision.engine.snapshot_generations import generations
from vision.models import EmbeddingSpace, LibraryChange
from vision.services import snapshots
from vision.services.library import Library
from vision.services.library_checks import library_verify
from vision.services.milvus import milvus_current
from vision.services.snapshots import (
    BUILD_KIND,
    SnapshotBusy,
    SnapshotUnwritten,
    snapshot_keep,
    snapshot_open,
    snapshot_write_current,
    snapshots_folder,
    snapshots_quarantined,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=["auto", "milvus"])
def _own_folder(request, settings, tmp_path):
    """A data folder of its own; each test runs with candidates from Milvus, too."""
    (tmp_path / "media").mkdir()
    settings.FAULTDIAG_DATA, settings.INDEX = tmp_path, request.param
    if request.param == "milvus":
        require_milvus()
    yield
    if server := milvus_current():
        server.close()


@pytest.fixture
def space():
    return EmbeddingSpace.objects.create(
        slug="test",
        backbone="test",
        weights_sha256="0",
        preprocessing="1",
        dimension=DIMENSION,
        state=EmbeddingSpace.State.ACTIVE,
    )


@pytest.fixture
def category():
    return FaultCategory.objects.create(code="PIT", name="Pitting", state="active")


@pytest.fixture
def images(space, category):
    """Six labelled images, whose vectors belong to the seeds 0 to 5."""
    made = [embedded_image(space, seed) for seed in range(6)]
    images_label(made, verdict="fault", category=category)
    return made


def agree(space):
    """Ids that a fresh process finds, having checked that they are what the database says."""
    library = Library(space)
    library.refresh()
    expected = CaseImage.objects.diagnostic().labelled().filter(embeddings__space=space)
    assert library.ids().tolist() == sorted(expected.values_list("pk", flat=True))
    for seed in range(8):
        found = library.search(vector(seed), 50)
        assert sorted(found.image_ids.tolist()) == library.ids().tolist()
        assert len(found.image_ids) == len(library) == found.library_size
    return library


def test_a_snapshot_serves_with_what_came_after_it(space, category, images):
    snapshot_write_current(space)
    library = agree(space)
    assert len(library.snapshot) == 6
    assert library.changed == 0
    late = embedded_image(space, 7)
    images_label([late], verdict="fault", category=category)
    images_label([images[0]], verdict="unknown")
    assert nearest(library, 7, 1) == [late.pk]
    assert images[0].pk not in nearest(library, 0, 10)
    assert agree(space).changed == 2


def test_a_label_taken_and_given_again_is_found_once(space, category, images):
    snapshot_write_current(space)
    images_label([images[2]], verdict="unknown")
    images_label([images[2]], verdict="fault", category=category)
    assert nearest(agree(space), 2, 10).count(images[2].pk) == 1


def test_an_image_deleted_after_the_snapshot_is_gone(space, images):
    snapshot_write_current(space)
    library = agree(space)
    images[3].delete()
    assert images[3].pk not in nearest(library, 3, 10)
    agree(space)


def test_filters_reach_snapshot_and_changes(space, category, images):
    snapshot_write_current(space)
    late = embedded_image(space, 7)
    images_label([late], verdict="fault", category=category)
    allowed = np.array([images[1].pk, late.pk, 10**6])
    found = Library(space).search(vector(0), 10, allowed=allowed, exclude=np.array([images[1].pk]))
    assert found.image_ids.tolist() == [late.pk]


def test_a_running_process_takes_up_a_newer_snapshot(space, category, images, settings):
    settings.SNAPSHOT_CHANGES = 3
    library = Library(space)
    library.refresh()
    assert library.snapshot is None
    assert library.changed == 6
    snapshot_write_current(space)
    assert nearest(library, 4, 1) == [images[4].pk]
    assert library.changed == 0


def _damage(folder, name="vectors.faiss"):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_damaged_snapshot_is_put_aside_for_the_one_before_it(space, category, images, caplog):
    first = snapshot_write_current(space)
    images_label([images[0]], verdict="unknown")
    second = snapshot_write_current(space)
    _damage(second)
    assert agree(space).snapshot.folder == first
    assert "put aside" in caplog.text
    assert [p.name for p in snapshots_quarantined(space)] == [second.name + ".quarantined"]


def test_with_no_good_snapshot_the_database_serves(space, images):
    (snapshot_write_current(space) / "ids.npy").unlink()
    assert agree(space).snapshot is None


def test_damage_that_shows_while_searching_costs_no_answer(space, images, monkeypatch):
    monkeypatch.setattr("vision.engine.snapshots._HASHED_WHEN_OPENED", 0)
    folder = snapshot_write_current(space)
    _damage(folder)
    library = Library(space)
    assert len(nearest(library, 1, 10)) == 6
    assert library.snapshot is None
    assert snapshots_quarantined(space)


def test_a_snapshot_of_another_space_is_refused(space, category, images):
    snapshot_write_current(space)
    other = EmbeddingSpace.objects.create(
        slug="other", backbone="test", weights_sha256="1", preprocessing="1", dimension=DIMENSION
    )
    shutil.copytree(snapshots_folder(space), snapshots_folder(other))
    assert snapshot_open(other) is None


def test_a_database_put_back_to_before_the_snapshot_wins(space, category, images):
    late = embedded_image(space, 7)
    images_label([late], verdict="fault", category=category)
    snapshot_write_current(space)
    running = agree(space)
    # What a restored backup looks like: the label and its change are not there, and the numbers come again.
    gone = LibraryChange.objects.last()
    CaseImage.objects.filter(pk=late.pk).update(confirmed_category=None)
    LibraryChange.objects.filter(pk__gte=gone.pk).delete()
    LibraryChange.objects.create(
        pk=gone.pk, space=space, image_id=images[0].pk, operation="add", made_at=gone.made_at
    )
    assert late.pk not in nearest(running, 7, 10)
    assert agree(space).snapshot is None
    assert snapshots_quarantined(space)


def test_a_clock_set_back_changes_nothing(space, category, images):
    snapshot_write_current(space)
    images_label([images[0]], verdict="unknown")
    LibraryChange.objects.filter(pk=LibraryChange.objects.last().pk).update(
        made_at=F("made_at") - timedelta(days=400)
    )
    newest = snapshot_write_current(space)
    os.utime(newest, (0, 0))
    assert agree(space).snapshot.folder == newest


def test_a_clock_set_back_keeps_no_snapshot_from_being_tried_again(space, images, settings):
    settings.SNAPSHOT_CHANGES = 6
    job = Job.objects.create(kind=BUILD_KIND, state=Job.State.FAILED, finished_at=timezone.now())
    assert snapshot_keep(space) is None
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() + timedelta(days=1))
    assert snapshot_keep(space) is not None


def test_two_builders_at_once_write_one(space, images):
    snapshots_folder(space).mkdir(parents=True)
    with snapshots._only_builder(snapshots_folder(space)):
        with pytest.raises(SnapshotBusy):
            snapshot_write_current(space)
        with pytest.raises(CommandError, match="Another process"):
            call_command("library", "rebuild")
    snapshot_write_current(space)


def test_a_full_disk_leaves_the_old_snapshot(space, category, images):
    first = snapshot_write_current(space)

    def full(step, done, total):
        if step == "seal":
            raise OSError(28, "No space left on device")

    with pytest.raises(SnapshotUnwritten, match=r"No space left on device\. The disk has .* Make room there"):
        snapshot_write_current(space, full)
    assert generations(snapshots_folder(space)) == [first]
    assert not list(snapshots_folder(space).glob(".unfinished-*"))


def test_what_a_killed_builder_left_is_cleared(space, images):
    left = snapshots_folder(space) / ".unfinished-abc"
    left.mkdir(parents=True)
    (left / "ids.npy").write_bytes(b"half")
    snapshot_write_current(space)
    assert not left.exists()


def test_older_generations_are_pruned(space, images):
    for _ in range(4):
        newest = snapshot_write_current(space)
    assert [p.name for p in generations(snapshots_folder(space))] == [newest.name, "00000003"]


def test_enough_changes_ask_for_a_snapshot_once(space, images, settings, django_capture_on_commit_callbacks):
    settings.SNAPSHOT_CHANGES = 7
    assert snapshot_keep(space) is None
    settings.SNAPSHOT_CHANGES = 6
    job = snapshot_keep(space)
    assert job.kind == BUILD_KIND
    assert snapshot_keep(space) is None
    from vision.tasks import build_snapshot

    build_snapshot(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert job.result["generation"] == "00000001"
    assert job.message == "Snapshot 00000001 of the library is written"
    assert job.progress == job.total > 0
    assert snapshot_keep(space) is None


def test_verify_finds_a_change_that_was_lost(space, images):
    snapshot_write_current(space)
    assert library_verify(space, sample=0).problems == []
    for image in images[:2]:
        images_label([image], verdict="unknown")
    LibraryChange.objects.get(image_id=images[0].pk, operation="remove").delete()
    report = library_verify(space, sample=0)
    assert report.problems == [f"Found by searches, but not in the database: 1 image ({images[0].pk})."]
    assert report.rows == 4


def test_verify_finds_a_snapshot_that_was_put_aside(space, images):
    _damage(snapshot_write_current(space))
    assert "put aside" in library_verify(space, sample=0).problems[0]
    with pytest.raises(CommandError, match="put aside"):
        call_command("library", "verify", "--sample", "0")


def test_the_command_tells_what_serves(space, images, settings, capsys):
    call_command("library", "status")
    assert "No snapshot" in capsys.readouterr().out
    call_command("library", "rebuild")
    assert "Snapshot 00000001 is written." in capsys.readouterr().out
    call_command("library", "verify", "--sample", "0")
    told = capsys.readouterr().out
    assert "Clean: 6 rows" in told
    engine = {"auto": "exact: Every vector is compared", "milvus": "milvus: The setting asks for it."}
    assert f"Engine {engine[settings.INDEX]}" in told
