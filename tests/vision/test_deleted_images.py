"""An image that somebody deletes while others embed or label it: no half of it stays, and nobody fails."""

import threading
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from cases.models import CaseImage, FaultCategory
from cases.services.deletion import cases_delete, images_delete
from cases.services.labels import images_label
from tests.vision.plain_library import images_add, images_make, images_store, space_add, vector
from tests.waiting import transactions_waiting, wait_until
from vision.models import Embedding
from vision.services.library import Library

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def space():
    return space_add()


class Other(threading.Thread):
    """Another process's transaction: does `work` at once, and commits when it is told."""

    def __init__(self, work):
        super().__init__()
        self.work, self.commit, self.worked, self.error = work, threading.Event(), threading.Event(), None

    def run(self):
        try:
            with transaction.atomic():
                self.work()
                self.worked.set()
                self.commit.wait(30)
        except Exception as error:
            self.error = error
        finally:
            connection.close()


@contextmanager
def meanwhile(work):
    """Other transactions whose end comes with that of the block."""
    other = Other(work)
    other.start()
    try:
        yield other
    finally:
        other.commit.set()
        other.join(30)
    assert not other.is_alive()


def test_an_image_deleted_before_its_vector_comes_gets_none(space):
    gone, kept = images_make(2)
    with meanwhile(lambda: images_delete([gone])) as deletion:
        assert deletion.worked.wait(30)
        with meanwhile(lambda: images_store(space, [gone, kept])) as embedding:
            wait_until(lambda: transactions_waiting() == 1)
            deletion.commit.set()
            assert embedding.worked.wait(30)
    assert (deletion.error, embedding.error) == (None, None)
    assert list(Embedding.objects.values_list("image_id", flat=True)) == [kept.pk]


def test_an_image_deleted_while_its_vector_comes_takes_it_along(space):
    gone, kept = images_make(2)
    category = FaultCategory.objects.get(code="A")
    images_label([gone, kept], verdict="fault", category=category)
    library = Library(space)
    library.refresh()
    with meanwhile(lambda: images_store(space, [gone, kept])) as embedding:
        assert embedding.worked.wait(30)
        with meanwhile(lambda: images_delete([gone])) as deletion:
            wait_until(lambda: transactions_waiting() == 1)
            embedding.commit.set()
            assert deletion.worked.wait(30)
    assert (deletion.error, embedding.error) == (None, None)
    assert list(Embedding.objects.values_list("image_id", flat=True)) == [kept.pk]
    assert library.search(vector(gone.pk), 5).image_ids.tolist() == [kept.pk]


@pytest.mark.parametrize("delete", [images_delete, lambda images: cases_delete(i.case for i in images)])
def test_a_deletion_and_a_label_of_the_same_moment_do_not_block_each_other(space, delete):
    (image,) = images_add(space, 1, labelled=1)
    library = Library(space)
    library.refresh()
    locked, go_on = threading.Event(), threading.Event()

    def label_slowly():
        CaseImage.objects.select_for_update().get(pk=image.pk)
        locked.set()
        go_on.wait(30)
        images_label([image], verdict="unknown")

    with meanwhile(label_slowly) as labelling:
        assert locked.wait(30)
        with meanwhile(lambda: delete([image])) as deletion:
            wait_until(lambda: transactions_waiting() == 1)
            go_on.set()
            wait_until(lambda: labelling.worked.is_set() or labelling.error)
            labelling.commit.set()
            wait_until(lambda: deletion.worked.is_set() or deletion.error)
    assert (deletion.error, labelling.error) == (None, None)
    assert not CaseImage.objects.exists()
    assert library.search(vector(image.pk), 5).image_ids.tolist() == []
