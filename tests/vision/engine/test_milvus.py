"""Whatever happens to Milvus, a snapshot answers as if it compared every vector."""

import base64
import logging
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests.milvus import MilvusProcess, free_port, require_milvus
from tests.vision.engine.test_snapshots import DIMENSION, clustered, written
from vision.engine import milvus as module
from vision.engine.index import ExactIndex, as_rows
from vision.engine.milvus import Collection, MilvusAway, MilvusServer, collection_prefix, collections_drop
from vision.engine.snapshots import Snapshot

TOKEN = "root:hunter2-and-more"


@pytest.fixture
def lite(tmp_path):
    """Milvus Lite, in a folder of its own."""
    require_milvus()
    server = MilvusServer(str(tmp_path / "lite.db"))
    yield server
    server.close()


@pytest.fixture
def process(tmp_path):
    """A server in a process of its own."""
    require_milvus()
    server = MilvusProcess(tmp_path / "server.db")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def no_pause(monkeypatch):
    """Milvus is asked again at once after it failed."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)


def warnings(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def agree(snapshot, vectors):
    """The snapshot gives the true ten nearest."""
    index = ExactIndex(DIMENSION, snapshot.metric)
    index.add(np.asarray(snapshot.ids), vectors)
    queries = clustered(20, seed=1)
    np.testing.assert_array_equal(snapshot.search(queries, 10)[1], index.search(queries, 10)[1])


def test_a_server_that_is_gone_costs_no_answer_and_is_logged_once(tmp_path, lite, caplog):
    vectors = clustered(500)
    written(tmp_path / "one", np.arange(500), vectors, engine="milvus", milvus=lite)
    away = MilvusServer(f"http://127.0.0.1:{free_port()}", TOKEN)
    snapshot = Snapshot.open(tmp_path / "one", space="s", metric="cosine", milvus=away)
    for _ in range(5):
        agree(snapshot, vectors)
    assert len(warnings(caplog)) == 1
    assert "every vector is compared" in caplog.text
    assert away.uri in snapshot.problem


def test_searches_return_to_a_server_that_came_back(tmp_path, process, no_pause, caplog):
    caplog.set_level(logging.INFO)
    vectors = clustered(500)
    server = MilvusServer(process.uri)
    snapshot = written(tmp_path / "one", np.arange(500), vectors, engine="milvus", milvus=server)
    agree(snapshot, vectors)
    assert snapshot.problem == ""
    process.kill()
    for _ in range(3):
        agree(snapshot, vectors)
    assert snapshot.problem
    process.start()
    agree(snapshot, vectors)
    assert snapshot.problem == ""
    ours = [record.message for record in caplog.records if record.name == module.__name__]
    assert len(ours) == 2
    assert "names candidates again" in ours[1]


def test_nobody_waits_for_a_server_that_just_failed(tmp_path, monkeypatch):
    require_milvus()
    collection = Collection(MilvusServer(f"http://127.0.0.1:{free_port()}"), "any")
    assert collection.nearest(clustered(1), 5) is None
    monkeypatch.setattr(collection, "ask", lambda *arguments: pytest.fail("Milvus was asked again."))
    assert collection.nearest(clustered(1), 5) is None


def test_a_collection_that_somebody_dropped_costs_no_answer(tmp_path, lite, caplog):
    vectors = clustered(500)
    snapshot = written(tmp_path / "one", np.arange(500), vectors, engine="milvus", milvus=lite)
    agree(snapshot, vectors)
    lite.call("drop_collection", "test_cosine_one")
    for _ in range(5):
        agree(snapshot, vectors)
    assert len(warnings(caplog)) == 1
    assert "test_cosine_one" in snapshot.problem


def test_a_collection_of_another_library_costs_recall_and_no_truth(tmp_path, lite):
    vectors = clustered(500)
    snapshot = written(tmp_path / "one", np.arange(500), vectors, engine="milvus", milvus=lite)
    other = clustered(2000, seed=8)
    Collection(lite, "test_cosine_one").write(
        lambda start, count: other[start : start + count], 2000, DIMENSION, "cosine", lambda *step: None
    )
    queries = as_rows(clustered(20, seed=1), DIMENSION, "cosine")
    scores, ids = snapshot.search(queries, 10)
    assert snapshot.problem == ""
    for query, row, found in zip(queries, scores, ids, strict=True):
        assert len(set(found)) == 10
        np.testing.assert_allclose(row, as_rows(vectors[found], DIMENSION, "cosine") @ query, atol=1e-5)


def test_a_collection_of_another_kind_costs_no_answer(tmp_path, lite):
    vectors = clustered(500)
    snapshot = written(tmp_path / "one", np.arange(500), vectors, engine="milvus", milvus=lite)
    lite.call("drop_collection", "test_cosine_one")
    lite.call("create_collection", "test_cosine_one", dimension=DIMENSION)
    rows = [{"id": n, "vector": vector} for n, vector in enumerate(vectors)]
    lite.call("insert", "test_cosine_one", rows)
    agree(snapshot, vectors)


def test_more_candidates_than_milvus_names_are_found_without_it(tmp_path, lite, monkeypatch):
    vectors = clustered(500)
    snapshot = written(tmp_path / "one", np.arange(500), vectors, engine="milvus", milvus=lite)
    monkeypatch.setattr("vision.engine.snapshots.MOST_CANDIDATES", 99)
    agree(snapshot, vectors)
    assert snapshot.problem == ""


def test_a_snapshot_is_written_though_milvus_is_away(tmp_path, caplog):
    require_milvus()
    away = MilvusServer(f"http://127.0.0.1:{free_port()}", TOKEN)
    snapshot = written(tmp_path / "one", np.arange(500), clustered(500), engine="milvus", milvus=away)
    assert snapshot.manifest.engine == "exact"
    assert snapshot.manifest.reason.startswith("Milvus was not filled.")
    assert away.uri in snapshot.manifest.reason
    agree(snapshot, clustered(500))


def test_an_empty_library_has_no_collection(tmp_path, lite):
    empty = written(
        tmp_path / "none", np.empty(0, np.int64), np.empty((0, DIMENSION)), engine="milvus", milvus=lite
    )
    assert empty.manifest.engine == "milvus"
    assert empty.search(clustered(1), 3)[1].tolist() == [[-1, -1, -1]]
    assert lite.call("list_collections") == []


def test_the_engine_needs_a_collection(tmp_path):
    with pytest.raises(ValueError, match="needs a collection"):
        written(tmp_path / "one", np.arange(10), clustered(10), engine="milvus")


def test_only_generations_that_are_not_kept_are_dropped(lite):
    prefix = collection_prefix("faultnet-1", "cosine", "ab12")
    assert prefix == "faultdiag_faultnet_1_cosine_ab12_"
    others = collection_prefix("faultnet-1", "cosine", "cd34") + "00000001"
    names = [f"{prefix}{generation:08d}" for generation in (1, 2, 3)]
    for name in [*names, others]:
        lite.call("create_collection", name, dimension=4)
    collections_drop(lite, prefix, keep={"00000002"})
    assert sorted(lite.call("list_collections")) == sorted([names[1], others])


_BUILDER = """
import os, signal, sys
import numpy as np
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.vision.engine.test_snapshots import clustered, written
from vision.engine.milvus import MilvusServer

