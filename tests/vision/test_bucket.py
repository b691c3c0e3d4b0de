"""Pictures in a bucket are seen by the real worker, and wait while the bucket is away."""

import pytest

from cases.services.intake import case_create
from cases.storages import StorageAway
from tests import factories
from tests.vision.test_diagnosis import drawn
from tests.waiting import wait_until
from vision.models import Embedding, EmbeddingFailure
from vision.services.embedding import images_embed, images_pending, pending_embed, space_current

pytestmark = pytest.mark.django_db


@pytest.mark.slow
def test_the_worker_embeds_and_diagnoses_from_the_bucket(bucket, celery_worker, transactional_db):
    case = case_create(pictures=[drawn("scratch", 90)])
    wait_until(lambda: case.diagnoses.exists(), seconds=60)
    assert Embedding.objects.get().image == case.images.get()
    assert list(bucket.objects()) == [f"plant/{case.images.get().file.original.name}"]


def test_a_bucket_that_is_away_sets_no_picture_aside(own_s3_server, use_bucket):
    bucket = use_bucket(own_s3_server)
    image = case_create(pictures=[drawn("scratch", 91)], bulk=True).images.get()
    key = f"plant/{image.file.original.name}"
    data = bucket.read(key)
    bucket.server.stop()
    for attempt in (pending_embed, lambda: images_embed([image.pk])):
        with pytest.raises(StorageAway):
            attempt()
    assert not EmbeddingFailure.objects.exists()
    assert images_pending(space_current()).get() == image
    bucket.server.start()
    bucket.make()
    bucket.put(key, data)
    pending_embed()
    assert Embedding.objects.get().image == image


def test_an_original_that_is_missing_from_the_bucket_is_set_aside(bucket):
    image = factories.case().images.get()
    image.file.original.delete(save=False)
    pending_embed()
    assert "There is no originals/" in EmbeddingFailure.objects.get().error
