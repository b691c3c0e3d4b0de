"""The library is what the database says at this moment, whichever way it was changed."""

import threading

import numpy as np
import pytest
from django.db import Error, connection, transaction

from cases.models import CaseImage, FaultCategory
from cases.services.intake import case_create
from cases.services.labels import images_label
from tests.cases.test_intake import picture
from vision.models import Embedding, EmbeddingSpace, LibraryChange
from vision.services.embedding import _store, vectors_pack
from vision.services.library import Library

pytestmark = pytest.mark.django_db

DIMENSION = 8


@pytest.fixture
def space():
    return EmbeddingSpace.objects.create(
        slug="test", backbone="test", weights_sha256="0", preprocessing="1", dimension=DIMENSION
    )


@pytest.fixture
def category():
    return FaultCategory.objects.create(code="PIT", name="Pitting", state="active")


def vector(seed: int) -> np.ndarray:
    direction = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return direction / np.linalg.norm(direction)


def embedded_image(space, seed: int, role: str = CaseImage.Role.CLOSE_UP) -> CaseImage:
    image = case_create(pictures=[picture(seed)], bulk=True).images.get()
    CaseImage.objects.filter(pk=image.pk).update(role=role)
    Embedding.objects.create(image=image, space=space, vector=vectors_pack(vector(seed)[None])[0])
    return image


def nearest(library, seed: int, top_k: int = 5) -> list[int]:
    return library.search(vector(seed), top_k).image_ids.tolist()


def test_an_image_is_found_once_it_is_labelled_and_no_longer_when_it_is_not(space, category):
    library = Library(space)
    image = embedded_image(space, 1)
    assert nearest(library, 1) == []
    images_label([image], verdict="fault", category=category)
    assert nearest(library, 1) == [image.pk]
    images_label([image], verdict="unknown")
    assert nearest(library, 1) == []


def test_a_label_before_the_embedding_counts_as_well(space, category):
    library = Library(space)
    library.refresh()
    image = case_create(pictures=[picture(1)], bulk=True).images.get()
    images_label([image], verdict="fault", category=category)
    Embedding.objects.create(image=image, space=space, vector=vectors_pack(vector(1)[None])[0])
    assert nearest(library, 1) == [image.pk]


def test_bulk_edits_and_sql_reach_the_library(space, category):
    images = [embedded_image(space, seed) for seed in range(3)]
    library = Library(space)
    library.refresh()
    CaseImage.objects.update(confirmed_category=category)
    assert set(nearest(library, 1)) == {image.pk for image in images}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cases_caseimage SET confirmed_category_id = NULL WHERE id = %s", [images[0].pk]
        )
    assert images[0].pk not in nearest(library, 0)


def test_a_deleted_image_is_gone(space, category):
    image = embedded_image(space, 1)
    images_label([image], verdict="fault", category=category)
    library = Library(space)
    assert nearest(library, 1) == [image.pk]
    image.delete()
    assert nearest(library, 1) == []


def test_neither_a_vector_nor_the_picture_below_it_changes_in_place(space):
    """Both would leave every process that has loaded the vector with a wrong one."""
    image, other = embedded_image(space, 1), embedded_image(space, 2)
    with pytest.raises(Error, match="Cannot update"), transaction.atomic():
        Embedding.objects.filter(image=image).update(vector=vectors_pack(vector(3)[None])[0])
    with pytest.raises(Error, match="Cannot update"), transaction.atomic():
        CaseImage.objects.filter(pk=image.pk).update(file=other.file)


def test_a_role_takes_an_image_out_and_brings_it_back(space, category):
    image = embedded_image(space, 1)
    images_label([image], verdict="fault", category=category)
    library = Library(space)
    assert nearest(library, 1) == [image.pk]
    CaseImage.objects.update(role=CaseImage.Role.LABEL)
    assert nearest(library, 1) == []
    CaseImage.objects.update(role=CaseImage.Role.OVERVIEW)
    assert nearest(library, 1) == [image.pk]


