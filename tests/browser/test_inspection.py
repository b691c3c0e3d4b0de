"""A part is inspected on the console, looked at, and followed into the library, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import manage
from tests.browser.test_pages import DESK, PHONE, violations
from tests.vision.inspection_rows import drawn_part

pytestmark = pytest.mark.usefixtures("library", "inspector")

#: Milliseconds: the first picture of a fresh process loads the network.
PATIENCE = 60_000
CRACK = ("crack", 3)
#: What runs in the installation: an inspector, trained on drawn parts, and an evaluation to look at.
_PREPARE = """
from tests.vision.inspection_rows import made_evaluation, trained_inspector
made_evaluation(trained_inspector("steel").versions.get())
"""


@pytest.fixture(scope="module")
def inspector(server):
    manage(server.data, "shell", "-v", "0", "-c", _PREPARE)


def part(kind: str, seed: int) -> dict:
    return {"name": f"{kind}{seed}.png", "mimeType": "image/png", "buffer": drawn_part(kind, seed)[0]}


def drop(page, *files: dict) -> None:
    """Drop files on the page, as a file manager does."""
    sent = [{"name": one["name"], "type": one["mimeType"], "data": list(one["buffer"])} for one in files]
    page.evaluate(
        """files => {
          const transfer = new DataTransfer();
          for (const file of files) {
            transfer.items.add(new File([new Uint8Array(file.data)], file.name, { type: file.type }));
          }
          document.querySelector("[data-upload-zone]").dispatchEvent(
            new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        sent,
    )


def test_a_cracked_part_fails_and_leads_to_past_cases(open_page):
    page = open_page()
    page.goto("/")
    page.get_by_role("link", name="Inspection", exact=True).click()
    expect(page.get_by_label("Scan or type the part")).to_be_focused()
    page.keyboard.type("nothing of ours")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("No inspector is known by “nothing of ours”")
    # The next scan comes in while the focus is anywhere.
    page.locator("h1").click()
    page.keyboard.type("steel")
    page.keyboard.press("Enter")
    expect(page.locator(".chosen-name")).to_have_text("steel")
    expect(page.get_by_label("Scan or type the part")).to_have_value("")

    notes = {"name": "notes.png", "mimeType": "image/png", "buffer": b"just words"}
    drop(page, part("none", 21), part(*CRACK), notes)
    failed = page.locator("[data-result=fail]")
    expect(failed).to_contain_text("FAIL", timeout=PATIENCE)
    expect(failed).to_contain_text("crack3.png")
    expect(page.locator("[data-result=pass]")).to_contain_text("PASS", timeout=PATIENCE)
    expect(page.locator("[data-result=problem]")).to_contain_text("plain text", timeout=PATIENCE)
    expect(page.locator("[data-tally]")).to_have_text("1 pass · 1 fail · 1 not inspected")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    failed.get_by_role("link", name="crack3.png").press("Enter")

    page.wait_for_url(re.compile(r"/inspection/\d+$"))
    expect(page.get_by_role("heading", name="Verdict: FAIL")).to_be_visible()
    x, y, width, height = map(int, page.locator("[data-box]").first.get_attribute("data-box").split(","))
    rows, columns = (drawn_part(*CRACK)[1] > 0.5).nonzero()
    assert x <= columns.mean() <= x + width
    assert y <= rows.mean() <= y + height
    for image in page.locator(".scene image").all():
        assert page.request.get(image.get_attribute("href")).ok
    assert page.locator(".scene").bounding_box()["height"] > 400, "small pictures are enlarged"
    page.keyboard.press("h")
    assert page.locator("[data-heat]").evaluate("image => image.style.opacity") == "0"
    page.keyboard.press("b")
    expect(page.locator(".mark-box").first).to_be_hidden()
    page.keyboard.press("1")
    expect(page.locator("#region-1")).to_be_focused()

    match = page.locator("#similar [data-match]").first
    expect(match).to_be_visible(timeout=PATIENCE)
    link = match.locator("a[href^='/cases/']").first
    number = link.inner_text()
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(number)

    page.go_back()
    page.keyboard.press("c")
    page.wait_for_url("**/triage", timeout=PATIENCE)
    page.go_back()
    page.reload()
    expect(page.get_by_role("button", name="Open a case")).to_have_count(0)
    assert page.problems == []


def test_it_works_without_scripts(open_page):
    page = open_page(scripts=False)
    page.goto("/inspection")
    page.get_by_label("Scan or type the part").fill("steel")
    page.get_by_role("button", name="Choose").click()
    page.set_input_files("#id_images", [part(*CRACK), part("none", 21)])
    page.get_by_role("button", name="Inspect", exact=True).click()
    expect(page.locator("[data-result=fail]")).to_have_count(1)
    page.get_by_role("link", name="crack3.png").click()
    page.get_by_role("link", name="Search the library").click()
    expect(page.locator("#similar [data-match]").first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_with_results_are_accessible_and_fit(open_page, size, theme):
    page = open_page(*size, theme=theme)
    page.goto("/inspection?part=steel")
    drop(page, part(*CRACK))
    page.locator("[data-result=fail]").wait_for(timeout=PATIENCE)
    inspection = page.locator("[data-result-link]").get_attribute("href")
    problems = {"console": violations(page)}
    page.goto("/inspectors")
    inspector = page.get_by_role("link", name="steel").get_attribute("href")
    for path in (
        inspection,
        inspector,
        f"{inspector}/pictures/fit",
        f"{inspector}/pictures/test",
        "/inspection/history",
    ):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        problems[path] = violations(page)
        if page.evaluate("document.documentElement.scrollWidth") > size[0]:
            problems[path].append("scrolls sideways")
    assert {name: found for name, found in problems.items() if found} == {}
    assert page.problems == []
