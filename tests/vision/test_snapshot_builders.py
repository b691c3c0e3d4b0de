"""Builders of snapshots work one at a time, and one that is busy is not taken for dead."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from cases.models import Job
from cases.services import jobs
from faultdiag.embedded import database_url
from faultdiag.environment import BASE_DIR
from tests.vision.plain_library import images_add, space_add
from tests.waiting import transactions_waiting, wait_until
from vision.engine.snapshot_generations import generations
from vision.services.library_checks import library_verify
from vision.services.snapshots import BUILD_KIND, snapshot_open, snapshots_folder
from vision.tasks import build_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def address():
    """The test's database, for other processes."""
    return database_url(Path(os.environ["FAULTDIAG_DATA"]), connection.settings_dict["NAME"])


@pytest.fixture
def space(address, settings, tmp_path):
    """A space of thirty labelled images, with a data folder of its own."""
    (tmp_path / "media").mkdir()
    settings.FAULTDIAG_DATA = tmp_path
    space = space_add()
    images_add(space, 30, labelled=30)
    return space


@pytest.fixture
def release(address):
    """While the log of changes is locked, who builds stands still; call this to let it go on."""
    with psycopg.connect(address) as holder:
        holder.execute("LOCK TABLE vision_librarychange IN ACCESS EXCLUSIVE MODE")
        yield holder.commit


@pytest.fixture
def rebuild(address, tmp_path):
    """Starts `manage.py library rebuild` in a process of its own."""
    running = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "manage.py", "library", "rebuild"],
            cwd=BASE_DIR,
            env=os.environ | {"DATABASE_URL": address, "FAULTDIAG_DATA": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_of_two_processes_one_builds_and_the_other_leaves(space, release, rebuild):
    both = {rebuild(), rebuild()}
    wait_until(lambda: any(process.poll() is not None for process in both), seconds=90)
    (late,) = [process for process in both if process.poll() is not None]
    (builder,) = both - {late}
    said = late.communicate()[1]
    assert late.returncode == 1
    assert "Another process is writing a snapshot" in said
    assert "Traceback" not in said
    assert generations(snapshots_folder(space)) == []
    release()
    printed, said = builder.communicate(timeout=60)
    assert builder.returncode == 0, said
    assert "Snapshot 00000001 is written." in printed
    assert [path.name for path in sorted(snapshots_folder(space).iterdir())] == [".lock", "00000001"]
    snapshot_open(space).verify()
    report = library_verify(space, sample=0)
    assert (report.problems, report.rows) == ([], 30)


def test_a_builder_that_is_killed_lets_the_next_one_in(space, release, rebuild):
    killed = rebuild()
    wait_until(lambda: transactions_waiting() == 1, seconds=90)
    killed.kill()
    killed.wait()
    release()
    printed, said = rebuild().communicate(timeout=90)
    assert "Snapshot 00000001 is written." in printed, said


def test_a_builder_that_reports_nothing_for_long_keeps_its_job(space, release, monkeypatch):
    monkeypatch.setattr(jobs, "SIGN_EVERY", 0.05)
    job = Job.objects.create(kind=BUILD_KIND)

    def build():
        build_snapshot(job.pk)
        connection.close()

    builder = threading.Thread(target=build)
    builder.start()
    wait_until(lambda: transactions_waiting() == 1)
    # As if it had trained cells for a minute.
    Job.objects.update(heartbeat_at=timezone.now() - 2 * jobs.SILENCE)
    wait_until(lambda: jobs.jobs_recover() == 0)
    build_snapshot(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING
    release()
    builder.join(30)
    job.refresh_from_db()
    assert (job.state, job.result["generation"]) == (Job.State.DONE, "00000001")
