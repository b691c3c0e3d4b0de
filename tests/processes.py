"""Processes that a test starts and that never outlive it."""

import subprocess
from contextlib import contextmanager

from faultdiag.environment import BASE_DIR


@contextmanager
def processes():
    """Gives subprocess.Popen from the project's folder, with pipes of text; kills what is left at the end."""
    running = []

    def start(command, **how) -> subprocess.Popen:
        process = subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True, **how)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
