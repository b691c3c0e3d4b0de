"""Runs the processes of an installation on one machine: starts, watches, restarts and stops them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from faultdiag.environment import BASE_DIR
from faultdiag.processes import die_with_parent

Say = Callable[[str], None]

_STEADY_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 30
_LOG_BYTES = 20 * 2**20
#: What a child gets to end by itself, then to end at once, before it is killed.
_PATIENCE = ((signal.SIGTERM, 8.0), (signal.SIGQUIT, 4.0))


@dataclass
class Child:
    """One process: its name for people, its command, and what to do before it starts anew after a death."""

    name: str
    command: list[str]
    log: Path
    before_restart: Callable[[], object] = lambda: None
    process: subprocess.Popen | None = None
    started: float = 0.0
    deaths: int = 0
    not_before: float = 0.0

    def start(self) -> None:
        self._rotate_log()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C reaches only the supervisor, which stops the others in order.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self.started = time.monotonic()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def last_line(self) -> str:
        """The last line of its log, for people."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"

    def kill_group(self) -> None:
        """End whatever the process has left in its group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def limit_log(self) -> None:
        """Keep the log and one predecessor below a size, while the process goes on writing to it."""
        if self.log.stat().st_size > _LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def _rotate_log(self) -> None:
        if self.log.exists():
            self.limit_log()


@dataclass
class Supervisor:
    """Keeps children alive. `state` is a file that tells the next start whom a killed supervisor left."""

    children: list[Child]
    state: Path
    say: Say
    _limited: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        for child in self.children:
            child.start()
        self._remember()

    def watch(self) -> None:
        """Restart what has died, later with every death; call it about twice a second."""
        now = time.monotonic()
        for child in self.children:
            if child.is_alive():
                continue
            if child.not_before <= child.started:
                self._note_death(child, now)
            if now >= child.not_before:
                child.kill_group()
                child.before_restart()
                child.start()
                self._remember()
        if now - self._limited > _STEADY_SECONDS:
            self._limited = now
            for child in self.children:
                child.limit_log()

    def stop(self) -> None:
        """End all children, in order of the list, and all that they have started."""
        for sent, patience in _PATIENCE:
            for child in self.children:
                if child.is_alive():
                    child.process.send_signal(sent)
            deadline = time.monotonic() + patience
            while any(child.is_alive() for child in self.children) and time.monotonic() < deadline:
                time.sleep(0.05)
        for child in self.children:
            child.kill_group()
        self.state.unlink(missing_ok=True)

    def _note_death(self, child: Child, now: float) -> None:
        steady = now - child.started > _STEADY_SECONDS
        child.deaths = 1 if steady else child.deaths + 1
        pause = min(2.0 ** (child.deaths - 1), _LONGEST_PAUSE_SECONDS)
        child.not_before = now + pause
        self.say(
            f"The {child.name} ended ({_ending(child.process.returncode)}) "
            f"and starts again in {pause:.0f} s. "
            f"Its last line: {child.last_line()} (all in {child.log})"
        )

    def _remember(self) -> None:
        pids = [child.process.pid for child in self.children if child.process]
        described = [{"pid": pid, "created": created} for pid in pids if (created := _created(pid))]
        self.state.write_text(json.dumps(described))


def leftovers_end(state: Path) -> int:
    """End the children that a killed supervisor has left, told by its state file; returns how many."""
    try:
        described = json.loads(state.read_text())
    except (OSError, ValueError):
        return 0
    ended = 0
    for entry in described:
        if _created(entry["pid"]) == entry["created"]:
            os.killpg(entry["pid"], signal.SIGKILL)
            ended += 1
    state.unlink(missing_ok=True)
    return ended


def django_command(*arguments: str) -> list[str]:
    """A manage.py command as a process of its own."""
    return [sys.executable, str(BASE_DIR / "manage.py"), *arguments]


def _created(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _ending(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"
