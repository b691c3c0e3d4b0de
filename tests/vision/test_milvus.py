"""The library with Milvus: which collections are there, what people are told, and that no answer suffers.

What a snapshot promises whatever its engine is tested in test_snapshots.py.
"""

import logging
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from cases.models import FaultCategory, Job
from cases.services.labels import images_label
from tests.milvus import MilvusProcess, free_port, require_milvus
from tests.vision.test_library import DIMENSION, embedded_image, nearest
from vision.engine import milvus as module
from vision.engine.snapshots import Manifest
from vision.models import EmbeddingSpace
from vision.services.library import Library
from vision.services.milvus import collection_lost, milvus_check, milvus_current
from vision.services.snapshots import (
    BUILD_KIND,
    snapshot_keep,
    snapshot_newest,
    snapshot_write_current,
    snapshots_folder,
)

pytestmark = pytest.mark.django_db

TOKEN = "root:hunter2"


@pytest.fixture
def milvus(settings, tmp_path, monkeypatch):
    """A server in a process of its own, which the settings name, and which may be asked again at once."""
    require_milvus()
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    process = MilvusProcess(tmp_path / "server.db")
    process.start()
    settings.FAULTDIAG_DATA, settings.INDEX = tmp_path, "milvus"
    settings.MILVUS_URI, settings.MILVUS_TOKEN = process.uri, TOKEN
    server = milvus_current()
    yield process
    process.kill()
    server.close()


@pytest.fixture
def space(milvus):
    """A space with six labelled images, whose vectors belong to the seeds 0 to 5."""
    space = EmbeddingSpace.objects.create(
        slug="test-1", backbone="faultnet", weights_sha256="0", preprocessing="1", dimension=DIMENSION,
        state=EmbeddingSpace.State.ACTIVE,
    )  # fmt: skip
    category = FaultCategory.objects.create(code="PIT", name="Pitting", state="active")
    images_label([embedded_image(space, seed) for seed in range(6)], verdict="fault", category=category)
    return space


def collections():
    return sorted(milvus_current().call("list_collections"))


def check(space):
    return milvus_check(snapshot_newest(space)[1])


def test_collections_are_those_of_the_kept_generations(space):
    for _ in range(4):
        newest = snapshot_write_current(space)
    found = collections()
    assert [name[-8:] for name in found] == ["00000003", "00000004"]
    assert Manifest.read(newest).parameters["collection"] == found[1]
    assert found[0].startswith("faultdiag_test_1_cosine_")
    assert check(space) == ""


def test_folders_that_share_a_server_leave_each_other_alone(space, settings, tmp_path):
    snapshot_write_current(space)
    first = collections()
    settings.FAULTDIAG_DATA = tmp_path / "other"
    for _ in range(3):
        snapshot_write_current(space)
    assert len(collections()) == 3
    assert set(first) < set(collections())


def test_what_a_killed_builder_left_in_milvus_is_dropped(space):
    snapshot_write_current(space)
    prefix = collections()[0][:-8]
    for generation in ("00000002", "00000009"):
        milvus_current().call("create_collection", prefix + generation, dimension=4)
    snapshot_write_current(space)
    assert collections() == [prefix + "00000001", prefix + "00000002"]
    assert milvus_current().call("get_collection_stats", prefix + "00000002")["row_count"] == 6


def test_an_outage_costs_no_answer_and_is_told(space, milvus, caplog, capsys, admin_client):
    caplog.set_level(logging.DEBUG)
    snapshot_write_current(space)
    library = Library(space)
    expected = [nearest(library, seed, 10) for seed in range(6)]
    call_command("library", "status")
    assert "slower" not in capsys.readouterr().out
    assert "slower" not in admin_client.get("/library").content.decode()
    milvus.kill()
    assert [nearest(library, seed, 10) for seed in range(6)] == expected
    call_command("library", "status")
    page = admin_client.get("/library").content.decode()
    told = capsys.readouterr().out
    for text in (told, page):
        assert "Every vector is compared, which is right and slower." in text
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert "hunter2" not in page + told + caplog.text
    milvus.start()
    assert [nearest(library, seed, 10) for seed in range(6)] == expected
    assert library.snapshot.problem == ""
    assert check(space) == ""


def test_a_snapshot_that_milvus_could_not_take_serves_without_and_is_made_up_for(space, milvus, caplog):
    milvus.kill()
    snapshot_write_current(space)
    assert "Milvus was not filled." in caplog.text
    assert snapshot_newest(space)[1].engine == "exact"
    assert "library rebuild" in check(space)
    assert snapshot_keep(space) is None  # there is nobody to fill
    milvus.start()
    assert snapshot_keep(space).kind == BUILD_KIND


def test_a_lost_collection_is_made_up_for_once_an_hour(space):
    snapshot_write_current(space)
    assert not collection_lost(snapshot_newest(space)[1])
    assert snapshot_keep(space) is None
    milvus_current().call("drop_collection", collections()[0])
    assert "has lost the collection" in check(space)
    job = snapshot_keep(space)
    Job.objects.filter(pk=job.pk).update(state=Job.State.DONE, finished_at=timezone.now())
    assert snapshot_keep(space) is None
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(hours=2))
    assert snapshot_keep(space).pk != job.pk


def test_who_searches_a_pruned_snapshot_takes_up_the_newest(space):
    snapshot_write_current(space)
    library = Library(space)
    library.refresh()
    for _ in range(3):
        newest = snapshot_write_current(space)
    nearest(library, 0, 10)  # its collection is gone
    assert len(nearest(library, 0, 10)) == 6
    assert library.snapshot.folder == newest
    assert library.snapshot.problem == ""


def test_without_the_setting_milvus_is_left_alone(space, settings):
    snapshot_write_current(space)
    settings.INDEX = "auto"
    library = Library(space)
    assert len(nearest(library, 0, 10)) == 6
    assert library.snapshot.manifest.engine == "milvus"
    assert "no longer asks for Milvus" in check(space)
    assert snapshot_keep(space) is None
    snapshot_write_current(space)
    assert check(space) == ""


def test_a_folder_of_milvus_lite_that_another_process_has_open_costs_no_answer(space, settings, milvus):
    settings.MILVUS_URI = str(milvus.folder)
    snapshot_write_current(space)
    assert "serves one process" in snapshot_newest(space)[1].reason
    assert len(nearest(Library(space), 0, 10)) == 6


def test_the_data_folder_is_the_place_of_milvus_lite(settings, tmp_path):
    settings.FAULTDIAG_DATA, settings.INDEX = tmp_path, "milvus"
    assert milvus_current().uri == str(tmp_path / "milvus.db")
    settings.MILVUS_URI = f"http://127.0.0.1:{free_port()}"
    assert milvus_current().uri == settings.MILVUS_URI
    settings.INDEX = "auto"
    assert milvus_current() is None


def test_an_empty_library_misses_nothing(milvus):
    space = EmbeddingSpace.objects.create(
        slug="empty", backbone="faultnet", weights_sha256="0", preprocessing="1", dimension=DIMENSION
    )
    folder = snapshot_write_current(space)
    assert folder.parent == snapshots_folder(space)
    assert check(space) == ""
    assert snapshot_keep(space) is None
