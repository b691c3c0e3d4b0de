"""A writer, a builder of snapshots and eight readers at once: every answer is that of brute force.

What is compared is written at `Reader` in `tests.vision.library_soak`. `FAULTDIAG_SOAK_SECONDS=120` goes on
for longer.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connection

from faultdiag.embedded import database_url
from faultdiag.environment import BASE_DIR
from tests.vision.plain_library import images_add, space_add
from vision.services.library_checks import library_verify
from vision.services.snapshots import snapshots_quarantined

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SECONDS = float(os.environ.get("FAULTDIAG_SOAK_SECONDS", "20"))
READERS, IMAGES, LABELLED = 8, 1500, 1000


@pytest.fixture
def space():
    """The active space, with 1,500 images, of which 1,000 are labelled."""
    space = space_add()
    images_add(space, IMAGES, labelled=LABELLED)
    return space


@pytest.fixture
def start(settings, tmp_path):
    """Starts processes of the soak, which share the test's database and a data folder of their own."""
    (tmp_path / "media").mkdir()
    running = []
    environment = os.environ | {
        "DATABASE_URL": database_url(Path(settings.FAULTDIAG_DATA), connection.settings_dict["NAME"]),
        "FAULTDIAG_DATA": str(tmp_path),
        # Cells even for so few, and a newer snapshot as often as the settings allow.
        "FAULTDIAG_INDEX": "approximate",
        "FAULTDIAG_SNAPSHOT_CHANGES": "100",
    }
    settings.FAULTDIAG_DATA, settings.INDEX = tmp_path, "approximate"

    def start(role, number=0):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.vision.library_soak", role, str(number)],
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def end(process) -> dict:
    return json.loads(process.communicate(timeout=60)[0])


def test_every_answer_is_that_of_brute_force(space, start):
    readers = [start("reader", number) for number in range(READERS)]
    writer, builder = start("writer", 100), start("builder")
    for process in [*readers, writer, builder]:
        assert process.stdout.readline() == "ready\n"
    time.sleep(SECONDS)
    written, built = end(writer), end(builder)
    told = [end(reader) for reader in readers]
    errors = [error for one in [written, built, *told] for error in one["errors"]]
    assert not errors, "\n".join(errors)
    queries, undisturbed, asked, missed = (
        sum(one.get(name, 0) for one in told) for name in ("queries", "undisturbed", "asked", "missed")
    )
    sys.stdout.write(
        f"{queries} queries, {undisturbed} of them with no change meanwhile; {written['changes'] - LABELLED} "
        f"changes in {written['steps']}; {built['built']} snapshots; cells missed {missed} of {asked}; "
        f"milliseconds {[(one['ms'], one['ms99']) for one in told]}\n"
    )
    assert written["changes"] > LABELLED
    assert built["built"] >= 2
    assert all(one["queries"] for one in told)
    assert any(len(one["generations"]) > 1 for one in told), "no reader took up a newer snapshot"
    assert missed <= 0.01 * asked
    assert snapshots_quarantined(space) == []
    assert library_verify(space, sample=0).problems == []
