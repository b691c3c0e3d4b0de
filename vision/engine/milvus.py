"""Milvus names candidates: a collection for each snapshot, of row numbers and vectors and nothing else.

What it names is compared exactly with the vectors of the snapshot. So a collection that is half empty, stale
or of something else costs recall, never truth; and while Milvus does not answer, every vector is compared.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np

from vision.engine.index import Metric

logger = logging.getLogger(__name__)

#: What installs the packages of the extra.
EXTRA_COMMAND = ".venv/bin/pip install -r requirements-milvus.txt -c constraints.txt"
#: Milvus names no more than this for one query.
MOST_CANDIDATES = 16_384
_ANSWER_SECONDS = 2.0
_BUILD_SECONDS = 3600.0
#: After a failure Milvus is left alone for so long, and nobody waits for it.
_PAUSE_SECONDS = 10.0
_INSERT_BYTES = 8 * 2**20
_METRICS = {"cosine": "COSINE", "l2": "L2"}
#: HNSW's M and efConstruction.
_LINKS, _BUILD_EFFORT = 16, 200


class MilvusAway(Exception):
    """Milvus can't be used now. The text is a sentence that says why; it never holds the token."""


class MilvusServer:
    """Milvus at an address: `http(s)://host:port/database` of a server, or a folder `….db` of Milvus Lite.

    Connects at the first call, and again after an error. Threads may share it; processes may not.
    """

    def __init__(self, uri: str, token: str = ""):
        self.uri = uri
        self.is_lite = not _is_server(uri)
        self._token = token
        self._client = None
        self._lock = Lock()
        self._away, self._away_until = "", 0.0

    def call(self, method: str, *arguments: Any, timeout: float = _ANSWER_SECONDS, **options: Any) -> Any:
        """What this method of pymilvus' MilvusClient returns. Raises MilvusAway for whatever goes wrong."""
        client = self._connected()
        try:
            return getattr(client, method)(*arguments, timeout=timeout, **options)
        except Exception as error:  # of pymilvus, of gRPC, and of a channel that another thread closed
            self._disconnect(client)
            raise MilvusAway(self._sentence(error)) from None

    def close(self) -> None:
        """Let go of the server; Milvus Lite gives its folder back. The next call connects again."""
        self._disconnect(self._client)
        if self.is_lite and find_spec("milvus_lite"):
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.uri)

    def _connected(self):
        with self._lock:
            if self._client is None:
                # Others waited here for the same attempt: they are not to repeat it one after the other.
                if time.monotonic() < self._away_until:
                    raise MilvusAway(self._away)
                try:
                    self._client = self._connect()
                except Exception as error:
                    self._away = self._sentence(error)
                    self._away_until = time.monotonic() + _PAUSE_SECONDS
                    raise MilvusAway(self._away) from None
            return self._client

    def _connect(self):
        if missing := packages_missing(self.uri):
            raise MilvusAway(f"Packages are missing ({', '.join(missing)}): {EXTRA_COMMAND}")
        # pymilvus would read a file .env, and writes a traceback to stderr for each error: we say it once.
        os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
        from pymilvus import MilvusClient

        for name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return MilvusClient(self.uri, token=self._token, timeout=_ANSWER_SECONDS, dedicated=True)

    def _disconnect(self, client) -> None:
        with self._lock:
            if client is None or self._client is not client:
                return
            self._client = None
        with suppress(Exception):  # the channel may be broken, which is why it goes
            client.close()

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, MilvusAway):
            return str(error)
        if "Open local milvus failed" in str(error):
            return f"Milvus Lite can't open {self.uri}. It serves one process, and another may have it open."
        said = " ".join(str(getattr(error, "message", "") or error or type(error).__name__).split())
        for secret in (self._token, self._token.partition(":")[2]):
            said = said.replace(secret, "…") if secret else said
        return f"Milvus at {self.uri} says: {said.rstrip('.')}."


def packages_missing(uri: str) -> list[str]:
    """What this address needs and is not installed."""
    needed = ["pymilvus"] if _is_server(uri) else ["pymilvus", "milvus_lite"]
    return [name for name in needed if find_spec(name) is None]


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


