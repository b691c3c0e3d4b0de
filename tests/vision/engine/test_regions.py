"""The part of a picture that a region names, at every size of the picture and however the camera was held."""

import io

import numpy as np
import pytest
from PIL import Image

from vision.engine.images import load_image
from vision.engine.regions import MIN_SIDE, WHOLE, Region, RegionError, region_crop


def numbered(width=80, height=60) -> Image.Image:
    """A picture whose pixels say where they are: red is the column, green the row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.dstack([columns, rows, rows * 0]).astype(np.uint8))


def refusal(make) -> RegionError:
    with pytest.raises(RegionError) as caught:
        make()
    return caught.value


@pytest.mark.parametrize(
    "text",
    ["0.25,0.5,0.5,0.25", " .25 , +0.5,5e-1,0.25 ", "0.25,0.5,0.5,0.250"],
    ids=["plain", "odd", "zero"],
)
def test_a_region_is_read_from_its_text(text):
    assert Region.parse(text) == Region(0.25, 0.5, 0.5, 0.25)
    assert str(Region.parse(text)) == "0.25,0.5,0.5,0.25"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0,0,1",
        "0,0,1,1,1",
        "a,0,1,1",
        "nan,0,1,1",
        "0,0,inf,1",
        "0,0,1e999,1",
        "0;0;1;1",
        "1_0,0,1,1",
        "\u0660,0,1,1",
    ],
)
def test_what_is_not_four_numbers_is_quoted_with_an_example(text):
    error = refusal(lambda: Region.parse(text))
    assert error.code == "malformed_region"
    assert "0.25,0.25,0.5,0.5" in str(error)


def test_a_refusal_quotes_no_novel():
    assert len(str(refusal(lambda: Region.parse("9" * 5000)))) < 250


@pytest.mark.parametrize(
    "numbers",
    [(-0.01, 0, 0.5, 0.5), (0, -0.01, 0.5, 0.5), (0.6, 0, 0.5, 0.5), (0, 0.6, 0.5, 0.5), (0, 0, 1, 1.1)],
)
def test_a_region_outside_of_the_picture_is_refused(numbers):
    error = refusal(lambda: Region(*numbers))
    assert error.code == "region_outside"
    assert "reaches out of the picture" in str(error)


@pytest.mark.parametrize("numbers", [(0.2, 0.2, 0, 0.5), (0.2, 0.2, 0.5, 0), (0.5, 0.5, -0.2, -0.2)])
def test_an_empty_region_is_refused(numbers):
    assert refusal(lambda: Region(*numbers)).code == "region_too_small"


def test_the_crop_holds_exactly_the_pixels_of_the_region():
    crop = np.asarray(region_crop(numbered(), Region(0.25, 0.5, 0.5, 0.5)))
    assert crop.shape == (30, 40, 3)
    assert (crop[0, 0, 0], crop[0, 0, 1]) == (20, 30)
    assert (crop[-1, -1, 0], crop[-1, -1, 1]) == (59, 59)


def test_regions_side_by_side_share_no_pixel_and_lose_none():
    third = 1 / 3
    columns = [
        np.asarray(region_crop(numbered(), Region(place * third, 0, third, 1)))[0, :, 0] for place in range(3)
    ]
    assert np.concatenate(columns).tolist() == list(range(80))


def test_a_region_reaches_the_edges_and_the_last_digit_may_lie_beyond():
    assert region_crop(numbered(), Region(0.66667, 0.5, 0.33334, 0.50001)).size == (27, 30)
    assert Region(0.66667, 0.5, 0.33334, 0.50001).box(80, 60) == (53, 30, 80, 60)


def test_the_whole_picture_is_itself():
    picture = numbered()
    assert region_crop(picture, WHOLE) is picture
    assert region_crop(picture, Region(0, 0, 1, 1)) is picture
    assert not Region(0, 0, 1, 0.9).is_whole


def test_each_side_needs_its_pixels():
    assert region_crop(numbered(), Region(0, 0, MIN_SIDE / 80, MIN_SIDE / 60)).size == (MIN_SIDE, MIN_SIDE)
    error = refusal(lambda: region_crop(numbered(), Region(0, 0, 0.5, (MIN_SIDE - 1) / 60)))
    assert error.code == "region_too_small"
    assert "40 x 15 pixels of the picture's 80 x 60" in str(error)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fractions_are_those_of_the_upright_picture(orientation):
    """The same upright picture, however the sensor was turned: the region shows the same part of it."""
    upright = Image.fromarray(
        np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, np.ones((32, 32), np.uint8))
    )
    region = Region(0.25, 1 / 3, 0.25, 1 / 3)  # the field of value 100
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that undo each orientation
    stored = upright.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=95, exif=exif)
    crop = np.asarray(region_crop(load_image(buffer.getvalue()), region))
    assert crop.shape == (32, 32, 3)
    assert abs(int(crop.mean()) - 100) <= 1


def test_a_small_region_is_decoded_from_enough_pixels():
    """A JPEG is decoded at a fraction of its size; a small region must not be blown up from a few pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (1600, 1200), "grey").save(buffer, "JPEG")
    region = Region(0.1, 0.1, 0.125, 0.5)
    assert load_image(buffer.getvalue(), fit=64).size == (200, 150)
    assert min(region_crop(load_image(buffer.getvalue(), fit=region.fit(64)), region).size) >= 128
