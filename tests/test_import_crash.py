"""Workers that are killed again and again during an import leave every picture in the library exactly once.

`FAULTDIAG_CRASH_IMPORT=DIR` imports a folder of your own instead of drawn noise, with more deaths.
"""

import os
import socket
import subprocess
import sys
import time
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

OWN = os.environ.get("FAULTDIAG_CRASH_IMPORT")
CATEGORIES, PICTURES = ["pits", "scratches", "stains"], 100


@pytest.fixture
def folder(tmp_path):
    if OWN:
        return Path(OWN).resolve()
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
    assert manage(data, "import_folder", str(folder), "--no-wait").returncode == 0
    random = np.random.default_rng(1)
    with psycopg.connect(database_url(data), autocommit=True) as database:
        for table, share in moments(random):
            wait_until(lambda: len(workers(server)) >= 2, seconds=60)
            wait_until(lambda: count(database, table) >= share * total, seconds=300)  # noqa: B023
            time.sleep(random.uniform(0, 0.3))
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
    verified = manage(data, "library", "verify")
    assert verified.returncode == 0, verified.stderr
    assert f"Clean: {total} rows are as in the database" in verified.stdout


def moments(random) -> list[tuple[str, float]]:
    """When to kill: a table, and the share of all pictures that is in it then."""
    # After a death the job of the import waits for the sweep, so each costs up to a minute and a half.
    embedded = np.sort(random.uniform(0.05, 0.7, 6 if OWN else 2))
    return [("cases_case", random.uniform(0.1, 0.6)), *(("vision_embedding", share) for share in embedded)]


def manage(data: Path, *arguments: str) -> subprocess.CompletedProcess:
    """A command of the installation in a data folder, run to its end."""
    outside = {name: value for name, value in os.environ.items() if name not in variables()}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env=outside | {"FAULTDIAG_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def workers(server) -> list[psutil.Process]:
    """The processes of Celery's workers that live at this moment."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if "celery" in " ".join(process.cmdline()) and "worker" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_workers(server):
    living = workers(server)
    assert len(living) >= 2
    for process in living:
        process.kill()
    assert psutil.wait_procs(living, timeout=20)[1] == []


def count(database, table: str, what: str = "*") -> int:
    return database.execute(f"SELECT count({what}) FROM {table}").fetchone()[0]


def job_state(database) -> str:
    return database.execute("SELECT state FROM cases_job").fetchone()[0]
