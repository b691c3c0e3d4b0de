"""The classifier is fitted anew when the library has outgrown it, and serves only when it is not worse."""

import numpy as np
import pytest

from cases.models import FaultCategory
from cases.services.intake import case_create
from cases.services.labels import images_label
from tests.cases.test_intake import picture
from tests.vision.test_library import embedded_image, vector
from vision.engine.arrays import arrays_unpack
from vision.engine.classifier import FaultClassifier
from vision.models import Adaptation, ClassifierVersion, Embedding, EmbeddingSpace
from vision.services import classifiers
from vision.services.classification import views_classify
from vision.services.classifiers import (
    _fall_by_chance,
    category_counts,
    classifier_current,
    classifier_fit,
    classifier_keep,
)
from vision.services.embedding import vectors_pack
from vision.services.library import Library

pytestmark = pytest.mark.django_db


@pytest.fixture
def space():
    return EmbeddingSpace.objects.create(
        slug="test", backbone="test", weights_sha256="0", preprocessing="1", dimension=8
    )


def fits_asked_for(library, capture) -> int:
    with capture() as sent:
        views_classify(library, vector(1)[None], [library.search(vector(1), 3)])
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
    answer = views_classify(library, vector(1)[None], [library.search(vector(1), 3)])
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


A_CATEGORY = 16


@pytest.fixture
def clouds(space):
    """Three categories with the images of each, whose vectors lie around one direction of their own."""
    rng = np.random.default_rng(0)
    found = {}
    for place, code in enumerate(["PIT", "SCR", "CRZ"]):
        category = FaultCategory.objects.create(code=code, name=code.title(), state="active")
        images = []
        for number in range(A_CATEGORY):
            image = case_create(pictures=[picture(100 * place + number)], bulk=True).images.get()
            one = np.eye(8)[place] + 0.1 * rng.normal(size=8)
            one = (one / np.linalg.norm(one)).astype(np.float32)
            Embedding.objects.create(image=image, space=space, vector=vectors_pack(one[None])[0])
            images.append(image)
        images_label(images, verdict="fault", category=category)
        found[category] = images
    return found


def test_what_serves_from_the_database_says_what_was_fitted(space, clouds):
    """The linear head alone, without the neighbours: they would hide one that came back garbled."""
    library = Library(space)
    classifier_fit(library)
    ids, vectors = library.vectors()
    _, serving = classifier_current(library, category_counts(library))
    named = serving.fitted_[serving.head_.scores(vectors).argmax(axis=1)]
    truth = {image.pk: category.pk for category, images in clouds.items() for image in images}
    assert named.tolist() == [truth[image_id] for image_id in ids.tolist()]


def test_images_that_a_space_was_fitted_to_do_not_judge_in_it(space, clouds):
    learned_from = [image.pk for images in clouds.values() for image in images[: A_CATEGORY // 2]]
    space.adaptation = Adaptation.objects.create(
        method="projection", compared_with=space, learned_from=learned_from, passed=True, reason="For a test."
    )
    space.save()
    version = classifier_fit(Library(space))
    arrays = arrays_unpack(version.arrays)
    judged = arrays["seen"][arrays["guesses"] >= 0]
    assert not set(judged.tolist()) & set(learned_from)
    assert len(judged) == len(clouds) * A_CATEGORY // 2


def test_a_version_carries_its_data_and_measures(space, clouds):
    first = classifier_fit(Library(space))
    assert first.state == "active"
    assert first.measures["top1"] > 0.95
    assert set(first.measures) == {"top1", "macro_f1", "ece", "coverage", "set_size"}
    again = classifier_fit(Library(space))
    assert again.data_hash == first.data_hash
    assert "held-out images" in again.reason
    first.refresh_from_db()
    assert (first.state, again.state) == ("retired", "active")
    images = next(iter(clouds.values()))
    images_label(images[:1], verdict="unknown")
    assert classifier_fit(Library(space)).data_hash != first.data_hash


class Misled(FaultClassifier):
    """A classifier that learns two thirds of the labels wrong, as one with a defect might."""

    def fit(self, vectors, labels, groups=None, **options):
        categories, places = np.unique(labels, return_inverse=True)
        places = np.where(np.arange(len(labels)) % 3, (places + 1) % len(categories), places)
        return super().fit(vectors, categories[places], groups, **options)


def test_what_is_worse_on_the_same_held_out_cases_is_refused(space, clouds, caplog, monkeypatch):
    good = classifier_fit(Library(space))
    images = next(iter(clouds.values()))
    images_label(images[:3], verdict="unknown")  # so that the library is another than before
    with monkeypatch.context() as defect:
        defect.setattr(classifiers, "FaultClassifier", Misled)
        worse = classifier_fit(Library(space))
    good.refresh_from_db()
    assert (good.state, worse.state) == ("active", "refused")
    assert str(good) in worse.reason
    assert not bytes(worse.arrays)
    assert worse.reason in caplog.text
    library = Library(space)
    answer = views_classify(library, vector(1)[None], [library.search(vector(1), 3)])
    assert answer.classifier == str(good)
    # The refused data is not fitted again and again.
    assert ClassifierVersion.objects.count() == 2
    classifier_keep(library)
    assert ClassifierVersion.objects.count() == 2


def test_a_fall_that_chance_explains_refuses_nothing(space, clouds):
    first = classifier_fit(Library(space))
    images = next(iter(clouds.values()))
    other = list(clouds)[1]
    images_label(images[:1], verdict="fault", category=other)  # a wrong label, which nobody gets right
    second = classifier_fit(Library(space))
    images_label(images[:1], verdict="fault", category=next(iter(clouds)))
    third = classifier_fit(Library(space))
    first.refresh_from_db()
    assert (first.state, third.state) == ("retired", "active")
    assert second.state in ("active", "retired")


@pytest.mark.parametrize(
    ("fallen", "risen", "worse"),
    [(0, 0, False), (1, 0, False), (4, 0, False), (5, 0, True), (20, 18, False), (40, 18, True)],
)
def test_a_fall_is_judged_by_cases(fallen, risen, worse):
    before = np.repeat([True, False, True], [fallen, risen, 30])
    now = np.repeat([False, True, True], [fallen, risen, 30])
    cases = np.arange(len(before))
    assert (_fall_by_chance(before, now, cases) < 0.05) is worse
    # Ten views of one case are one piece of evidence.
    views = [np.repeat(array, 10) for array in (before, now, cases)]
    assert _fall_by_chance(*views) == _fall_by_chance(before, now, cases)


def test_a_fit_that_was_overtaken_does_not_replace_the_newer_one(space, clouds, monkeypatch):
    library = Library(space)
    slow = classifiers._fit_data(library)
    images_label([embedded_image(space, 7)], verdict="fault", category=next(iter(clouds)))
    newer = classifier_fit(Library(space))
    monkeypatch.setattr(classifiers, "_fit_data", lambda library: slow)
    assert classifier_fit(library) == newer
    assert ClassifierVersion.objects.filter(state="active").get() == newer


def test_versions_never_change_but_in_state(space):
    from django.db import Error, transaction

    version = classifier_fit(Library(space))
    with pytest.raises(Error), transaction.atomic():
        ClassifierVersion.objects.filter(pk=version.pk).update(reason="better")
    with pytest.raises(Error), transaction.atomic():
        ClassifierVersion.objects.create(
            space=space, method=version.method, parameters={}, arrays=b"", library_size=0, categories=0
        )
