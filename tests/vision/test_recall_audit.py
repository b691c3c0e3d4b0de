"""Searches are repeated exactly now and then, and a snapshot that finds too little is written anew."""

import numpy as np
import pytest

from cases.models import FaultCategory, Job
from cases.services.labels import images_label
from tests.vision.test_library import DIMENSION, embedded_image, vector
from vision.models import EmbeddingSpace, RecallAudit
from vision.services import recall_audit
from vision.services.library import Library
from vision.services.recall_audit import audit_state, promise_keep, search_audit, search_sample
from vision.services.snapshots import snapshot_newest, snapshot_write_current

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(settings, tmp_path, monkeypatch):
    """A library of 20 pictures whose snapshot is searched approximately."""
    settings.FAULTDIAG_DATA, settings.INDEX = tmp_path, "approximate"
    monkeypatch.setattr(recall_audit, "SHARE", 1.0)
    space = EmbeddingSpace.objects.create(
        slug="test", backbone="faultnet", weights_sha256="0", preprocessing="1", dimension=DIMENSION,
        state=EmbeddingSpace.State.ACTIVE,
    )  # fmt: skip
    category = FaultCategory.objects.create(code="PIT", name="Pitting", state="active")
    images_label([embedded_image(space, seed) for seed in range(20)], verdict="fault", category=category)
    snapshot_write_current(space)
    made = Library(space)
    made.refresh()
    return made


def audited(library, found: int, count: int) -> None:
    """Audits in which so many of ten were found."""
    RecallAudit.objects.bulk_create(
        RecallAudit(space=library.space, generation=library.snapshot.folder.name, nearest=10, found=found)
        for _ in range(count)
    )


def test_a_search_is_handed_to_a_worker_and_noted(library, django_capture_on_commit_callbacks, monkeypatch):
    sent = []
    monkeypatch.setattr("vision.tasks.audit_search.delay", sent.append)
    with django_capture_on_commit_callbacks(execute=True):
        search_sample(library, vector(3))
    audit = search_audit(library, *sent)
    assert audit.nearest == 10
    assert audit.found <= 10
    state = audit_state(library.space, library.snapshot.folder.name)
    assert state.searches == 1
    assert state.recall == audit.found / 10


def test_a_vector_of_another_space_is_left_alone(library):
    assert search_audit(library, np.zeros(DIMENSION + 1, "<f2").tobytes().hex()) is None


def test_an_exact_snapshot_needs_no_audit(library, settings, django_capture_on_commit_callbacks):
    settings.INDEX = "exact"
    snapshot_write_current(library.space)
    with django_capture_on_commit_callbacks() as callbacks:
        search_sample(Library(library.space), vector(1))
        fresh = Library(library.space)
        fresh.refresh()
        search_sample(fresh, vector(1))
    assert callbacks == []


def test_a_broken_promise_is_reported_and_mended(library, caplog):
    audited(library, found=10, count=30)
    audited(library, found=9, count=10)
    promise_keep(library.space)
    assert not Job.objects.exists()  # 97.5 %, but of too few searches to say so
    audited(library, found=9, count=20)
    promise_keep(library.space)
    assert "promised 99" in caplog.text
    job = Job.objects.get()
    from vision.tasks import build_snapshot

    build_snapshot(job.pk)
    folder, manifest = snapshot_newest(library.space)
    assert folder.name == "00000002"
    assert manifest.parameters["aimed"] == 0.9975
    promise_keep(library.space)
    assert Job.objects.count() == 1  # the new snapshot is judged by its own audits


def test_a_promise_that_is_kept_causes_nothing(library):
    audited(library, found=10, count=100)
    promise_keep(library.space)
    assert not Job.objects.exists()


def test_the_library_page_tells_of_engine_and_recall(library, admin_client):
    audited(library, found=9, count=2)
    page = admin_client.get("/library").content.decode()
    assert "approximate" in page
    assert "90" in page
    assert "2 searches that were repeated exactly" in page
    library.snapshot.folder.rename(library.snapshot.folder.with_name("00000001.quarantined"))
    snapshot_write_current(library.space)
    assert "00000001.quarantined" in admin_client.get("/library").content.decode()
