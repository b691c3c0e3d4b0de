"""A server that speaks S3, in a process of its own on loopback."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from itertools import count

import boto3

from tests.waiting import wait_until

KEYS = {"AWS_ACCESS_KEY_ID": "engineer", "AWS_SECRET_ACCESS_KEY": "hunter2hunter2"}
_numbers = count(1)


class S3Server:
    """moto's server, which forgets everything when it is stopped."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, seconds=60)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the S3 server ended by itself"
        try:
            urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(20)

    def silence(self):
        """It still takes connections, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)


@contextmanager
def s3_serving():
    """A server for as long as the block runs."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Bucket:
    """A bucket of its own on a server, and what a look into it says."""

    def __init__(self, server: S3Server):
        self.server = server
        self.name = f"pictures-{next(_numbers)}"
        self._client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        self.make()

    def make(self):
        self._client.create_bucket(Bucket=self.name)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FAULTDIAG_STORAGE": f"s3://{self.name}/plant",
            "FAULTDIAG_S3_ENDPOINT": self.server.endpoint,
            **KEYS,
        }

    def objects(self) -> dict[str, dict]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {entry["Key"]: entry for page in pages for entry in page.get("Contents", ())}

    def read(self, key: str) -> bytes:
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=data)