def progress(step, done, total):
    if step == sys.argv[1] and (step != "fill" or done):
        os.kill(os.getpid(), signal.SIGKILL)

written(Path(sys.argv[2]), np.arange(500), clustered(500), engine="milvus", milvus=MilvusServer(sys.argv[3]),
        progress=progress)
"""


@pytest.mark.parametrize(
    ("step", "kind"), [("fill", "server"), ("index", "server"), ("calibrate", "server"), ("fill", "lite")]
)
def test_what_a_killed_builder_left_is_made_anew(tmp_path, request, step, kind):
    require_milvus()
    uri = request.getfixturevalue("process").uri if kind == "server" else str(tmp_path / "lite.db")
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
    code = "import vision.engine.milvus as m; m._INSERT_BYTES = 8000\n" + textwrap.dedent(
        _BUILDER.format(root=root)
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, step, str(tmp_path / "killed" / "one"), uri],
        capture_output=True, text=True, cwd=root, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    server = MilvusServer(uri)
    assert server.call("list_collections") == ["test_cosine_one"]
    vectors = clustered(700, seed=2)
    snapshot = written(tmp_path / "one", np.arange(700), vectors, engine="milvus", milvus=server)
    agree(snapshot, vectors)
    assert snapshot.problem == ""
    assert server.call("get_collection_stats", "test_cosine_one")["row_count"] == 700
    server.close()


def test_one_process_at_a_time_may_open_a_folder(tmp_path, process):
    server = MilvusServer(str(process.folder))
    with pytest.raises(MilvusAway, match="serves one process"):
        server.call("list_collections")


def test_the_token_is_never_logged(tmp_path, process, no_pause, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    server = MilvusServer(process.uri, TOKEN)
    snapshot = written(tmp_path / "one", np.arange(500), clustered(500), engine="milvus", milvus=server)
    snapshot.search(clustered(1), 5)
    with pytest.raises(MilvusAway) as refusal:
        server.call("load_collection", f"none-{TOKEN}-{TOKEN.removeprefix('root:')}")
    assert "…" in str(refusal.value)
    process.kill()
    snapshot.search(clustered(1), 5)
    captured = capfd.readouterr()
    told = caplog.text + captured.out + captured.err + str(refusal.value) + snapshot.problem
    assert snapshot.problem
    for secret in (TOKEN, "hunter2", base64.b64encode(TOKEN.encode()).decode()):
        assert secret not in told


def test_what_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MilvusAway, match=r"pymilvus.*pip install -r requirements-milvus\.txt"):
        MilvusServer("http://127.0.0.1:19530").call("list_collections")
