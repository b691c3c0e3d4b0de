"""From pictures to a suggestion and from a decision to the next suggestion, with the network that ships."""

import datetime as dt
import io
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.db import Error, transaction
from django.utils import timezone
from PIL import Image

from cases.models import CaseImage, FaultCategory
from cases.services.intake import Picture, case_add_images, case_create
from cases.services.labels import images_label
from tests.waiting import wait_until
from vision.engine.synthesis.gallery import draw_fault_image
from vision.models import Decision, Diagnosis, Embedding, EmbeddingFailure
from vision.selectors import cases_without_diagnosis
from vision.services.diagnosis import case_decide, case_diagnose
from vision.services.embedding import (
    failures_forget,
    images_embed,
    images_pending,
    pending_embed,
    space_current,
)
from vision.services.search import SearchFilters, pictures_search

pytestmark = pytest.mark.django_db


def drawn(kind: str, seed: int) -> Picture:
    pixels, _ = draw_fault_image(kind, seed, 160)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Picture(f"{kind}{seed}.png", buffer.getvalue())


def known_case(category: FaultCategory, kind: str, seed: int, **fields):
    case = case_create(pictures=[drawn(kind, seed)], status="closed", bulk=True, **fields)
    images_label(case.images.all(), verdict="fault", category=category)
    return case


@pytest.fixture
def scratch():
    return FaultCategory.objects.create(code="SCR", name="Scratch", state="active")


@pytest.fixture
def crazing():
    return FaultCategory.objects.create(code="CRZ", name="Crazing", state="active")


@pytest.fixture
def library(scratch, crazing):
    cases = [known_case(scratch, "scratch", seed) for seed in range(6)]
    cases += [known_case(crazing, "crazing", seed) for seed in range(6)]
    while pending_embed():
        pass
    return cases


def test_embedding_twice_leaves_one_row_an_image(library):
    ids = list(CaseImage.objects.values_list("pk", flat=True))
    assert images_embed(ids) == 0
    assert Embedding.objects.count() == len(ids) == 12


def test_an_unreadable_original_is_set_aside_and_holds_up_nothing(scratch):
    broken, sound = known_case(scratch, "scratch", 1), known_case(scratch, "scratch", 2)
    file = broken.images.get().file
    with file.original.storage.open(file.original.name, "wb") as torn:
        torn.write(b"gone")
    assert not pending_embed()
    assert Embedding.objects.get().image == sound.images.get()
    assert EmbeddingFailure.objects.get().image == broken.images.get()
    assert not images_pending(space_current()).exists()


@pytest.mark.parametrize(
    "ago", [dt.timedelta(hours=2), dt.timedelta(days=-1)], ids=["later", "clock set back"]
)
def test_an_original_that_is_back_is_embedded_and_no_longer_set_aside(scratch, ago):
    image = known_case(scratch, "scratch", 1).images.get()
    path = Path(image.file.original.path)
    path.rename(path.with_suffix(".away"))
    pending_embed()
    assert EmbeddingFailure.objects.get().image == image
    path.with_suffix(".away").rename(path)
    failures_forget()
    assert not images_pending(space_current()).exists(), "it was tried a moment ago"
    EmbeddingFailure.objects.update(created_at=timezone.now() - ago)
    failures_forget()
    pending_embed()
    assert Embedding.objects.get().image == image
    EmbeddingFailure.objects.create(image=image, space=space_current(), error="gone")
    Embedding.objects.all().delete()
    images_embed([image.pk])
    assert not EmbeddingFailure.objects.exists()


def test_the_sweep_finds_cases_that_nobody_looked_at(library):
    case = case_create(pictures=[drawn("scratch", 90)])
    assert list(cases_without_diagnosis()) == [case]
    case_diagnose(case)
    assert not cases_without_diagnosis().exists()
    case_add_images(case, [drawn("scratch", 91)])
    assert list(cases_without_diagnosis()) == [case]
    added = case.images.last()
    failure = EmbeddingFailure.objects.create(image=added, space=space_current(), error="torn")
    assert not cases_without_diagnosis().exists()
    failure.delete()
    case_diagnose(case)
    assert not cases_without_diagnosis().exists()


