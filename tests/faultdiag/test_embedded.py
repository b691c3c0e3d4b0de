"""The embedded servers, in data folders of their own: they outlive nobody, and a crash blocks nothing."""

import os
import signal
import subprocess
import sys
import time

import psutil
import psycopg
import pytest
import redis

from faultdiag import embedded
from faultdiag.environment import BASE_DIR
from faultdiag.processes import Refused
from tests.waiting import wait_until

USER = """
import sys, pathlib
from faultdiag.embedded import ensure_services
ensure_services(pathlib.Path(sys.argv[1]), durable=False)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def user(folder):
    """Starts processes that use the servers of the folder."""
    started = []

    def start():
        environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=BASE_DIR,
            env=environment,
        )
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    wait_until(lambda: not servers(folder))


def servers(folder):
    """The processes that run from a data folder."""
    return [
        process.info
        for process in psutil.process_iter(["pid", "name", "cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or [])
        and (process.info["cmdline"] + [""])[1] != "-c"
    ]


def query(folder):
    with psycopg.connect(embedded.database_url(folder)) as connection:
        return connection.execute("SELECT current_database()").fetchone()[0]


def test_both_answer_and_end_with_their_last_user(folder, user):
    first, second = user(), user()
    assert query(folder) == "faultdiag"
    assert redis.Redis.from_url(embedded.redis_url(folder)).ping()
    first.communicate("")
    time.sleep(0.6)
    assert query(folder) == "faultdiag"
    second.communicate("")
    wait_until(lambda: not servers(folder))


def test_a_killed_user_is_no_user(folder, user):
    user().kill()
    wait_until(lambda: not servers(folder))
    user()
    assert query(folder) == "faultdiag"


def test_a_killed_keeper_takes_the_servers_along_and_blocks_nothing(folder, user):
    user()
    keeper = next(info["pid"] for info in servers(folder) if "faultdiag.keeper" in info["cmdline"])
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not servers(folder))
    user()
    assert query(folder) == "faultdiag"


def test_a_killed_server_starts_again(folder, user):
    user()
    redis_pid = next(info["pid"] for info in servers(folder) if info["name"] == "redis-server")
    os.kill(redis_pid, signal.SIGKILL)
    time.sleep(0.5)
    wait_until(lambda: embedded.redis_answers(folder))


def test_stale_files_of_a_crash_block_nothing(folder, user):
    if not (folder / "postgres").exists():
        user().communicate("")
        wait_until(lambda: not servers(folder))
    # The process id of a living stranger, as after a restart of the machine.
    (folder / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'postgres'}\n0\n5432\n")
    (folder / "redis" / "redis.pid").write_text(f"{os.getpid()}\n")
    embedded.redis_socket(folder).touch()
    user()
    assert query(folder) == "faultdiag"


def test_an_interrupted_initialisation_is_repeated(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "postgresql.conf").write_text("half of a file")
    embedded.ensure_services(tmp_path, durable=False)
    assert query(tmp_path) == "faultdiag"
    embedded.release_services(tmp_path)
    wait_until(lambda: not servers(tmp_path), seconds=2)


def test_a_cluster_of_another_version_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("11\n")
    with pytest.raises(Refused, match="made by PostgreSQL 11 and this is 18"):
        embedded.ensure_services(tmp_path, durable=False)


def test_long_paths_get_a_short_socket(tmp_path):
    deep = tmp_path / ("x" * 120)
    assert len(str(embedded.postgres_socket(deep))) < 100
    assert embedded.run_folder(deep) != embedded.run_folder(tmp_path / ("y" * 120))


def test_named_servers_are_used_and_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/faultdiag")
    monkeypatch.setenv("REDIS_URL", "redis://broker/0")
    assert embedded.ensure_services(tmp_path / "data") is False
    assert not (tmp_path / "data").exists()
    assert os.environ["DATABASE_URL"] == "postgresql://db/faultdiag"
