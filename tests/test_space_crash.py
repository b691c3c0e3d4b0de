"""Workers that are killed while a space is built lose a step of it; the old space serves until the swap."""

import os
import subprocess
import sys

import psycopg
import pytest

from faultdiag.embedded import database_url
from faultdiag.environment import BASE_DIR, variables
from tests.test_import_crash import count, folder, kill_workers, server  # noqa: F401  (two fixtures)
from tests.vision.adapted import random_weights
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_OF_STATE = "FROM vision_embedding e JOIN vision_embeddingspace s ON s.id = e.space_id WHERE s.state = %s"


def test_a_space_is_built_to_its_end(server, folder, tmp_path):  # noqa: F811
    data = tmp_path / "data"
    total = sum(1 for path in folder.rglob("*") if path.is_file())
    outside = {name: value for name, value in os.environ.items() if name not in variables()}
    subprocess.run(
        [sys.executable, "manage.py", "import_folder", str(folder), "--no-wait"],
        cwd=BASE_DIR,
        env=outside | {"FAULTDIAG_DATA": str(data)},
        check=True,
        timeout=240,
    )
    with psycopg.connect(database_url(data), autocommit=True) as database:
        wait_until(lambda: count(database, "vision_embedding") == total, seconds=600)
        old = active(database)
        (data / "weights").mkdir(exist_ok=True)
        random_weights(data / "weights" / "faultnet.safetensors")
        wait_until(lambda: total // 4 <= vectors(database, "building"), seconds=600)
        kill_workers(server)
        assert vectors(database, "building") < total, "the space was complete before the workers were killed"
        assert active(database) == old
        wait_until(lambda: active(database) != old, seconds=600)
        assert vectors(database, "active") == total
        assert vectors(database, "active", "DISTINCT e.image_id") == total
        assert vectors(database, "retired") == total


def vectors(database, state: str, what: str = "*") -> int:
    return database.execute(f"SELECT count({what}) {_OF_STATE}", [state]).fetchone()[0]


def active(database) -> str:
    return database.execute("SELECT slug FROM vision_embeddingspace WHERE state = 'active'").fetchone()[0]
