"""Every test runs against a real PostgreSQL and a real Redis, with a data folder of its own under /tmp.

The servers start with the first test that needs them. `DATABASE_URL` and `REDIS_URL` name others.
"""

import os
import shutil
import tempfile
from pathlib import Path

import django
import pytest

from faultdiag import embedded

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
# Workers of pytest-xdist find the folder of the process that started them in their environment.
if not _WORKER:
    os.environ["FAULTDIAG_DATA"] = tempfile.mkdtemp(prefix="faultdiag-tests-")
_DATA = Path(os.environ["FAULTDIAG_DATA"]).resolve()
(_DATA / "static").mkdir(exist_ok=True)
os.environ["DJANGO_SETTINGS_MODULE"] = "faultdiag.settings"
# Static files straight from their folders: what the hashed names add is tested with the supervisor.
os.environ["FAULTDIAG_DEBUG"] = "true"
embedded.name_services(_DATA)
if _WORKER and os.environ["REDIS_URL"] == embedded.redis_url(_DATA):
    os.environ["REDIS_URL"] += f"?db={int(_WORKER.removeprefix('gw')) + 1}"


def pytest_configure(config):
    # Here, and not by an option of pytest: the settings need the folder made above.
    django.setup()


def pytest_unconfigure(config):
    embedded.release_services(_DATA)
    if not _WORKER:
        shutil.rmtree(_DATA, ignore_errors=True)


_running = []


@pytest.fixture(scope="session")
def services():
    """PostgreSQL and Redis run."""
    embedded.ensure_services(_DATA, durable=False)
    _running.append(True)


@pytest.fixture(scope="session")
def django_db_setup(services, django_db_setup):
    """The test database, on a server that runs."""


@pytest.fixture(autouse=True)
def _fresh_cache():
    """No test sees what another one cached."""
    if _running:
        from django.core.cache import cache

        cache.clear()


@pytest.fixture
def celery_worker(transactional_db):
    """A real worker in a thread of this process that serves every queue through the real broker."""
    from celery.contrib.testing.worker import start_worker

    from faultdiag.celery import app

    app.control.purge()
    with start_worker(
        app,
        pool="solo",
        queues=["vision", "bulk", "default"],
        perform_ping_check=False,
        without_heartbeat=True,
        shutdown_timeout=30,
    ) as worker:
        yield worker
    app.control.purge()


@pytest.fixture(scope="session")
def s3_server():
    """A server that speaks S3, for tests that leave it running."""
    from tests.s3_server import s3_serving

    with s3_serving() as server:
        yield server


@pytest.fixture
def own_s3_server():
    """One that a test may stop."""
    from tests.s3_server import s3_serving

    with s3_serving() as server:
        yield server


@pytest.fixture
def use_bucket(settings, monkeypatch):
    """Have this process keep its pictures in a new bucket of an S3 server."""
    from faultdiag.environment import Environment
    from faultdiag.picture_storage import storages
    from tests.s3_server import Bucket

    def use(server):
        bucket = Bucket(server)
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        settings.STORAGES = {**settings.STORAGES, **storages(Environment())}
        return bucket

    return use


@pytest.fixture
def bucket(s3_server, use_bucket):
    """The bucket that keeps the pictures of this test."""
    return use_bucket(s3_server)


@pytest.fixture(scope="session")
def chromium():
    """The path of Chromium. Without it tests are skipped, or fail where FAULTDIAG_REQUIRE_BROWSER is set."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("FAULTDIAG_REQUIRE_BROWSER"):
        pytest.fail("Chromium is not installed, and FAULTDIAG_REQUIRE_BROWSER is set.")
    pytest.skip("Chromium is not installed (Debian, Ubuntu: apt install chromium).")
