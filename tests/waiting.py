"""Waiting for what other processes do."""

import time


def wait_until(holds, seconds=20):
    """Look again and again until `holds()` is true; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
