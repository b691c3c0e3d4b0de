"""Pictures of nothing, of something else, and odd files of a fault: every one gets an honest answer."""

import numpy as np
import pytest

from cases.services.intake import Picture, case_create
from cases.services.labels import images_label
from tests import factories, strange_pictures
from vision.engine.images import load_image
from vision.models import Diagnosis
from vision.services.diagnosis import case_diagnose
from vision.services.embedding import pending_embed
from vision.services.search import pictures_search

pytestmark = pytest.mark.django_db

#: Category: kind of fault and material, as a plant has its faults on certain parts.
LIBRARY = {
    "SCR": ("scratch", "aluminium_plate"),
    "CRZ": ("crazing", "ceramic_tile"),
    "PIT": ("pit", "brake_disc"),
    "SCL": ("scale", "steel_sheet"),
}
A_CATEGORY = 7
TWIN = ("CRZ", 3)
#: Files of the twin that lose next to nothing: the twin itself is the nearest.
AS_SHARP_AND_COLOURED = ("print.jpg", "palette.png", "turned.jpg")


@pytest.fixture(scope="module")
def drawn():
    """The library's pictures, drawn once: (category, number) to picture."""
    return {
        (code, number): strange_pictures.fault(kind, number, material)
        for code, (kind, material) in LIBRARY.items()
        for number in range(A_CATEGORY)
    }


@pytest.fixture
def library(drawn):
    """A closed case for each picture, with its label: (category, number) to case."""
    categories = {code: factories.category(code) for code in LIBRARY}
    cases = {}
    for (code, number), picture in drawn.items():
        file = Picture(f"{code}{number}.png", strange_pictures.png(picture))
        case = case_create(pictures=[file], status="closed", bulk=True)
        images_label(case.images.all(), verdict="fault", category=categories[code])
        cases[code, number] = case
    while pending_embed():
        pass
    return cases


def nothing_of_ours() -> dict[str, bytes]:
    """Pictures that show no part of the library."""
    return {
        "black.png": strange_pictures.plain(0),
        "white.png": strange_pictures.plain(255),
        "desk.jpg": strange_pictures.desk(),
    }


def odd_files_of_a_twin(drawn) -> dict[str, bytes]:
    """A picture of the library in other files: what is seen is the same."""
    twin = drawn[TWIN]
    return {
        "print.jpg": strange_pictures.cmyk(twin),
        "palette.png": strange_pictures.transparent_palette(twin),
        "turned.jpg": strange_pictures.turned_by_exif(twin),
        "deep.png": strange_pictures.sixteen_bit(twin),
        "small.jpg": strange_pictures.thumbnail(twin),
        "phone.jpg": strange_pictures.twelve_megapixels(twin),
    }


def diagnosed(name: str, data: bytes) -> Diagnosis:
    """The diagnosis of an upload; the same picture searched for must say the same."""
    diagnosis = case_diagnose(case_create(pictures=[Picture(name, data)]))
    result = pictures_search([Picture(name, data)])
    assert result.classification.outcome == diagnosis.outcome, name
    assert [match.case.pk for match in result.matches] == [match["case"] for match in diagnosis.matches], name
    probabilities = [entry["probability"] for entry in diagnosis.categories]
    similarities = [match["similarity"] for match in diagnosis.matches]
    assert np.isfinite(probabilities + similarities).all(), name
    assert sum(probabilities) <= 1 + 1e-3, name
    assert diagnosis.outcome in Diagnosis.Outcome.values, name
    assert diagnosis.reason, name
    return diagnosis


def test_a_picture_of_nothing_of_ours_is_unknown(library):
    for name, data in nothing_of_ours().items():
        diagnosis = diagnosed(name, data)
        assert diagnosis.outcome == Diagnosis.Outcome.UNKNOWN, f"{name}: {diagnosis.reason}"


@pytest.mark.parametrize("upright", [False, True])
def test_a_strip_is_never_confidently_something_else(library, drawn, upright):
    """One twentieth of a picture, stretched: what is claimed of it, if anything, is what it was cut from."""
    diagnosis = diagnosed("strip.png", strange_pictures.strip(drawn[TWIN], upright=upright))
    confident = diagnosis.outcome == Diagnosis.Outcome.CONFIDENT
    assert not confident or diagnosis.category.code == TWIN[0], diagnosis.reason


def test_an_odd_file_shows_the_same_fault(library, drawn):
    of_the_kind = {library[TWIN[0], number].pk for number in range(A_CATEGORY)}
    for name, data in odd_files_of_a_twin(drawn).items():
        nearest = diagnosed(name, data).matches[0]["case"]
        assert nearest in of_the_kind, name
        if name in AS_SHARP_AND_COLOURED:
            assert nearest == library[TWIN].pk, name


def test_an_upload_is_stored_upright(drawn):
    for name, data in odd_files_of_a_twin(drawn).items():
        file = case_create(pictures=[Picture(name, data)]).images.get().file
        shown = load_image(data)
        assert (file.width, file.height) == shown.size, name
    upright = load_image(strange_pictures.turned_by_exif(drawn[TWIN]))
    as_drawn = np.asarray(drawn[TWIN], np.float32)
    assert np.abs(np.asarray(upright, np.float32) - as_drawn).mean() < 6
