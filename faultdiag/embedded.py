"""A real PostgreSQL and a real Redis that run from the data folder, for machines that have neither.

Both come as wheels. A small keeper process (`faultdiag.keeper`) runs them for as long as any process of
this data folder holds a shared lock on `users.lock`. The kernel drops that lock when a process ends, also
when it is killed, so the servers end with their last user and nothing that a crash leaves behind blocks the
next start.
"""

import fcntl
import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from faultdiag.processes import Refused, lock_try

#: The longest path of a Unix socket that every system takes.
_LONGEST_SOCKET_PATH = 100
_START_SECONDS = 90
_STOP_SECONDS = 60

_held: dict[Path, IO[str]] = {}


def run_folder(data: Path) -> Path:
    """Where the sockets and locks of a data folder are: in it, or below /tmp when its path is too long."""
    inside = data / "run"
    if len(str(inside / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path("/tmp") / f"faultdiag-{digest}"  # noqa: S108 (made with mode 0700, its owner is checked)


def redis_socket(data: Path) -> Path:
    """The Unix socket of the embedded Redis."""
    return run_folder(data) / "redis.sock"


def postgres_socket(data: Path) -> Path:
    """The Unix socket of the embedded PostgreSQL."""
    return run_folder(data) / ".s.PGSQL.5432"


def database_url(data: Path, database: str = "faultdiag") -> str:
    """The address of the embedded PostgreSQL, whether it runs or not."""
    return f"postgresql:///{database}?host={quote(str(run_folder(data)), safe='')}&user=postgres"


def redis_url(data: Path) -> str:
    """The address of the embedded Redis, whether it runs or not."""
    return f"unix://{redis_socket(data)}"


def name_services(data: Path) -> bool:
    """Put DATABASE_URL and REDIS_URL into the environment where absent; True when one of them is embedded."""
    addresses = {"DATABASE_URL": database_url(data), "REDIS_URL": redis_url(data)}
    embedded = False
    for name, address in addresses.items():
        if not os.environ.get(name):
            os.environ[name] = address
        embedded = embedded or os.environ[name].startswith(address)
    return embedded


def ensure_services(data: Path, *, durable: bool = True) -> bool:
    """Have PostgreSQL and Redis running for as long as this process lives, and name them in the environment.

    Reuses what runs already. Returns False when the environment names servers of the operator's own, and
    nothing was started. `durable=False` gives up safety against power cuts for speed, for tests.
    Raises Refused.
    """
    if not name_services(data):
        return False
    if data in _held:
        return True
    folder = _prepare_run_folder(data)
    # Waits while the keeper is stopping the servers of earlier users.
    _held[data] = lock_try(folder / "users.lock", fcntl.LOCK_SH, wait=True)
    try:
        with lock_try(folder / "start.lock", wait=True):
            if _keeper_is_absent(folder):
                _start_keeper(data, durable)
            else:
                _wait_until_answering(data)
    except BaseException:
        _held.pop(data).close()
        raise
    return True


def release_services(data: Path) -> None:
    """Stop using the embedded servers, and wait until they have stopped if nobody else uses them."""
    held = _held.pop(data, None)
    if held is None:
        return
    held.close()
    folder = run_folder(data)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and not _keeper_is_absent(folder):
        only_user = lock_try(folder / "users.lock")
        if only_user is None and _others_use(folder):
            return
        if only_user is not None:
            only_user.close()
        time.sleep(0.1)


def answers(path: Path, request: bytes = b"", reply: bytes = b"") -> bool:
    """Whether a server listens at a Unix socket, and gives `reply` to `request`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
            connection.sendall(request)
            return not reply or connection.recv(len(reply)) == reply
        except OSError:
            return False


def redis_answers(data: Path) -> bool:
    """Whether the embedded Redis is ready to work."""
    return answers(redis_socket(data), b"PING\r\n", b"+PONG")


def _prepare_run_folder(data: Path) -> Path:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = run_folder(data)
    folder.mkdir(exist_ok=True, mode=0o700)
    status = folder.lstat()
    if folder.is_symlink() or (os.geteuid() != 0 and status.st_uid != os.geteuid()):
        raise Refused(
            f"{folder} belongs to somebody else: remove it, or use a data folder with a shorter path."
        )
    return folder


def _keeper_is_absent(folder: Path) -> bool:
    probe = lock_try(folder / "keeper.lock")
    if probe is None:
        return False
    probe.close()
    return True


def _others_use(folder: Path) -> bool:
    """Whether a shared lock is still possible at once: then users hold it, and not the stopping keeper."""
    shared = lock_try(folder / "users.lock", fcntl.LOCK_SH)
    if shared is None:
        return False
    shared.close()
    return True


def _start_keeper(data: Path, durable: bool) -> None:
    command = [sys.executable, "-m", "faultdiag.keeper", str(data)]
    if not durable:
        command.append("--not-durable")
    keeper = subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    with keeper.stdout:
        ready, _, _ = select.select([keeper.stdout], [], [], _START_SECONDS)
        line = keeper.stdout.readline() if ready else ""
    answer = json.loads(line) if line else {"error": _silent_keeper(data, bool(ready))}
    if "error" in answer:
        keeper.terminate()
        keeper.wait()
        raise Refused(answer["error"])


def _silent_keeper(data: Path, ended: bool) -> str:
    what = "ended at once" if ended else f"did not come up in {_START_SECONDS} s"
    return f"The embedded PostgreSQL and Redis {what}: see the logs in {data / 'logs'}."


def _wait_until_answering(data: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not (answers(postgres_socket(data)) and redis_answers(data)):
        if time.monotonic() > deadline:
            raise Refused(_silent_keeper(data, ended=False))
        time.sleep(0.1)
