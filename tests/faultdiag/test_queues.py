"""Order of the queues and what a killed worker leaves, with the real broker."""

import os
import subprocess
import sys
import time

import pytest
from celery import shared_task
from celery.contrib.testing.worker import start_worker

from faultdiag.celery import app
from faultdiag.environment import BASE_DIR
from faultdiag.queues import WORKERS, unacknowledged_restore

#: Takes a message of a queue, says so, and goes on holding it.
TAKER = """
import sys, time
import django
django.setup()
from faultdiag.celery import app
connection = app.connection_for_read()
channel = connection.channel()
assert channel.basic_get(sys.argv[1]) is not None
print("taken", flush=True)
time.sleep(60)
"""

seen = []


@shared_task(name="tests.note")
def note(what):
    seen.append(what)


@pytest.fixture
def broker(services):
    """Empty queues."""

    def length(queue):
        with app.connection_for_read() as connection:
            return connection.default_channel.client.llen(queue)

    app.control.purge()
    with app.connection_for_read() as connection:
        client = connection.default_channel.client
        client.delete(*WORKERS["vision"], *WORKERS["default"], "unacked", "unacked_index")
    seen.clear()
    yield length
    with app.connection_for_read() as connection:
        connection.default_channel.client.delete(*WORKERS["vision"], *WORKERS["default"])


@pytest.mark.slow
def test_people_come_before_imports(broker, transactional_db):
    for number in range(3):
        note.apply_async([f"bulk {number}"], queue="bulk")
    note.apply_async(["vision"], queue="vision")
    with start_worker(app, pool="solo", queues=list(WORKERS["vision"]), perform_ping_check=False):
        deadline = time.monotonic() + 20
        while len(seen) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert seen == ["vision", "bulk 0", "bulk 1", "bulk 2"]


def test_what_a_killed_worker_had_taken_comes_back(broker):
    note.apply_async(["once"], queue="bulk")
    taker = subprocess.Popen(
        [sys.executable, "-c", TAKER, "bulk"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "faultdiag.settings"},
    )
    assert taker.stdout.readline() == "taken\n"
    taker.kill()
    taker.communicate()
    assert broker("bulk") == 0
    assert unacknowledged_restore(WORKERS["default"]) == 0
    assert broker("bulk") == 0
    assert unacknowledged_restore(WORKERS["vision"]) == 1
    assert broker("bulk") == 1
    assert unacknowledged_restore(WORKERS["vision"]) == 0


def test_messages_are_json_only():
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


def test_every_task_has_a_queue_that_is_served():
    app.loader.import_default_modules()
    served = {queue for queues in WORKERS.values() for queue in queues}
    ours = [name for name in app.tasks if name.startswith(("vision.", "cases."))]
    assert ours
    assert {app.amqp.router.route({}, name)["queue"].name for name in ours} <= served
    assert app.amqp.router.route({}, "vision.tasks.process_case")["queue"].name == "vision"


def test_the_clock_knows_its_tasks():
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
