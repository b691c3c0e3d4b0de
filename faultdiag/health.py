"""/healthz says that the process is up; /readyz whether everything that it needs is."""

import logging
import time
from collections.abc import Callable
from threading import Lock

from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cases.storages import StorageAway
from faultdiag.celery import app
from vision.engine.backbones import WeightsError

logger = logging.getLogger(__name__)

QUEUES = ("vision", "default")
_PING_SECONDS = 1.0


class NotReady(Exception):
    """Something that the product needs is not there; the text says what, and holds no secret."""


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    cache.ping()
    cache.set("readyz", "1", timeout=10)
    if cache.get("readyz") != "1":
        raise NotReady("Redis forgets what is stored in it.")


class _Once:
    """A check that is not repeated after it has passed once in this process."""

    def __init__(self, check: Callable[[], None]):
        self._check = check
        self._passed = False

    def __call__(self) -> None:
        if not self._passed:
            self._check()
            self._passed = True


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise NotReady(f"{len(missing)} migrations are not applied: run manage.py migrate.")


def _weights() -> None:
    from vision.services.spaces import weights_check

    try:
        weights_check()
    except WeightsError as reason:
        raise NotReady(str(reason)) from None


def _notes() -> list[str]:
    """What does not stop the product, and should still be mended."""
    from vision.services.spaces import settings_note

    try:
        note = settings_note()
    except DatabaseError:
        return []  # its own check says so
    return [note] if note else []


def _pictures() -> None:
    try:
        default_storage.check()
    except StorageAway as away:
        logger.warning("readyz: %s", away.reason)
        raise NotReady("The storage of the pictures does not work: see the log.") from None


class _Workers:
    """Asks the workers which queues they serve, at most once a second."""

    def __init__(self):
        self._lock = Lock()
        self._asked = float("-inf")
        self._served: set[str] = set()

    def __call__(self) -> None:
        with self._lock:
            if time.monotonic() - self._asked > _PING_SECONDS:
                self._served = self._ask()
                self._asked = time.monotonic()
            silent = [queue for queue in QUEUES if queue not in self._served]
        if silent:
            raise NotReady(f"No worker answers for the queue {' and '.join(silent)}.")

    def _ask(self) -> set[str]:
        replies = app.control.inspect(timeout=_PING_SECONDS, limit=len(QUEUES)).active_queues() or {}
        return {queue["name"] for queues in replies.values() for queue in queues}


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "redis": _redis,
    "migrations": _Once(_migrations),
    "pictures": _pictures,
    "weights": _weights,
    "workers": _Workers(),
}


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when everything that the product needs is there, else 503; the body names each check.

    `notes` tells of what is wrong and stops nothing.
    """
    results = {name: _result(name, check) for name, check in CHECKS.items()}
    ready = all(result == "ok" for result in results.values())
    answer = {"status": "ready" if ready else "not ready", "checks": results, "notes": _notes()}
    return JsonResponse(answer, status=200 if ready else 503)


def _result(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as reason:
        return str(reason)
    except Exception as error:
        # Drivers put addresses into their messages: these go to the log, and not to whoever asks.
        logger.warning("readyz: %s: %s", name, error)
        return f"{type(error).__name__}: see the log."
    return "ok"
