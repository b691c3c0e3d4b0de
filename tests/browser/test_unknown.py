"""What the library has never seen is called unknown, and is known from its third picture on."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.library import NEW_KIND, NEW_NAME
from tests.browser.test_triage import diagnose, photograph

pytestmark = pytest.mark.usefixtures("library")


def label(page, name: str) -> None:
    page.get_by_label("Another category").fill(name)
    page.get_by_role("button", name="Set").click()
    expect(page.locator("[data-decided]")).to_contain_text("now part of the library")


def test_a_category_never_seen_before_is_named_from_its_third_picture_on(open_page):
    page = open_page()
    diagnose(page, photograph(NEW_KIND, 1, 90))
    expect(page.locator(".outcome")).to_contain_text("Unknown")
    expect(page.locator("#verdict-title")).to_have_text("Nothing known looks like this")
    expect(page.locator(".reason")).to_contain_text("of the confirmed images lie as far from the others")
    label(page, NEW_NAME)
    diagnose(page, photograph(NEW_KIND, 2, 90))
    label(page, NEW_NAME)

    diagnose(page, photograph(NEW_KIND, 3, 90))
    expect(page.locator("#verdict-title")).to_have_text(NEW_NAME)
    expect(page.locator(".outcome")).to_contain_text("Ambiguous")
    expect(page.locator(".outcome")).to_contain_text("Few examples")
    expect(page.locator(".reason")).to_contain_text("2 confirmed cases, and 5 are needed")
    page.get_by_text("Why ambiguous?").click()
    expect(page.locator(".why dd").first).to_contain_text(re.compile(r"\d %\s+at least 2 %, else Unknown"))
    expect(page.locator(".why")).to_contain_text(f"Confirmed cases of {NEW_NAME}")
    page.goto("/library")
    expect(page.get_by_role("heading", name="Classifier")).to_be_visible()
    assert page.problems == []
