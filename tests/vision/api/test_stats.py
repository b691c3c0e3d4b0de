"""The state of the index among the figures of the API."""

import pytest

from cases.services.labels import images_label
from tests import factories
from tests.vision.test_library import DIMENSION, embedded_image
from vision.models import EmbeddingSpace, LibraryChange, RecallAudit
from vision.services.snapshots import snapshot_newest, snapshot_write_current

pytestmark = pytest.mark.django_db


@pytest.fixture
def space(settings, tmp_path):
    """An active space with a library of twenty pictures, without a snapshot."""
    settings.FAULTDIAG_DATA = tmp_path
    made = EmbeddingSpace.objects.create(
        slug="test", backbone="faultnet", weights_sha256="0", preprocessing="1", dimension=DIMENSION,
        state=EmbeddingSpace.State.ACTIVE,
    )  # fmt: skip
    images = [embedded_image(made, seed) for seed in range(20)]
    images_label(images, verdict="fault", category=factories.category("PIT"))
    return made


def index_figures():
    return factories.api_client(factories.user("Viewer")).get("/api/v1/stats").data["library"]["index"]


def test_there_is_no_index_before_the_first_snapshot(space):
    assert index_figures() is None


def test_an_exact_index_counts_what_came_since(space):
    snapshot_write_current(space)
    watermark = LibraryChange.objects.filter(space=space).last().pk
    images_label([embedded_image(space, 50)], verdict="fault", category=factories.category("CRZ"))
    assert index_figures() == {
        "engine": "exact",
        "reason": "Every vector is compared: there are fewer than 50,000.",
        "count": 20,
        "generation": "00000001",
        "watermark": watermark,
        "changes": 1,
        "recall": None,
        "audited": 0,
        "milvus_problem": "",
    }


def test_the_recall_is_that_of_the_audits_and_before_them_that_of_the_snapshot(space, settings):
    settings.INDEX = "approximate"
    snapshot_write_current(space)
    folder, manifest = snapshot_newest(space)
    figures = index_figures()
    assert (figures["engine"], figures["audited"]) == ("approximate", 0)
    assert figures["recall"] == manifest.parameters["recall"]
    RecallAudit.objects.create(space=space, generation=folder.name, nearest=10, found=8)
    RecallAudit.objects.create(space=space, generation="00000099", nearest=10, found=1)
    figures = index_figures()
    assert (figures["recall"], figures["audited"]) == (0.8, 1)
