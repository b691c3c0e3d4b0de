"""From upload to verdict on the page, in a real browser against a running server.

Start `script/server`, import a library, then:

    python benchmarks/triage.py --images DIR --username NAME --password PASSWORD [--count 100] [--json FILE]

Prints the median and the 95th percentile of the time between pressing "Diagnose" and the verdict being
visible, and the share of each stage. The stages come from the Server-Timing headers of the upload (validate,
store) and of the answer (queue, embed, search, classify, render); transport is everything else: loading the
triage page, its polling, and the browser's drawing.
"""

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from tqdm import tqdm

STAGES = ["validate", "store", "queue", "embed", "search", "classify", "render", "transport"]
CHROMIUM = "/usr/bin/chromium"


def server_timing(response) -> dict[str, float]:
    """Milliseconds by stage from a response's Server-Timing header."""
    entries = response.headers.get("server-timing", "")
    parts = (entry.strip().split(";dur=") for entry in entries.split(",") if ";dur=" in entry)
    return {stage: float(milliseconds) for stage, milliseconds in parts}


def measure_upload(page, base: str, picture: Path) -> dict[str, float]:
    """Upload one picture as a new case; milliseconds by stage and in total."""
    page.goto(f"{base}/cases/new")
    page.set_input_files("#id_images", str(picture))
    page.locator("[data-upload-list] img").wait_for(state="visible")
    timings = {}

    def collect(response):
        timings.update(server_timing(response))

    page.on("response", collect)
    started = time.perf_counter()
    page.locator("[data-upload-submit]").click()
    page.locator(".answer[data-state=ready]").wait_for(state="visible", timeout=60_000)
    total = (time.perf_counter() - started) * 1000
    page.remove_listener("response", collect)
    stages = {stage: timings.get(stage, 0.0) for stage in STAGES if stage != "transport"}
    return {**stages, "transport": max(0.0, total - sum(stages.values())), "total": total}


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--username", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures, searched through")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    pictures = sorted(
        p for p in options.images.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp"}
    )
    if not pictures:
        print(f"There is no picture in {options.images}.", file=sys.stderr)
        return 1
    chosen = random.Random(options.seed).choices(pictures, k=options.count)
    base = options.url.rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(f"{base}/accounts/login/")
        page.fill("#id_username", options.username)
        page.fill("#id_password", options.password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{base}/")
        measure_upload(page, base, chosen[0])  # the first one fills caches and is not counted
        runs = [measure_upload(page, base, picture) for picture in tqdm(chosen, unit="upload")]
        browser.close()
    figures = report(runs)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    return 0


def report(runs: list[dict[str, float]]) -> dict:
    """Print the table; returns its figures in milliseconds."""
    mean_total = statistics.mean(run["total"] for run in runs)
    figures = {}
    print(f"{'stage':<10}{'median ms':>11}{'p95 ms':>10}{'share':>8}")
    for stage in [*STAGES, "total"]:
        values = [run[stage] for run in runs]
        figures[stage] = {
            "median_ms": round(statistics.median(values), 1),
            "p95_ms": round(quantile(values, 0.95), 1),
            "share": round(statistics.mean(values) / mean_total, 3),
        }
        row = figures[stage]
        print(f"{stage:<10}{row['median_ms']:>11.1f}{row['p95_ms']:>10.1f}{row['share']:>8.1%}")
    print(f"{len(runs)} uploads")
    return {"uploads": len(runs), "stages": figures}


if __name__ == "__main__":
    sys.exit(main())
