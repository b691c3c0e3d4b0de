"""A space is built while another one serves, survives its worker, and takes over whole or not at all."""

import shutil

import numpy as np
import pytest
from django.urls import reverse

from cases.models import CaseImage, Job
from cases.services.jobs import jobs_recover
from tests import factories
from tests.vision.adapted import adapted_space, library_of_cases, random_weights
from tests.waiting import wait_until
from vision.engine.images import load_image
from vision.engine.weight_checks import weights_verified
from vision.engine.weight_files import SHIPPED
from vision.models import Embedding, EmbeddingSpace
from vision.services import spaces
from vision.services.embedding import images_embed, pictures_embed, space_current
from vision.services.library import library_current
from vision.services.spaces import (
    BUILD_KIND,
    SpaceRefused,
    settings_follow_enqueue,
    settings_note,
    space_activate,
    space_active,
    space_build_start,
    space_missing,
    space_undo,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def library():
    return library_of_cases()


def end_of(job) -> Job:
    wait_until(lambda: Job.objects.get(pk=job.pk).is_over, seconds=90)
    job.refresh_from_db()
    return job


def step(job):
    """One message of a job, as a worker takes it; what it sends further stays unsent."""
    from vision.tasks import build_space

    build_space.run(job.pk)


def build(job):
    while not Job.objects.get(pk=job.pk).is_over:
        step(job)


@pytest.mark.django_db(transaction=True)
def test_a_projection_takes_over_and_searches_go_on_in_it(library, celery_worker):
    before = space_current()
    space = adapted_space(before)
    job = end_of(space_build_start(space))
    assert job.state == Job.State.DONE, job.error
    assert space_current() == space
    assert library_current().space == space
    assert len(library_current().vectors()[0]) == CaseImage.objects.labelled().count()
    assert EmbeddingSpace.objects.get(pk=before.pk).state == EmbeddingSpace.State.RETIRED
    image = CaseImage.objects.first()
    found = library_current().search(stored(space, image), 1)
    assert found.image_ids.tolist() == [image.pk]


def stored(space, image) -> np.ndarray:
    raw = Embedding.objects.get(space=space, image=image).vector
    return np.frombuffer(bytes(raw), "<f2").astype(np.float32)


def test_an_upload_during_the_building_is_found_after_the_swap(library):
    before = space_current()
    space = adapted_space(before)
    job = space_build_start(space)
    step(job)
    category = CaseImage.objects.labelled().first().confirmed_category
    late = factories.case(labelled=category, seed=987_000).images.get()
    images_embed([late.pk])
    assert space_current() == before
    assert not Embedding.objects.filter(space=space, image=late).exists()
    assert space_activate(space) is False, "not even a builder that is sure to be ready may swap now"
    build(job)
    assert space_current() == space
    assert library_current().search(stored(space, late), 1).image_ids.tolist() == [late.pk]


def test_an_upload_after_the_swap_has_both_vectors(library):
    network = space_current()
    space = adapted_space(network)
    job = space_build_start(space)
    build(job)
    image = factories.case(seed=988_000).images.get()
    assert images_embed([image.pk]) == 1
    assert images_embed([image.pk]) == 0
    assert set(image.embeddings.values_list("space", flat=True)) == {network.pk, space.pk}
    with image.file.original.open("rb") as original:
        expected = pictures_embed([load_image(original.read())])[0]
    assert np.array_equal(stored(space, image), expected)


def test_a_builder_that_is_killed_loses_one_step(library, monkeypatch):
    """The kill itself is in tests/test_space_crash.py; here, that the next worker goes on where it ended."""
    monkeypatch.setattr(spaces, "_PROJECTED", 5)
    space = adapted_space(space_current())
    job = space_build_start(space)
    step(job)
    assert space.embeddings.count() == 5
    Job.objects.filter(pk=job.pk).update(state="running", heartbeat_at="2020-01-01T00:00Z")
    assert jobs_recover() == 1
    step(job)
    assert space.embeddings.count() == 10
    build(job)
    assert space_current() == space
    assert space.embeddings.count() == Embedding.objects.filter(space=space.base).count()


def test_undo_completes_the_space_before_and_goes_back(library):
    network = space_current()
    job = space_build_start(adapted_space(network))
    build(job)
    late = factories.case(seed=989_000).images.get()
    images_embed([late.pk])
    job = space_undo()
    build(job)
    assert space_current() == network
    assert Embedding.objects.filter(space=network, image=late).exists()
    with pytest.raises(SpaceRefused, match="no adaptation"):
        space_undo()


def test_a_space_of_an_adaptation_to_another_network_is_given_up(library):
    space = adapted_space(space_current())
    job = space_build_start(space)
    other = EmbeddingSpace.objects.create(slug="other", backbone="x", weights_sha256="0", dimension=4)
    EmbeddingSpace.objects.filter(pk=space.base_id).update(state="retired")
    EmbeddingSpace.objects.filter(pk=other.pk).update(state="active")
    with pytest.raises(SpaceRefused, match="another network"):
        step(job)
    assert EmbeddingSpace.objects.get(pk=space.pk).state == EmbeddingSpace.State.RETIRED


@pytest.fixture
def data(settings, tmp_path):
    """A data folder whose weights a test may spoil."""
    (tmp_path / "weights").mkdir()
    settings.FAULTDIAG_DATA = tmp_path
    return tmp_path


@pytest.mark.django_db(transaction=True)
def test_other_weights_are_built_up_while_the_old_space_serves(data, library, celery_worker):
    before = space_current()
    random_weights(data / "weights" / "faultnet.safetensors")
    follow = end_of(settings_follow_enqueue())
    assert follow.state == Job.State.DONE, follow.error
    end_of(Job.objects.get(kind=BUILD_KIND))
    after = space_current()
    assert after != before
    assert after.weights_sha256 == weights_verified("faultnet", data)[1]
    assert not space_missing(after, before).exists()
    assert settings_note() == ""
    assert settings_follow_enqueue() is None


def test_settings_that_come_back_are_followed_again(data, library):
    from vision.tasks import follow_settings

    space_current()
    own = random_weights(data / "weights" / "faultnet.safetensors")
    follow_settings.run(settings_follow_enqueue().pk)
    building = Job.objects.get(kind=BUILD_KIND)
    assert settings_follow_enqueue() is None, "it is being built"
    own.rename(data / "away")
    with pytest.raises(SpaceRefused, match="settings ask for another"):
        step(building)
    (data / "away").rename(own)
    again = settings_follow_enqueue()
    follow_settings.run(again.pk)
    build(Job.objects.filter(kind=BUILD_KIND).first())
    assert space_current().weights_sha256 == weights_verified("faultnet", data)[1]


def spoil_truncated(path):
    path.write_bytes(SHIPPED["faultnet"].read_bytes()[:100_000])


def spoil_architecture(path):
    from safetensors.numpy import save_file

    save_file({"head.weight": np.zeros((3, 3), np.float32)}, path)


def spoil_hash(path):
    shutil.copyfile(SHIPPED["faultnet"], path)
    path.with_name(path.name + ".sha256").write_text("ab" * 32 + f"  {path.name}\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(spoil_truncated, "truncated"), (spoil_architecture, "does not hold"), (spoil_hash, "is recorded")],
)
def test_bad_weights_are_refused_and_the_active_space_serves_on(data, library, client, spoil, reason):
    from vision.tasks import follow_settings

    before = space_current()
    spoil(data / "weights" / "faultnet.safetensors")
    job = settings_follow_enqueue()
    if job:
        with pytest.raises(SpaceRefused):
            follow_settings.run(job.pk)
        assert settings_follow_enqueue() is None, "once is enough"
    assert space_active() == before
    note = settings_note()
    assert reason in note
    assert f"{before.slug} serves on" in note
    client.force_login(factories.user("Viewer"))
    assert reason in client.get(reverse("library-status")).content.decode()
    answer = client.get(reverse("readyz")).json()
    assert answer["checks"]["weights"] == "ok"
    assert answer["notes"] == [note]
    image = factories.case(seed=990_000).images.get()
    assert images_embed([image.pk]) == 1
