"""The main job in a real browser, through the real worker and broker."""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.library import drawn

pytestmark = pytest.mark.usefixtures("library")

#: Milliseconds: the first picture of a fresh worker loads the network.
PATIENCE = 60_000


def photograph(kind: str, seed: int, quality: int) -> dict:
    """The fault of a library picture, photographed once more: other bytes, nearly the same pixels."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(drawn(kind, seed))).save(buffer, "JPEG", quality=quality)
    return {"name": f"{kind}-{quality}.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


def diagnose(page, *files) -> str:
    """Upload pictures as a new case, wait for its verdict, and return its number."""
    page.goto("/cases/new")
    page.set_input_files("#id_images", list(files))
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url("**/triage")
    expect(page.locator("#answer[data-state=ready]")).to_be_visible(timeout=PATIENCE)
    return re.search(r"FD-\d+-\d+", page.url)[0]


def test_from_upload_to_resolution_and_the_next_upload_benefits(open_page):
    page = open_page()
    page.goto("/cases/new")
    page.set_input_files("#id_images", [photograph("scratch", 0, 90), photograph("scratch", 0, 60)])
    expect(page.locator(".upload")).to_have_count(2)
    page.get_by_label("What scratch-60.jpg shows").select_option("overview")
    page.get_by_label("Part", exact=True).fill("4711-08 rev. B Cover")
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url("**/triage")
    expect(page.locator("#verdict-title")).to_have_text("Scratch", timeout=PATIENCE)
    expect(page.locator(".probability")).to_have_text(re.compile(r"\d+ %"))
    expect(page.locator("[data-match]")).to_have_count(10)
    expect(page.locator("[data-match] [data-resolution]")).to_have_count(10)
    assert all(
        page.locator("[data-match] img").evaluate_all("all => all.slice(0, 4).map(i => i.naturalWidth > 0)")
    )
    triage = page.url

    page.locator("[data-resolution]").first.click()
    page.wait_for_url("**#resolution")
    expect(page.locator("#resolution")).to_contain_text("The guide was rough.")
    expect(page.locator("#resolution")).to_contain_text("Effective")

    page.goto(triage)
    page.keyboard.press("c")
    expect(page.locator("[data-decided]")).to_contain_text("Confirmed by eva")
    expect(page.locator("[data-decided]")).to_contain_text("now part of the library")
    first = re.search(r"FD-\d+-\d+", triage)[0]

    diagnose(page, photograph("scratch", 0, 75))
    # The original in the library is the same picture: which of the two comes first is chance.
    expect(page.locator("[data-match]").filter(has_text=first)).to_have_count(1)
    assert page.problems == []


def test_keys_choose_candidates_and_other_verdicts(open_page):
    page = open_page()
    diagnose(page, photograph("pit", 1, 90))
    expected = page.locator("[data-choice='1'] .candidate-name").inner_text()
    page.keyboard.press("1")
    expect(page.locator("[data-decided]")).to_contain_text(f"Set to {expected}")
    page.keyboard.press("u")
    expect(page.locator("[data-decided]")).to_contain_text("Unknown fault, says eva")
    page.keyboard.press("o")
    page.keyboard.type("crazing")
    page.keyboard.press("Enter")
    expect(page.locator("[data-decided]")).to_contain_text("Set to Crazing")
    here = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url != here)
    assert page.problems == []


def test_a_similar_case_is_compared_side_by_side(open_page):
    page = open_page()
    diagnose(page, photograph("crazing", 1, 90))
    page.keyboard.press("v")
    dialog = page.locator("#compare")
    expect(dialog).to_be_visible()
    expect(dialog.locator("[data-compare-place]")).to_have_text("1 of 10")
    before = dialog.locator("[data-compare-match]").get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("[data-compare-place]")).to_have_text("2 of 10")
    assert dialog.locator("[data-compare-match]").get_attribute("src") != before
    page.keyboard.press("Escape")
    page.locator("a[data-view=query]").first.click()
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("+")
    expect(page.locator("#viewer .zoomed")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator("[data-decided]")).to_contain_text("Unusable picture, says eva")
    assert page.problems == []


def test_a_refused_file_costs_nothing_else(open_page):
    page = open_page()
    page.goto("/cases/new")
    page.get_by_label("Customer reference / RMA").fill("RMA 77")
    bad = {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"just words"}
    page.set_input_files("#id_images", [photograph("pit", 2, 80), bad])
    page.get_by_role("button", name="Diagnose").click()
    expect(page.locator(".upload", has_text="notes.jpg").locator("[data-error]")).to_contain_text(
        "plain text"
    )
    expect(page.locator(".upload", has_text="pit-80.jpg").locator("[data-error]")).to_be_hidden()
    expect(page.get_by_label("Customer reference / RMA")).to_have_value("RMA 77")
    page.get_by_label("Remove notes.jpg").click()
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url("**/triage")
    # The refusal itself is an answer of the server that browsers log.
    assert [problem for problem in page.problems if "422" not in problem] == []


def test_pictures_are_dropped_reordered_and_pasted(open_page):
    page = open_page()
    page.goto("/cases/new")
    page.evaluate(
        """() => {
            const files = (name) => {
                const moved = new DataTransfer();
                moved.items.add(new File(["x"], name, {type: "image/png"}));
                return moved;
            };
            const drop = {dataTransfer: files("dropped.png"), cancelable: true};
            document.dispatchEvent(new DragEvent("drop", drop));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: files("pasted.png")}));
        }"""
    )
    names = page.locator(".upload-name")
    expect(names).to_have_text(["dropped.png", "pasted.png"])
    page.get_by_label("Move pasted.png forward").click()
    expect(names).to_have_text(["pasted.png", "dropped.png"])
    assert page.evaluate("[...document.querySelector('#id_images').files].map(f => f.name)") == [
        "pasted.png",
        "dropped.png",
    ]


def test_works_without_scripts(open_page):
    page = open_page(scripts=False)
    page.goto("/cases/new")
    page.set_input_files("#id_images", [photograph("scratch", 2, 85)])
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url("**/triage")
    for _ in range(60):
        if page.locator("#answer[data-state=ready]").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    page.get_by_role("button", name="Unknown").click()
    expect(page.locator("[data-decided]")).to_contain_text("Unknown fault, says eva")
