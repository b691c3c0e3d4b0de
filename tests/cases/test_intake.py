"""The one way in: all or nothing, each original once, at most ten views."""

import io

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from PIL import Image

from cases.models import Case, CaseImage, CaseTransition, ImageFile
from cases.services.intake import Picture, case_add_images, case_create, case_number_next
from cases.signals import images_added

pytestmark = pytest.mark.django_db


def picture(seed: int, name: str | None = None, format: str = "PNG") -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return Picture(name or f"view{seed}.{format.lower()}", buffer.getvalue())


def test_case_has_its_pictures_in_order_and_a_first_transition():
    case = case_create(pictures=[picture(1), picture(2)], title="Pits on the flange")
    assert [image.name for image in case.images.all()] == ["view1.png", "view2.png"]
    assert [image.position for image in case.images.all()] == [0, 1]
    file = case.images.first().file
    assert (file.width, file.height, file.mime) == (48, 40, "image/png")
    assert file.original.read() == picture(1).data
    assert list(CaseTransition.objects.values_list("from_status", "to_status")) == [("", "new")]


def test_numbers_count_by_year():
    assert case_number_next(2026) == "FD-2026-000001"
    assert case_number_next(2026) == "FD-2026-000002"
    assert case_number_next(2027) == "FD-2027-000001"


def test_same_bytes_are_stored_once_for_two_cases():
    first = case_create(pictures=[picture(1, "a.png")])
    second = case_create(pictures=[picture(1, "b.png")])
    assert first.images.get().file == second.images.get().file
    assert ImageFile.objects.count() == 1


def test_same_picture_twice_in_one_upload_is_one_view():
    case = case_create(pictures=[picture(1), picture(1), picture(2)])
    assert case.images.count() == 2


def test_a_bad_picture_leaves_nothing_behind():
    bad = Picture("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(ValidationError) as refused:
        case_create(pictures=[picture(1), bad])
    assert "drawing.png" in str(refused.value)
    assert not Case.objects.exists()
    assert not ImageFile.objects.exists()


def test_a_bad_field_leaves_nothing_behind():
    with pytest.raises(ValidationError) as refused:
        case_create(pictures=[picture(1)], quantity_complained=1, quantity_confirmed=2)
    assert "More parts are confirmed" in str(refused.value)
    assert not CaseImage.objects.exists()


def test_eleven_pictures_are_refused_with_the_limit():
    with pytest.raises(ValidationError, match="10"):
        case_create(pictures=[picture(seed) for seed in range(11)])
    assert not Case.objects.exists()


def test_a_full_case_names_what_is_left():
    case = case_create(pictures=[picture(seed) for seed in range(8)])
    with pytest.raises(ValidationError, match="has 8 pictures and takes 10 at most: add 2"):
        case_add_images(case, [picture(seed) for seed in range(20, 23)])
    case_add_images(case, [picture(20), picture(21)])
    assert [image.position for image in case.images.all()] == list(range(10))


def test_an_original_that_a_crash_cut_short_is_written_again():
    whole = picture(1)
    case = case_create(pictures=[whole])
    path = case.images.get().file.original.name
    case.images.all().delete()
    ImageFile.objects.all().delete()
    with default_storage.open(path, "wb") as torn:
        torn.write(whole.data[:10])
    case_add_images(case, [whole])
    assert case.images.get().file.original.name == path
    assert case.images.get().file.original.read() == whole.data


def test_an_original_that_was_lost_comes_back_with_the_next_upload():
    case = case_create(pictures=[picture(1)])
    path = case.images.get().file.original.name
    default_storage.delete(path)
    again = case_create(pictures=[picture(1)])
    assert again.images.get().file == case.images.get().file
    assert case.images.get().file.original.read() == picture(1).data


def test_listeners_hear_of_new_images_only():
    heard = []

    def listen(sender, case, images, bulk, **kwargs):
        heard.append((case.number, len(images), bulk))

    images_added.connect(listen)
    try:
        case = case_create(pictures=[picture(1)], bulk=True)
        case_add_images(case, [picture(1), picture(2)])
    finally:
        images_added.disconnect(listen)
    assert heard == [(case.number, 1, True), (case.number, 1, False)]