def test_a_diagnosis_names_what_it_rests_on(library):
    case = case_create(pictures=[drawn("scratch", 90)])
    diagnosis = case_diagnose(case, queued_ms=3)
    assert diagnosis.library_size == 12
    assert diagnosis.images[0]["sha256"] == case.images.get().file.sha256
    assert diagnosis.space == space_current()
    assert set(diagnosis.timings) == {"queue", "embed", "search", "classify"}
    assert [match["rank"] for match in diagnosis.matches] == list(range(1, 11))
    similarities = [match["similarity"] for match in diagnosis.matches]
    assert similarities == sorted(similarities, reverse=True)
    assert sum(entry["probability"] for entry in diagnosis.categories) == pytest.approx(1, abs=1e-3)


def test_a_case_is_no_match_of_itself(library, scratch):
    case = case_create(pictures=[drawn("scratch", 90), drawn("scratch", 91)])
    case_diagnose(case)
    case_decide(case, verdict="fault", category=scratch)
    again = case_diagnose(case)
    assert case.pk not in [match["case"] for match in again.matches]


def test_ten_views_of_one_case_fill_one_place(library, scratch):
    many = case_create(
        pictures=[drawn("scratch", seed) for seed in range(50, 60)], status="closed", bulk=True
    )
    images_label(many.images.all(), verdict="fault", category=scratch)
    while pending_embed():
        pass
    matches = case_diagnose(case_create(pictures=[drawn("scratch", 50)])).matches
    assert [match["case"] for match in matches].count(many.pk) == 1
    assert len(matches) == 10


def test_the_very_next_upload_benefits(library):
    new = FaultCategory.objects.create(code="PIT", name="Pitting", state="active")
    first = case_create(pictures=[drawn("pit", 1)])
    assert "PIT" not in {entry["code"] for entry in case_diagnose(first).categories}
    decision = case_decide(first, verdict="fault", category=new)
    assert (decision.agrees, first.status) == (False, "triaged")
    second = case_diagnose(case_create(pictures=[drawn("pit", 1)]))
    assert second.matches[0]["case"] == first.pk
    assert second.category == new
    assert second.outcome == Diagnosis.Outcome.AMBIGUOUS
    assert "few examples" in second.reason


def test_an_empty_library_says_so(scratch):
    diagnosis = case_diagnose(case_create(pictures=[drawn("scratch", 1)]))
    assert (diagnosis.outcome, diagnosis.category, diagnosis.matches) == ("unknown", None, [])
    assert "no confirmed image" in diagnosis.reason


def test_a_diagnosis_and_a_decision_stay_as_they_were(library, scratch):
    case = case_create(pictures=[drawn("scratch", 90)])
    case_diagnose(case)
    case_decide(case, verdict="fault", category=scratch)
    for model, change in ((Diagnosis, {"reason": "x"}), (Decision, {"verdict": "unknown"})):
        with pytest.raises(Error, match="Cannot update"), transaction.atomic():
            model.objects.update(**change)


def test_a_correction_replaces_the_label_and_both_stay_on_record(library, scratch, crazing):
    case = case_create(pictures=[drawn("scratch", 90)])
    case_decide(case, verdict="fault", category=crazing)
    case_decide(case, verdict="fault", category=scratch)
    assert case.images.get().confirmed_category == scratch
    assert [decision.category for decision in case.decisions.all()] == [scratch, crazing]


def test_a_case_without_pictures_can_not_be_decided():
    with pytest.raises(ValidationError, match="no picture to decide on"):
        case_decide(case_create(pictures=[]), verdict="unknown")


def test_search_answers_within_its_filters(library, crazing):
    result = pictures_search([drawn("scratch", 90)], top_k=10, filters=SearchFilters(category=crazing))
    assert len(result.matches) == 6
    assert {match.image.confirmed_category for match in result.matches} == {crazing}
    assert result.query_time_ms > 0


def test_search_stores_nothing(library):
    before = CaseImage.objects.count()
    pictures_search([drawn("scratch", 90)])
    assert CaseImage.objects.count() == before


def test_search_refuses_a_bad_picture_by_name():
    with pytest.raises(ValidationError, match=r"notes\.jpg"):
        pictures_search([Picture("notes.jpg", b"These are notes, not a picture.")])


def test_cases_that_came_with_an_import_are_diagnosed_when_all_is_embedded(
    scratch, crazing, celery_worker, transactional_db
):
    with transaction.atomic():
        waiting = case_create(pictures=[drawn("scratch", 90)], bulk=True)
        for seed in range(6):
            known_case(scratch, "scratch", seed)
            known_case(crazing, "crazing", seed)
    wait_until(lambda: waiting.diagnoses.exists())
    assert waiting.diagnoses.get().library_size == 12
