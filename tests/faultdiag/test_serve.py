"""manage.py serve, for real: the whole installation on a free port with a data folder of its own."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import psutil
import pytest

from faultdiag.environment import BASE_DIR, variables
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


class Server:
    """A running `manage.py serve` and what it says."""

    def __init__(self, data, port):
        environment = {
            k: v for k, v in os.environ.items() if k not in {*variables(), "DJANGO_SETTINGS_MODULE"}
        }
        environment |= {"FAULTDIAG_DATA": str(data), "FAULTDIAG_PORT": str(port), "PYTHONUNBUFFERED": "1"}
        self.data, self.url = data, f"http://127.0.0.1:{port}"
        self.lines = []
        self._queue = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--no-demo"],
            cwd=BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(line.rstrip())
        self._queue.put(None)

    def wait_for(self, pattern, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            line = self._queue.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, self.lines
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def end(self, sent=signal.SIGTERM):
        self.process.send_signal(sent)
        self.process.wait(40)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(data, port):
    started = []

    def start(data=data, port=port):
        started.append(Server(data, port))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.end()


def left_behind(data):
    """Processes of a data folder, by what they were started with."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        try:
            if any(
                str(data) in part
                for part in [*(process.info["cmdline"] or []), process.environ().get("FAULTDIAG_DATA", "")]
            ):
                found.append(process.info)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def get(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read()


def test_a_first_start_serves_and_a_term_leaves_nothing(serve, data):
    server = serve()
    server.wait_for(r"First user: admin with the password \S{16}")
    server.wait_for("faultdiag is ready")
    assert json.loads(get(f"{server.url}/readyz"))["status"] == "ready"
    assert b"csrfmiddlewaretoken" in get(f"{server.url}/accounts/login/")
    styles = re.search(rb'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', get(f"{server.url}/accounts/login/"))
    assert styles, "the login page names no hashed style sheet"
    assert get(server.url + styles[1].decode())
    server.end()
    assert server.process.returncode == 0
    wait_until(lambda: not left_behind(data), seconds=3)


def test_a_second_start_knows_its_users_and_a_second_server_is_refused(serve, data, port):
    server = serve()
    server.wait_for("faultdiag is ready")
    assert "Database: up to date" in server.lines
    assert not any("password" in line for line in server.lines)

    same_folder = serve(port=port + 1)
    same_folder.wait_for(rf"^faultdiag is already running on {data} \(process {server.process.pid}\)")
    assert same_folder.process.wait(10) == 1

    same_port = serve(data=data.with_name("other"))
    same_port.wait_for(rf"^Port {port} of 127.0.0.1 is taken by another program")
    assert same_port.process.wait(10) == 1


def test_servers_that_do_not_answer_are_told_in_a_sentence(tmp_path, port):
    environment = {k: v for k, v in os.environ.items() if k not in variables()}
    environment |= {
        "FAULTDIAG_DATA": str(tmp_path),
        "FAULTDIAG_PORT": str(port),
        "DATABASE_URL": "postgresql://ann:hunter2@127.0.0.1:1/faultdiag",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("PostgreSQL can't be reached: check DATABASE_URL")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


def test_a_killed_worker_comes_back(serve, data):
    server = serve()
    server.wait_for("faultdiag is ready")
    worker = next(info for info in psutil.process_iter(["cmdline"]) if is_worker(info, server))
    worker.kill()
    server.wait_for("vision worker ended .killed by SIGKILL")
    wait_until(lambda: json.loads(readyz(server))["status"] == "ready", seconds=60)


def is_worker(process, server):
    return "vision@%h" in (process.info["cmdline"] or []) and process.ppid() == server.process.pid


def readyz(server):
    try:
        return get(f"{server.url}/readyz")
    except urllib.error.HTTPError as error:
        return error.read()


def test_a_killed_supervisor_takes_all_along_and_blocks_nothing(serve, data):
    server = serve()
    server.wait_for("faultdiag is ready")
    server.end(signal.SIGKILL)
    wait_until(lambda: not left_behind(data))
    again = serve()
    again.wait_for("faultdiag is ready")
    again.end(signal.SIGHUP)
    wait_until(lambda: not left_behind(data), seconds=3)
