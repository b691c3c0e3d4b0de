"""A box on the picture, with the mouse, with clicks and with the keyboard, and what is found by it."""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.library import drawn
from tests.browser.test_triage import diagnose, photograph

pytestmark = pytest.mark.usefixtures("library")


def two_sided() -> dict:
    """A scratch of the library at the left, a crazing of it at the right, turned by the camera."""
    picture = Image.new("RGB", (400, 200))
    for place, (kind, seed) in enumerate([("scratch", 1), ("crazing", 2)]):
        picture.paste(Image.open(io.BytesIO(drawn(kind, seed))), (200 * place, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright, and stored the picture lying on its side
    buffer = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    return {"name": "both.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


def drag(page, *box: float) -> None:
    """Draw a box (left, top, right, bottom in fractions of the picture) with the mouse."""
    outer = page.locator("[data-region-layer]").bounding_box()
    left, top, right, bottom = (
        outer[edge] + part * outer[size]
        for part, edge, size in zip(box, ("x", "y") * 2, ("width", "height") * 2, strict=True)
    )
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move((left + right) / 2, (top + bottom) / 2)
    page.mouse.move(right, bottom)
    page.mouse.up()


def region(page) -> list[float]:
    text = page.locator("[data-region-value]").input_value()
    return [float(part) for part in text.split(",")] if text else []


def test_a_box_drawn_with_the_mouse_finds_what_it_shows(open_page):
    page = open_page()
    page.goto("/")
    page.get_by_role("link", name="Search", exact=True).click()
    page.set_input_files("#id_images", [two_sided()])
    layer = page.locator("[data-region-layer]")
    expect(layer).to_be_visible()
    picture = page.locator("[data-region-picture]").bounding_box()
    assert layer.bounding_box()["height"] * 2 == pytest.approx(layer.bounding_box()["width"], rel=0.02)
    assert layer.bounding_box()["x"] >= picture["x"]

    drag(page, 0.02, 0.05, 0.48, 0.95)
    assert region(page) == pytest.approx([0.02, 0.05, 0.46, 0.9], abs=0.01)
    expect(page.get_by_role("status").filter(has_text="Box")).to_have_text(
        re.compile(
            r"Box 2\s% from the left, 5\s% from the top, 46\s% wide, 90\s% high \(18\d x 1(79|80) pixels\)\."
        )
    )
    page.get_by_role("button", name="Search this region").click()
    matches = page.locator("[data-match]")
    expect(matches.first).to_contain_text("Scratch")
    expect(page.locator("#found-title")).to_be_focused()
    crop = page.get_by_alt_text("The region that was searched")
    assert crop.evaluate("image => image.naturalWidth / image.naturalHeight") == pytest.approx(1.02, abs=0.05)

    drag(page, 0.95, 0.95, 0.52, 0.05)
    page.get_by_role("button", name="Search this region").click()
    expect(matches.first).to_contain_text("Crazing")
    matches.first.get_by_role("button").click()
    expect(page.locator("#compare img").first).to_have_attribute("src", re.compile("^data:image/webp"))
    page.keyboard.press("Escape")
    page.locator("#found").get_by_role("button", name="Search the whole picture").click()
    expect(crop).to_have_count(0)
    expect(matches).to_have_count(20)
    expect(page.get_by_role("button", name="Search this region")).to_be_hidden()
    assert page.problems == []


def test_two_clicks_draw_a_box_as_well_on_a_picture_with_margins(open_page):
    page = open_page()
    page.goto("/search/pictures")
    tall = io.BytesIO()
    Image.open(io.BytesIO(drawn("pit", 1))).resize((100, 400)).save(tall, "PNG")
    sent = {"name": "tall.png", "mimeType": "image/png", "buffer": tall.getvalue()}
    page.set_input_files("#id_images", [sent])
    layer = page.locator("[data-region-layer]")
    expect(layer).to_be_visible()
    size, outer = layer.bounding_box(), page.locator("[data-region-picture]").bounding_box()
    # The box can be drawn on the pixels, not on the empty margins at their sides.
    assert size["width"] * 4 == pytest.approx(size["height"], rel=0.02)
    assert size["x"] - outer["x"] == pytest.approx((outer["width"] - size["width"]) / 2, abs=2)
    layer.click(position={"x": size["width"] * 0.9, "y": size["height"] * 0.9})
    said = page.locator("[data-region-said]")
    expect(said).to_have_text("First corner set: click the opposite one.")
    expect(page.get_by_role("button", name="Search this region")).to_be_hidden()
    layer.click(position={"x": size["width"] * 0.5, "y": size["height"] * 0.1})
    assert region(page) == pytest.approx([0.5, 0.1, 0.4, 0.8], abs=0.01)
    page.get_by_role("button", name="Clear").click()
    expect(said).to_have_text("No box drawn.")
    expect(layer).to_be_focused()
    assert region(page) == []


def test_a_box_is_drawn_and_searched_by_keyboard_in_triage(open_page):
    page = open_page()
    number = diagnose(page, photograph("pit", 3, 88))
    page.get_by_role("button", name="Search a region").press("Enter")
    layer = page.get_by_role("application", name="Box on the picture")
    expect(layer).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("[data-region-said]")).to_contain_text("an arrow key draws one")
    page.keyboard.press("ArrowRight")
    assert region(page) == [0.25, 0.25, 0.5, 0.5]
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("Shift+ArrowLeft")
    assert region(page) == pytest.approx([0.35, 0.15, 0.4, 0.6])
    expect(page.locator("[data-region-said]")).to_have_text(
        "Box 35 % from the left, 15 % from the top, 40 % wide, 60 % high (80 x 120 pixels)."
    )
    page.keyboard.press("Escape")
    assert region(page) == []
    page.keyboard.press("Escape")
    expect(layer).to_be_hidden()
    expect(page.get_by_role("button", name="Search a region")).to_be_focused()
    page.keyboard.press("Enter")
    for key in ["ArrowRight"] * 40 + ["ArrowDown"] * 40 + ["Shift+ArrowLeft"] * 40:
        page.keyboard.press(key)
    left, top, width, height = region(page)
    assert (left + width, top + height) == pytest.approx((17 / 200 + left, 1))
    page.get_by_role("button", name="Cancel").click()
    expect(layer).to_be_hidden()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/similar?region=*")
    expect(page.locator("h1")).to_have_text(f"Similar to a region of {number}")
    expect(page.locator("[data-match]").first).to_contain_text("Pitting")
    expect(page.get_by_alt_text("The region that was searched")).to_be_visible()
    assert region(page) == [0.25, 0.25, 0.5, 0.5]
    page.get_by_role("link", name="Search the whole picture").click()
    expect(page.get_by_alt_text("The region that was searched")).to_have_count(0)
    page.go_back()
    page.get_by_role("link", name="Triage").click()
    # Enter on the box was no answer to the suggestion.
    expect(page.locator("[data-decided]")).to_have_count(0)
    assert page.problems == []


def test_several_views_are_searched_together_and_a_refused_file_says_why(open_page):
    page = open_page()
    page.goto("/search/pictures")
    page.set_input_files("#id_images", [photograph("pit", 1, 90), photograph("pit", 2, 90)])
    expect(page.locator("[data-note]")).to_contain_text("2 views of one thing")
    expect(page.locator("[data-region-layer]")).to_be_hidden()
    page.get_by_role("button", name="Search with 2 views").click()
    expect(page.locator("[data-match]").first).to_contain_text("Pitting")
    bad = {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"just words"}
    page.set_input_files("#id_images", [bad])
    expect(page.locator("[data-note]")).to_contain_text("can't show notes.jpg")
    page.get_by_role("button", name="Search the whole picture").click()
    expect(page.locator("#found")).to_contain_text("plain text")
    assert page.problems == []


def test_searching_works_without_scripts(open_page):
    page = open_page(scripts=False)
    page.goto("/search/pictures")
    page.set_input_files("#id_images", [photograph("pit", 1, 85)])
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("[data-match]").first).to_contain_text("Pitting")
    expect(page.get_by_alt_text("Searched picture 1")).to_be_visible()
