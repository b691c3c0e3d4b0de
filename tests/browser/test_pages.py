"""Every page in both themes and on a phone: WCAG 2.2 AA, no sideways scrolling, keyboard, theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.library import A_KIND

pytestmark = pytest.mark.usefixtures("library")

DESK, PHONE = (1366, 768), (390, 844)
PAGES = {
    "queue": "/?view=closed",
    "empty queue": "/?view=mine",
    "new case": "/cases/new",
    "triage": "/cases/{number}/triage",
    "case": "/cases/{number}",
    "edit": "/cases/{number}/edit",
    "resolution": "/cases/{number}/resolution",
    "categories": "/categories",
    "category": "/categories/SCRATCH",
    "actions": "/actions",
    "action": "/actions/ACT-GUIDE",
    "library": "/library",
    "words": "/search",
    "search": "/search/pictures",
    "console": "/inspection",
    "inspections": "/inspection/history",
    "inspectors": "/inspectors",
    "not found": "/cases/NONE",
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page) -> list[str]:
    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}" for one in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_are_accessible_and_fit(open_page, size, theme):
    page = open_page(*size, theme=theme, login=False)
    page.goto("/accounts/login/")
    problems = {"login": violations(page)}
    page = open_page(*size, theme=theme)
    page.goto("/?view=closed")
    number = page.locator("[data-row-link]").first.inner_text()
    for name, path in PAGES.items():
        page.goto(path.format(number=number))
        page.wait_for_load_state("networkidle")
        problems[name] = violations(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size[0]:
            problems[name].append(f"scrolls sideways: {width} px")
    assert {name: found for name, found in problems.items() if found} == {}
    # The one missing page is logged as such; a blocked script or style would be here too.
    assert [problem for problem in page.problems if "404" not in problem] == []


def test_open_dialogs_are_accessible(open_page):
    page = open_page()
    page.keyboard.press("?")
    expect(page.locator("#keyboard-help")).to_be_visible()
    assert violations(page) == []


def test_the_queue_works_by_keyboard(open_page):
    page = open_page()
    page.goto("/?view=closed")
    links = page.locator("[data-row-link]")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("Pitting")
    expect(links).to_have_count(A_KIND)
    assert "q=Pitting" in page.url
    page.locator("body").press("Escape")
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("FD-")


def test_single_keys_can_be_turned_off(open_page):
    page = open_page()
    page.keyboard.press("?")
    page.get_by_label("Single keys work as shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.press("?")
    expect(page.locator("#keyboard-help")).to_be_hidden()
    assert "/cases/new" not in page.url


def test_the_theme_is_switched_and_remembered(open_page):
    page = open_page(theme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/categories")
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")


def test_the_skip_link_leads_to_the_content(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_logs_out(open_page):
    page = open_page()
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/accounts/login/**")
    page.goto("/library")
    assert "/accounts/login/" in page.url
