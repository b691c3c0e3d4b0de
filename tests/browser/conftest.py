"""A whole running installation, filled with a small library, and a real Chromium in front of it."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from faultdiag.environment import BASE_DIR, variables
from tests.faultdiag.test_serve import Server

USERNAME, PASSWORD = "eva", "a-long-enough-password"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(BASE_DIR / "tests" / "browser"):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    """A browser; without Chromium the tests are skipped, or fail where FAULTDIAG_REQUIRE_BROWSER is set."""
    if CHROMIUM is None:
        reason = (
            "There is no Chromium on this machine: install the package chromium to run the browser tests."
        )
        if os.environ.get("FAULTDIAG_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def installation(data: Path):
    """A running installation with web server, workers, broker, database, and a library to embed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(data, port)
    try:
        server.wait_for("is ready", seconds=240)
        fill = f"from tests.browser.library import fill; fill({USERNAME!r}, {PASSWORD!r})"
        manage(data, "shell", "-v", "0", "-c", fill)
        yield server
    finally:
        server.end()


def manage(data: Path, *arguments: str) -> None:
    """Run a command of manage.py on the installation with this data folder."""
    outside = {name: value for name, value in os.environ.items() if name not in variables()}
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env=outside | {"FAULTDIAG_DATA": str(data)},
        check=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def server(chromium, tmp_path_factory):
    with installation(tmp_path_factory.mktemp("browser")) as server:
        yield server


@pytest.fixture
def open_page(chromium, server):
    """Open a page as the engineer, logged in; each call gets a window of its own."""
    contexts = []

    def open_page(width=1366, height=768, theme="light", login=True, scripts=True):
        context = chromium.new_context(
            base_url=server.url,
            viewport={"width": width, "height": height},
            color_scheme=theme,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        if login:
            page.goto("/accounts/login/")
            page.fill("#id_username", USERNAME)
            page.fill("#id_password", PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url("**/")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def library(chromium, server):
    """The worker has embedded the library, and fitted the classifier to all of it."""
    # Models can be imported only now that Django is set up.
    from tests.browser.library import LIBRARY_SIZE

    context = chromium.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/accounts/login/?next=/library")
    page.fill("#id_username", USERNAME)
    page.fill("#id_password", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    # The page brings itself up to date.
    page.locator(".tiles dd", has_text=f"{LIBRARY_SIZE} of {LIBRARY_SIZE}").wait_for(timeout=180_000)
    fitted = page.get_by_role("region", name="Classifier")
    fitted.get_by_text(f"{LIBRARY_SIZE} pictures").wait_for(timeout=60_000)
    context.close()
