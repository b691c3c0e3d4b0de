"""A cracked magnetic tile, as photographed: rejected where the crack is, and led to past cracks."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import installation, manage
from tests.browser.test_inspection import PATIENCE, drop
from tests.measuring import measuring_folder
from vision.engine.inspection_measures import box_holds

pytestmark = pytest.mark.slow

LEARNED = 60
#: Pictures of each kind in the library.
KNOWN = 12
#: One whose crack is plain.
CRACKED = "exp6_num_32235"
#: Its piece was photographed again and again: none of these is in the library.
PIECE = "_num_32"


@pytest.fixture(scope="module")
def tiles():
    return measuring_folder("magnetic_tile")


@pytest.fixture(scope="module")
def server(chromium, tiles, tmp_path_factory):
    """An installation of its own, with an inspector of tiles and past cases of their faults."""
    good, faults = (tmp_path_factory.mktemp(name) for name in ("good", "faults"))
    (good / "train" / "good").mkdir(parents=True)
    for path in sorted((tiles / "train" / "good").iterdir())[:LEARNED]:
        shutil.copy(path, good / "train" / "good")
    for kind in ("Crack", "Break", "Blowhole"):
        (faults / kind).mkdir()
        pictures = (tiles / "test" / kind.lower()).iterdir()
        for path in sorted(one for one in pictures if PIECE not in one.stem)[:KNOWN]:
            shutil.copy(path, faults / kind)
    with installation(tmp_path_factory.mktemp("tiles")) as server:
        manage(server.data, "import_folder", str(faults))
        manage(server.data, "inspector", "train", "--part", "tile", "--data", str(good), "--alpha", "0.05")
        yield server


def test_a_cracked_tile_fails_at_the_crack_and_leads_to_similar_cracks(open_page, tiles):
    picture = next((tiles / "test" / "crack").glob(f"{CRACKED}.*"))
    mask = np.asarray(Image.open(tiles / "ground_truth" / "crack" / f"{CRACKED}_mask.png").convert("L")) > 127
    page = open_page()
    page.goto("/inspection?part=tile")
    drop(page, {"name": picture.name, "mimeType": "image/jpeg", "buffer": picture.read_bytes()})
    failed = page.locator("[data-result=fail]")
    expect(failed).to_contain_text("FAIL", timeout=PATIENCE)
    failed.get_by_role("link", name=picture.name).click()

    page.wait_for_url(re.compile(r"/inspection/\d+$"))
    expect(page.get_by_role("heading", name="Verdict: FAIL")).to_be_visible()
    box = page.locator("[data-box]").first.get_attribute("data-box")
    assert box_holds(tuple(map(int, box.split(","))), mask)

    match = page.locator("#similar [data-match]").filter(has_text="Crack").first
    expect(match).to_be_visible(timeout=PATIENCE)
    link = match.locator("a[href^='/cases/']").first
    number = link.inner_text()
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(number)
    expect(page.locator("main")).to_contain_text("Crack")
    assert page.problems == []
