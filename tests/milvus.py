"""A real Milvus for tests: Milvus Lite, in this process from a folder, or as a server of its own."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from faultdiag.processes import die_with_parent


def require_milvus() -> None:
    """Skip the test where the extra is not installed."""
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(
            package,
            reason="Milvus is not installed: pip install -r requirements-milvus.txt -c constraints.txt",
        )


def free_port() -> int:
    """A port of the loopback interface at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MilvusProcess:
    """`milvus-lite server` at a port, which can be killed and started anew over the same folder."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from milvus_lite.cmdline import main; main()", "server",
             "--data-dir", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )  # fmt: skip
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise RuntimeError("milvus-lite server did not start within 30 seconds.")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
