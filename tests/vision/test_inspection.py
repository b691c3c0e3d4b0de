"""What an inspector says of pictures: good, faulty, strange, of another product; and how it is kept."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import Error, transaction
from PIL import Image

from cases.models import ImageFile
from cases.services.intake import Picture
from tests import factories
from tests.hostile import ACCEPTED, REFUSED
from tests.vision.inspected import HEIGHT, WIDTH, new_inspector, other_product, plate_picture
from vision.engine.rejection import p_values
from vision.models import Inspection
from vision.services.inspection.drawings import inspection_heat, inspection_overlay
from vision.services.inspection.inspecting import inspection_map, pictures_inspect
from vision.services.inspection.inspectors import inspector_change, inspector_create, inspector_find
from vision.services.inspection.pictures import folder_add, folder_find, inspector_picture_add
from vision.services.inspection.versions import (
    InspectorUnusable,
    version_active,
    version_folder,
    version_open,
    versions_forget,
)

pytestmark = pytest.mark.django_db
FAULT = (70, 80)


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path


def test_a_good_part_passes_and_a_faulty_one_fails_where_the_fault_is(inspector):
    person = factories.user("Engineer")
    good, bad = pictures_inspect(
        inspector, [plate_picture(50), plate_picture(51, FAULT)], serial_number="SN 1", user=person
    )
    version = version_active(inspector)
    assert (good.verdict, bad.verdict) == ("pass", "fail")
    assert good.score <= version.threshold == bad.threshold < bad.score
    assert not good.is_foreign
    assert not bad.is_foreign
    for row in (good, bad):
        assert row.p_value == pytest.approx(float(p_values(np.array(version.good_scores), row.score)))
        assert (row.version, row.serial_number, row.created_by) == (version, "SN 1", person)
        assert row.milliseconds > 0
        row.refresh_from_db()
    x, y, width, height = bad.regions[0]["box"]
    assert x <= FAULT[0] + 12 < x + width
    assert y <= FAULT[1] + 12 < y + height
    assert bad.regions[0]["peak"] > version.level
    heat = inspection_map(bad)
    assert heat.shape == (HEIGHT, WIDTH)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - FAULT[1] - 12) < 20
    assert abs(column - FAULT[0] - 12) < 20
    assert inspection_map(bad, longest=80).shape == (60, 80)


def test_a_rejected_part_shows_where_to_look_though_nothing_stands_out(trained):
    strict = replace(trained, columns=trained.columns | {"threshold": 0.01}).restore("Strict")
    level = trained.columns["level"]
    rows = pictures_inspect(strict, [plate_picture(seed) for seed in range(60, 68)])
    below = [row for row in rows if row.regions[0]["peak"] < level]
    assert {row.verdict for row in rows} == {"fail"}
    assert below
    for row in below:
        (region,) = row.regions
        assert region["peak"] == pytest.approx(inspection_map(row).max(), rel=0.01)
        assert region["nearest"]
        assert "the region is the most suspicious one" in row.notes[-1]


def test_the_evidence_is_a_good_patch_that_looks_like_it(inspector):
    known = list(inspector.pictures.fitted().select_related("file"))
    own = 0
    for seed, row in enumerate(known):
        (seen,) = pictures_inspect(inspector, [plate_picture(seed)])
        own += seen.nearest[0]["sha256"] == row.file.sha256
    assert own == len(known)


def test_another_product_fails_with_a_note(inspector):
    (row,) = pictures_inspect(inspector, [other_product()])
    assert row.is_foreign
    assert row.verdict == "fail"
    assert row.notes[0] == "Nothing in it is like the good parts of Plate: is it the right part?"
    assert row.p_value == pytest.approx(1 / 13)


def test_another_product_fails_even_where_nothing_can_be_promised(trained):
    inspector = trained.restore()
    version = inspector.versions.get()
    inspector.versions.all().delete()
    version.pk, version.threshold, version.reason = None, None, "No verdicts: too few."
    version.save()
    foreign, faulty = pictures_inspect(inspector, [other_product(), plate_picture(51, FAULT)])
    assert (foreign.verdict, faulty.verdict) == ("fail", "undecided")
    assert faulty.notes == ["No verdicts: too few."]


def test_a_colour_picture_is_compared_without_its_colour(inspector):
    grey, coloured = pictures_inspect(
        inspector, [plate_picture(50), plate_picture(50, colour=(1.1, 0.9, 0.8), name="colour.png")]
    )
    assert grey.notes == []
    assert "grey and this picture is not" in coloured.notes[0]
    assert coloured.verdict == "pass"
    assert coloured.score == pytest.approx(grey.score, rel=0.15)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_by_name_and_nothing_is_stored(inspector, name):
    data, said = REFUSED[name]
    before = ImageFile.objects.count()
    with pytest.raises(ValidationError) as refused:
        pictures_inspect(inspector, [plate_picture(50), Picture(name, data)])
    assert list(refused.value.message_dict) == ["images"]
    assert name in refused.value.messages[0]
    assert said in refused.value.messages[0]
    assert (Inspection.objects.count(), ImageFile.objects.count()) == (0, before)


def test_strange_files_are_inspected(inspector):
    rows = pictures_inspect(inspector, [Picture(name, data) for name, (data, _) in ACCEPTED.items()])
    assert len(rows) == len(ACCEPTED)
    assert all(np.isfinite(row.score) for row in rows)
    with pytest.raises(ValidationError, match="No picture was sent"):
        pictures_inspect(inspector, [])


def test_pictures_of_other_proportions_are_inspected(inspector):
    strip = Picture("strip.png", factories.image_bytes(1, size=(1200, 40)))
    (row,) = pictures_inspect(inspector, [strip])
    assert inspection_map(row).shape == (40, 1200)
    assert max(Image.open(BytesIO(inspection_heat(row))).size) == 1200


def test_nothing_is_stored_while_the_version_can_t_be_opened(inspector):
    before = ImageFile.objects.count()
    (version_folder(inspector, 1) / "opinions" / "manifest.json").unlink()
    with pytest.raises(InspectorUnusable):
        pictures_inspect(inspector, [plate_picture(50)])
    assert ImageFile.objects.count() == before


def test_a_version_is_opened_once_until_it_is_forgotten(inspector):
    version = version_active(inspector)
    versions_forget()
    opened = version_open(version)
    assert version_open(version) is opened
    assert versions_forget() == 1
    assert version_open(version) is not opened


def test_heat_map_and_overlay_are_pictures(inspector):
    (row,) = pictures_inspect(inspector, [plate_picture(51, FAULT)])
    heat = Image.open(BytesIO(inspection_heat(row)))
    assert (heat.mode, heat.size, heat.format) == ("RGBA", (WIDTH, HEIGHT), "PNG")
    alpha = np.asarray(heat)[..., 3]
    assert alpha[FAULT[1] + 12, FAULT[0] + 12] == 255 > alpha[5, 150]
    overlay = Image.open(BytesIO(inspection_overlay(row)))
    assert (overlay.mode, overlay.size) == ("RGB", (WIDTH, HEIGHT))
    apart = np.abs(np.asarray(overlay, int) - (0, 229, 255)).sum(axis=-1)
    drawn = [apart[y, x] for x, y in row.regions[0]["outline"]]
    assert np.median(drawn) < 150 < np.median(apart), "the outline"


@pytest.mark.parametrize("change", [{"verdict": "pass"}, {"score": 0.0}, {"grid": b""}, {"truth": "blot"}])
def test_an_inspection_can_t_be_changed_later(inspector, change):
    (row,) = pictures_inspect(inspector, [plate_picture(51, FAULT)])
    with pytest.raises(Error, match="Cannot update"), transaction.atomic():
        Inspection.objects.filter(pk=row.pk).update(**change)
    row.refresh_from_db()
    assert row.verdict == "fail"


def test_an_inspector_is_found_by_name_and_by_part_number():
    part = factories.part("4711-A")
    plate = inspector_create("Plate", part=part)
    named = inspector_create("4711")
    assert inspector_find("plate") == plate
    assert inspector_find(" 4711-a ") == plate
    assert inspector_find("4711") == named
    assert inspector_find("unknown") is None
    assert inspector_find("") is None
    lower = inspector_create("plate")
    assert inspector_find("plate") == lower
    assert inspector_find("Plate") == plate
    assert inspector_find("PLATE") is None, "both"
    inspector_create("Back of it", part=part)
    assert inspector_find("4711-A") is None, "two inspectors look at this part"


def test_a_new_inspector_takes_the_part_of_its_name():
    part = factories.part("4711-A")
    assert inspector_create(" 4711-a ").part == part
    assert inspector_create("4711-A", part=None).part is None
    factories.part("12", revision="A"), factories.part("12", revision="B")
    assert inspector_create("12").part is None
    with pytest.raises(ValidationError) as refused:
        inspector_create("4711-A", alpha=2, backbone="none")
    assert set(refused.value.message_dict) == {"name", "alpha", "backbone"}


def test_two_people_who_change_different_things_keep_both():
    mine = inspector_create("Plate")
    theirs = type(mine).objects.get()
    inspector_change(mine, alpha=0.2)
    inspector_change(theirs, description="Top, ring light.")
    mine.refresh_from_db()
    assert (mine.alpha, mine.description) == (0.2, "Top, ring light.")


def test_pictures_are_known_once_and_good_ones_have_no_defect():
    inspector = new_inspector(good=1)
    again, fresh = inspector_picture_add(inspector, plate_picture(0), purpose="test")
    assert (fresh, again.purpose) == (False, "fit")
    for how, field in (
        ({"defect": "blot"}, "images"),
        ({"mask": plate_picture(2)}, "images"),
        ({"purpose": "test", "defect": "Good"}, "defect"),
        ({"purpose": "test", "mask": plate_picture(2)}, "defect"),
    ):
        with pytest.raises(ValidationError) as refused:
            inspector_picture_add(inspector, plate_picture(1), **how)
        assert list(refused.value.message_dict) == [field]
    assert inspector.pictures.count() == 1


def test_a_mask_must_be_as_large_as_its_picture():
    inspector = new_inspector(good=0)
    small = Picture("small.png", factories.image_bytes(size=(80, 60)))
    with pytest.raises(ValidationError) as refused:
        inspector_picture_add(inspector, plate_picture(1), purpose="test", defect="blot", mask=small)
    (sentence,) = refused.value.message_dict["mask"]
    assert "The mask small.png has 80 x 60 pixels, but plate1.png has 160 x 120" in sentence
    torn = Picture("torn.png", b"x")
    with pytest.raises(ValidationError) as refused:
        inspector_picture_add(inspector, plate_picture(1), purpose="test", defect="blot", mask=torn)
    assert list(refused.value.message_dict) == ["mask"]
    assert not inspector.pictures.exists()


def test_a_folder_is_read_and_what_is_wrong_in_it_is_told(tmp_path):
    folder = tmp_path / "plate"
    for name, picture in {
        "train/good/000.png": plate_picture(0),
        "train/good/note.txt": Picture("", b"not a picture"),
        "train/good/torn.png": Picture("", b"torn"),
        "test/good/000.png": plate_picture(1),
        "test/blot/000.png": plate_picture(2, FAULT),
        "test/blot/001.png": plate_picture(3, FAULT),
        "ground_truth/blot/000_mask.png": plate_picture(4),
        "ground_truth/blot/001_mask.png": Picture("", factories.image_bytes(size=(80, 60))),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture.data)
    inspector = new_inspector(good=0)
    problems = list(folder_add(inspector, folder_find(folder)))
    assert [bool(problem) for problem in problems] == [False, True, False, True, False]
    rows = [(row.purpose, row.name, row.defect, bool(row.mask)) for row in inspector.pictures.all()]
    assert rows == [
        ("fit", "000.png", "", False),
        ("test", "000.png", "blot", True),
        ("test", "001.png", "blot", False),
        ("test", "000.png", "", False),
    ]
