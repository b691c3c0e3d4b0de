"""Workers that are killed in the middle of an import leave every picture stored and embedded exactly once.

`FAULTDIAG_CRASH_IMPORT=DIR` imports a folder of your own instead of drawn noise.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest
from PIL import Image

from faultdiag.embedded import database_url
from faultdiag.environment import BASE_DIR, variables
from tests.faultdiag.test_serve import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

CATEGORIES, PICTURES = ["pits", "scratches", "stains"], 100


@pytest.fixture
def folder(tmp_path):
    if own := os.environ.get("FAULTDIAG_CRASH_IMPORT"):
        return Path(own).resolve()
    random = np.random.default_rng(0)
    for category in CATEGORIES:
        (tmp_path / "library" / category).mkdir(parents=True)
        for number in range(PICTURES):
            pixels = random.integers(0, 255, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "library" / category / f"{number:03d}.png")
    return tmp_path / "library"


@pytest.fixture
def server(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(tmp_path / "data", port)
    try:
        server.wait_for("is ready", seconds=240)
        yield server
    finally:
        server.end()


def test_every_picture_comes_in_exactly_once(server, folder, tmp_path):
    data = tmp_path / "data"
    total = sum(1 for path in folder.rglob("*") if path.is_file())
    outside = {name: value for name, value in os.environ.items() if name not in variables()}
    subprocess.run(
        [sys.executable, "manage.py", "import_folder", str(folder), "--no-wait"],
        cwd=BASE_DIR,
        env=outside | {"FAULTDIAG_DATA": str(data)},
        check=True,
        timeout=120,
    )
    with psycopg.connect(database_url(data), autocommit=True) as database:
        wait_until(lambda: count(database, "vision_embedding") >= total // 3, seconds=180)
        kill_workers(server)
        stored, embedded = count(database, "cases_caseimage"), count(database, "vision_embedding")
        assert embedded < total, "the import was over before the workers were killed"
        wait_until(lambda: count(database, "vision_embedding") >= total, seconds=600)
        wait_until(lambda: job_state(database) == "done", seconds=120)
        assert count(database, "cases_case") == total
        assert count(database, "cases_caseimage") == total >= stored
        assert count(database, "cases_label") == total
        assert count(database, "vision_embedding") == total
        assert count(database, "vision_embedding", "DISTINCT image_id") == total
        assert count(database, "vision_librarychange", "DISTINCT image_id") == total


def kill_workers(server):
    workers = [
        process
        for process in psutil.Process(server.process.pid).children(recursive=True)
        if "celery" in " ".join(process.cmdline()) and "worker" in process.cmdline()
    ]
    assert len(workers) >= 2
    for process in workers:
        process.kill()


def count(database, table: str, what: str = "*") -> int:
    return database.execute(f"SELECT count({what}) FROM {table}").fetchone()[0]


def job_state(database) -> str:
    return database.execute("SELECT state FROM cases_job").fetchone()[0]