class Collection:
    """The collection of one snapshot: names rows for queries, and knows when it can't.

    `problem` is a sentence while it can't, else empty. Threads may share it.
    """

    def __init__(self, server: MilvusServer, name: str, effort: int = 0):
        self.server = server
        self.name = name
        self.effort = effort
        self.problem = ""
        self._loaded = False
        self._retry_at = 0.0
        self._lock = Lock()

    def nearest(self, queries: np.ndarray, count: int) -> np.ndarray | None:
        """Rows that are probably nearest, as `ask` gives them; None while Milvus can't say.

        A failure is logged once, and so is its end. In between Milvus is asked anew every ten seconds.
        """
        with self._lock:
            if self.problem:
                if time.monotonic() < self._retry_at:
                    return None
                self._retry_at = time.monotonic() + _PAUSE_SECONDS  # for the others, while this one tries
        try:
            rows = self.ask(queries, count, self.effort)
        except MilvusAway as away:
            self._loaded = False
            with self._lock:
                if not self.problem:
                    logger.warning("Until Milvus answers again every vector is compared. %s", away)
                self.problem = str(away)
                self._retry_at = time.monotonic() + _PAUSE_SECONDS
            return None
        with self._lock:
            if self.problem:
                logger.info("Milvus names candidates again, from %s.", self.name)
                self.problem = ""
        return rows

    def ask(self, queries: np.ndarray, count: int, effort: int) -> np.ndarray:
        """For each of (m, d) float32 queries `count` different rows, int64 (m, count), with -1 at the end.

        `effort` is HNSW's ef. The rows are as good as the collection: those of another snapshot's may lie
        outside of this one. Raises MilvusAway.
        """
        if not self._loaded:
            self.server.call("load_collection", self.name)
            self._loaded = True
        # The vectors never change, so there is nothing to wait for.
        answers = self.server.call(
            "search", self.name, data=list(queries), limit=count, output_fields=["row"],
            search_params={"params": {"ef": max(effort, count)}}, consistency_level="Eventually",
        )  # fmt: skip
        rows = np.full((len(queries), count), -1, np.int64)
        try:
            for place, answer in zip(rows, answers, strict=True):
                named = np.unique(np.array([hit["row"] for hit in answer], np.int64))
                place[: len(named)] = named
        except (KeyError, TypeError, ValueError, OverflowError):
            raise MilvusAway(f"The collection {self.name} is not one of ours.") from None
        return rows

    def write(
        self,
        rows: Callable[[int, int], np.ndarray],
        total: int,
        dimension: int,
        metric: Metric,
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Make the collection of `rows(start, count)`, which gives float32 (count, d). Raises MilvusAway."""
        call = self.server.call
        call("drop_collection", self.name, timeout=_BUILD_SECONDS)  # what a builder that was killed left
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        call("create_collection", self.name, schema=schema, timeout=_BUILD_SECONDS)
        batch = max(1, _INSERT_BYTES // (4 * dimension))
        for start in range(0, total, batch):
            progress("fill", start, total)
            vectors = rows(start, min(batch, total - start))
            entities = [{"row": start + at, "vector": vector} for at, vector in enumerate(vectors)]
            call("insert", self.name, entities, timeout=_BUILD_SECONDS)
        progress("index", 0, 1)
        call("flush", self.name, timeout=_BUILD_SECONDS)
        index = MilvusClient.prepare_index_params()
        index.add_index(
            "vector", index_type="HNSW", metric_type=_METRICS[metric],
            params={"M": _LINKS, "efConstruction": _BUILD_EFFORT},
        )  # fmt: skip
        # Milvus Lite indexes at once, and has no call by which a client could wait.
        call("create_index", self.name, index, timeout=_BUILD_SECONDS, sync=not self.server.is_lite)
        call("load_collection", self.name, timeout=_BUILD_SECONDS)


def collection_prefix(space: str, metric: Metric, folder_key: str) -> str:
    """How the names of a space's collections begin; the generation follows.

    `folder_key` tells the folders of snapshots apart that share a server.
    """
    return re.sub(r"\W", "_", f"faultdiag_{space}_{metric}_{folder_key}_", flags=re.ASCII)


def collections_drop(server: MilvusServer, prefix: str, *, keep: set[str]) -> None:
    """Drop the collections with this prefix whose generation is not to be kept. Raises MilvusAway."""
    for name in server.call("list_collections"):
        if name.startswith(prefix) and name.removeprefix(prefix) not in keep:
            server.call("drop_collection", name, timeout=_BUILD_SECONDS)
