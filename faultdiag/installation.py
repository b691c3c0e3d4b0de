"""What a start checks and prepares before the processes run. Each refusal is one sentence."""

import errno
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from cases.storages import StorageAway
from faultdiag.processes import Refused, lock_try

_NEEDED_BYTES = 500 * 2**20
_MIGRATION_LOCK = "hashtext('faultdiag.migrate')"


def data_folder_claim(data: Path, held: ExitStack) -> None:
    """Make this the one server of a data folder, until `held` closes or the process ends."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = data / "server.lock"
        lock = lock_try(path)
    except OSError as error:
        raise Refused(f"The data folder {data} can't be used: {error.strerror}.") from error
    if lock is None:
        raise Refused(
            f"faultdiag is already running on {data} (process {path.read_text().strip()}): "
            "stop it first, or give another folder in FAULTDIAG_DATA."
        )
    held.enter_context(lock)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


def disk_check(data: Path) -> None:
    """Refuse to start on a disk that is nearly full."""
    free = shutil.disk_usage(data).free
    if free < _NEEDED_BYTES:
        raise Refused(
            f"The disk of {data} has {free >> 20} MB free and {_NEEDED_BYTES >> 20} MB are needed: "
            "make room, or give another folder in FAULTDIAG_DATA."
        )


def port_check(host: str, port: int) -> None:
    """Refuse an address that can't be listened at."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(
                f"Port {port} of {host} is taken by another program: "
                "stop that, or give another in FAULTDIAG_PORT."
            ) from error
        if error.errno == errno.EACCES:
            raise Refused(f"Port {port} is for root only: give one from 1024 in FAULTDIAG_PORT.") from error
        raise Refused(f"This machine has no address {host}: give another in FAULTDIAG_HOST.") from error


def servers_check() -> None:
    """Refuse to go on when PostgreSQL, Redis or the storage of the pictures does not answer."""
    _database_reach()
    try:
        cache.ping()
    except RedisError as error:
        raise Refused(f"Redis can't be reached: check REDIS_URL ({error}).") from error
    try:
        default_storage.check()
    except StorageAway as away:
        raise Refused(f"Pictures can't be stored: check FAULTDIAG_STORAGE. {away.reason}") from away


def database_migrate() -> int:
    """Bring the database up to date; returns how many migrations were applied."""
    with _migrating():
        missing = len(_migrations()[1])
        if missing:
            call_command("migrate", interactive=False, verbosity=0)
        return missing


def database_check() -> int:
    """Fill a new database with its tables, and return how many migrations that took.

    Raises Refused for one that does not answer, and for one that an older version left: its processes may be
    running, and a command is not the one to change their tables.
    """
    _database_reach()
    if not _migrations()[1]:
        return 0
    with _migrating():  # a server that is filling it at this moment is waited for
        applied, missing = _migrations()
        if not applied:
            return database_migrate()
    if missing:
        raise Refused(
            "The database is of an older version: start the server, or run manage.py prepare,"
            " and repeat this."
        )
    return 0


def _database_reach() -> None:
    try:
        connection.ensure_connection()
    except OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise Refused(f"PostgreSQL can't be reached: check DATABASE_URL ({reason}).") from error


def _migrations() -> tuple[list, list]:
    """Those that are applied, and those that are missing, as the database says now."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return list(executor.loader.applied_migrations), missing


@contextmanager
def _migrating() -> Iterator[None]:
    """Wait for other processes that change the tables, and hold new ones off. May be nested."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")


def static_files_collect() -> bool:
    """Collect scripts and styles for the web server unless they are as before; returns whether it did."""
    stamp = settings.STATIC_ROOT / ".collected"
    wanted = _static_fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    call_command("collectstatic", interactive=False, verbosity=0, clear=settings.STATIC_ROOT.exists())
    stamp.write_text(wanted)
    return True


def _static_fingerprint() -> str:
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = os.stat(storage.path(name))
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def first_user_create() -> tuple[str, str] | None:
    """The first administrator with a generated password (name, password), which is kept only hashed.

    None when there is an administrator already.
    """
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    name, password = "admin", secrets.token_urlsafe(12)
    users.create_superuser(name, password=password)
    return name, password
