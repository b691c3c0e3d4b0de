import os
import signal
import sys
import time

import psutil
import pytest

from faultdiag import supervisor as module
from faultdiag.supervisor import Child, Supervisor, leftovers_end
from tests.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time\n"
    "for number in (signal.SIGTERM, signal.SIGQUIT): signal.signal(number, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)",
]


@pytest.fixture
def supervise(tmp_path):
    started, said = [], []

    def start(*commands):
        children = [
            Child(f"child {number}", command, tmp_path / f"{number}.log")
            for number, command in enumerate(commands)
        ]
        supervisor = Supervisor(children, tmp_path / "server.json", said.append)
        supervisor.said = said
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in started:
        for child in supervisor.children:
            child.kill_group()


def test_a_child_that_dies_starts_again_after_a_pause(supervise):
    supervisor = supervise(SLEEP)
    child = supervisor.children[0]
    wait_until(lambda: child.log.stat().st_size)
    restarts = []
    child.before_restart = lambda: restarts.append(child.is_alive())
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    child.process.wait()
    supervisor.watch()
    assert not child.is_alive()
    assert "child 0 ended (killed by SIGKILL) and starts again in 1 s" in supervisor.said[0]
    assert "awake" in supervisor.said[0]
    child.not_before = time.monotonic()
    supervisor.watch()
    assert child.is_alive()
    assert child.process.pid != first
    assert restarts == [False]


def test_the_pause_grows_while_a_child_keeps_dying(supervise):
    supervisor = supervise([sys.executable, "-c", "raise SystemExit('no port')"])
    child = supervisor.children[0]
    pauses = []
    for _ in range(3):
        child.process.wait()
        supervisor.watch()
        pauses.append(round(child.not_before - time.monotonic()))
        child.not_before = time.monotonic()
        supervisor.watch()
    assert pauses == [1, 2, 4]
    assert "exit status 1" in supervisor.said[0]
    assert "no port" in supervisor.said[0]


def test_stopping_leaves_nothing_not_even_grandchildren(supervise, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", ((signal.SIGTERM, 0.3), (signal.SIGQUIT, 0.3)))
    supervisor = supervise(SLEEP, DEAF)
    deaf = supervisor.children[1]
    wait_until(lambda: deaf.log.read_text().endswith("\n"))
    grandchild = psutil.Process(int(deaf.log.read_text()))
    supervisor.stop()
    assert not any(child.is_alive() for child in supervisor.children)
    wait_until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)
    assert not supervisor.state.exists()


def test_what_a_killed_supervisor_left_is_ended(supervise):
    supervisor = supervise(SLEEP, SLEEP)
    assert leftovers_end(supervisor.state) == 2
    wait_until(lambda: not any(child.is_alive() for child in supervisor.children))
    assert leftovers_end(supervisor.state) == 0


def test_strangers_with_an_old_number_are_left_alone(supervise):
    supervisor = supervise(SLEEP)
    pid = supervisor.children[0].process.pid
    supervisor.state.write_text(f'[{{"pid": {pid}, "created": 1.0}}]')
    assert leftovers_end(supervisor.state) == 0
    assert supervisor.children[0].is_alive()


def test_logs_do_not_grow_for_ever(supervise, monkeypatch):
    monkeypatch.setattr(module, "_LOG_BYTES", 1000)
    child = supervise(SLEEP).children[0]
    with child.log.open("a") as log:
        log.write("x" * 2000)
    child.limit_log()
    assert child.log.stat().st_size == 0
    assert child.log.with_suffix(".log.1").stat().st_size >= 2000
