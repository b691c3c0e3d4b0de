"""The long way: the network itself is tuned in steps, judged, and becomes a space of its own."""

import pytest

from cases.models import Job
from cases.services.jobs import JobProgress
from tests.vision.adapted import library_of_cases
from vision.engine import adaptation_gate
from vision.models import Embedding, EmbeddingSpace
from vision.services import network_tuning
from vision.services.adaptation import adaptation_run, adaptation_start
from vision.services.embedding import embedder_for, space_current
from vision.services.spaces import space_build_step
from vision.services.weights import kept_folder

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(settings, tmp_path, monkeypatch):
    settings.FAULTDIAG_DATA = tmp_path
    monkeypatch.setattr(network_tuning, "_STEP_SECONDS", 0)
    library_of_cases()
    return tmp_path


def attempt():
    """As a worker runs it: a step that leaves more to do, then one that ends it."""
    job = adaptation_start(network=True, minutes=60)
    first = JobProgress(job)
    assert adaptation_run(first) is None
    assert first.again
    Job.objects.filter(pk=job.pk).update(parameters={"network": True, "minutes": 0.0001})
    return adaptation_run(JobProgress(Job.objects.get(pk=job.pk)))


def test_a_tuned_network_that_is_no_better_leaves_a_record_and_nothing_else(library):
    made = attempt()
    assert made.method == "network"
    assert not made.passed, "nothing can be learned from noise"
    assert "unknown_auroc" not in made.measures["after"]
    assert [path.stem for path in kept_folder().iterdir()] == [space_current().weights_sha256]
    assert not any((library / "tuning").iterdir())


def test_a_better_one_is_built_as_a_space_with_its_own_weights(library, monkeypatch):
    monkeypatch.setattr(adaptation_gate, "_refusal", lambda *figures: "")
    before = space_current()
    made = attempt()
    space = made.spaces.get()
    assert (space.base, space.parent, space.root) == (None, before, before)
    assert space.weights_sha256 == made.sha256 != before.weights_sha256
    progress = JobProgress(Job.objects.get(parameters={"space": space.pk}))
    while not progress.result:
        space_build_step(progress)
    assert space_current() == space
    assert space.embeddings.count() == Embedding.objects.filter(space=before).count()
    assert embedder_for(space).space.weights_sha256 == made.sha256
    assert EmbeddingSpace.objects.get(pk=before.pk).state == EmbeddingSpace.State.RETIRED