def test_vectors_that_are_deleted_and_made_anew_are_found_again(space, category):
    image = embedded_image(space, 1)
    images_label([image], verdict="fault", category=category)
    library = Library(space)
    assert nearest(library, 1) == [image.pk]
    Embedding.objects.all().delete()
    assert nearest(library, 1) == []
    Embedding.objects.create(image=image, space=space, vector=vectors_pack(vector(1)[None])[0])
    assert nearest(library, 1) == [image.pk]


def test_a_nameplate_is_no_part_of_the_library(space, category):
    image = embedded_image(space, 1, role=CaseImage.Role.LABEL)
    images_label([image], verdict="fault", category=category)
    assert nearest(Library(space), 1) == []


def test_two_processes_agree_and_give_the_nearest_first(space, category):
    images = [embedded_image(space, seed) for seed in range(6)]
    early, late = Library(space), Library(space)
    early.refresh()
    images_label(images, verdict="fault", category=category)
    expected = np.argsort([-float(vector(2) @ vector(seed)) for seed in range(6)], kind="stable")
    assert nearest(early, 2, 6) == nearest(late, 2, 6) == [images[position].pk for position in expected]


def test_similarities_are_cosines(space, category):
    image = embedded_image(space, 1)
    images_label([image], verdict="fault", category=category)
    found = Library(space).search(vector(2), 1)
    assert found.similarities[0] == pytest.approx(float(vector(1) @ vector(2)), abs=2e-3)
    assert found.watermark == LibraryChange.objects.last().pk


@pytest.mark.django_db(transaction=True)
def test_a_label_that_is_rolled_back_reaches_nobody(space, category):
    kept, undone = embedded_image(space, 1), embedded_image(space, 2)
    library = Library(space)
    library.refresh()
    with transaction.atomic():
        images_label([undone], verdict="fault", category=category)
        transaction.set_rollback(True)
    # Its sequence number is gone for good: the gap holds up nothing.
    images_label([kept], verdict="fault", category=category)
    assert nearest(library, 1) == nearest(Library(space), 1) == [kept.pk]


@pytest.mark.django_db(transaction=True)
def test_a_label_and_a_vector_of_the_same_moment_never_miss_each_other(space, category):
    image = case_create(pictures=[picture(1)], bulk=True).images.get()
    library = Library(space)
    library.refresh()
    labelled, finish = threading.Event(), threading.Event()

    def label_slowly():
        try:
            with transaction.atomic():
                images_label([image], verdict="fault", category=category)
                labelled.set()
                finish.wait(10)
        finally:
            connection.close()

    def embed():
        try:
            _store(space, [image], vectors_pack(vector(1)[None]))
        finally:
            connection.close()

    writers = [threading.Thread(target=label_slowly), threading.Thread(target=embed)]
    writers[0].start()
    assert labelled.wait(10)
    writers[1].start()
    finish.set()
    for writer in writers:
        writer.join(10)
    assert nearest(library, 1) == [image.pk]


@pytest.mark.django_db(transaction=True)
def test_a_reader_never_skips_a_writer_that_commits_late(space, category):
    """A writer with a lower sequence number that commits after a reader's look must still be seen."""
    slow, fast = embedded_image(space, 1), embedded_image(space, 2)
    library = Library(space)
    library.refresh()
    labelled, finish = threading.Event(), threading.Event()

    def label_slowly():
        try:
            with transaction.atomic():
                images_label([slow], verdict="fault", category=category)
                labelled.set()
                finish.wait(10)
        finally:
            connection.close()

    def label_fast():
        try:
            images_label([fast], verdict="fault", category=category)
        finally:
            connection.close()

    writers = [threading.Thread(target=label_slowly), threading.Thread(target=label_fast)]
    writers[0].start()
    assert labelled.wait(10)
    writers[1].start()
    # Long enough to commit, if nothing held it back; the reader looks in between.
    writers[1].join(1)
    library.refresh()
    finish.set()
    for writer in writers:
        writer.join(10)
    assert set(nearest(library, 2)) == {slow.pk, fast.pk}
