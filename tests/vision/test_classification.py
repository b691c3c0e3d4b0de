"""The classifier is fitted anew when the library has outgrown it, and only then."""

import pytest

from cases.models import FaultCategory
from cases.services.labels import images_label
from tests.vision.test_library import embedded_image, vector
from vision.models import EmbeddingSpace
from vision.services.classification import classifier_fit, classifier_keep, neighbours_classify
from vision.services.library import Library

pytestmark = pytest.mark.django_db


@pytest.fixture
def space():
    return EmbeddingSpace.objects.create(
        slug="test", backbone="test", weights_sha256="0", preprocessing="1", dimension=8
    )


def fits_asked_for(library, capture) -> int:
    with capture() as sent:
        neighbours_classify(library, vector(1), library.search(vector(1), 3))
    return len(sent)


def test_a_worker_that_never_searched_fits_for_the_whole_library(space, django_capture_on_commit_callbacks):
    category = FaultCategory.objects.create(code="PIT", name="Pitting", state="active")
    images_label([embedded_image(space, seed) for seed in range(3)], verdict="fault", category=category)
    assert classifier_fit(Library(space)).library_size == 3
    assert fits_asked_for(Library(space), django_capture_on_commit_callbacks) == 0
    images_label([embedded_image(space, 7)], verdict="fault", category=category)
    assert fits_asked_for(Library(space), django_capture_on_commit_callbacks) == 1


def test_an_empty_library_is_not_fitted_again_and_again(space, django_capture_on_commit_callbacks):
    assert classifier_fit(Library(space)).library_size == 0
    assert fits_asked_for(Library(space), django_capture_on_commit_callbacks) == 0


def test_parameters_of_one_metric_do_not_serve_the_other(space, settings):
    settings.METRIC = "l2"
    first = classifier_fit(Library(space))
    settings.METRIC = "cosine"
    library = Library(space)
    answer = neighbours_classify(library, vector(1), library.search(vector(1), 3))
    assert answer.classifier != str(first)


def test_a_library_is_fitted_before_anybody_searches_it(space, django_capture_on_commit_callbacks):
    category = FaultCategory.objects.create(code="PIT", name="Pitting", state="active")
    images_label([embedded_image(space, seed) for seed in range(3)], verdict="fault", category=category)
    with django_capture_on_commit_callbacks() as sent:
        classifier_keep(Library(space))
    assert len(sent) == 1
    classifier_fit(Library(space))
    with django_capture_on_commit_callbacks() as sent:
        classifier_keep(Library(space))
    assert not sent
