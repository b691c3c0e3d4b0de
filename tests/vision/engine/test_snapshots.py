"""Snapshots: the same answers as the exact index, and nothing damaged is ever told."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.milvus import require_milvus
from vision.engine.index import ExactIndex
from vision.engine.milvus import Collection, MilvusServer
from vision.engine.snapshot_generations import (
    generations,
    snapshot_publish,
    snapshot_quarantine,
    snapshots_prune,
)
from vision.engine.snapshots import Snapshot, SnapshotError, engine_choose, snapshot_write

DIMENSION = 16
ENGINES = ("exact", "approximate", "milvus")


def clustered(count, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIMENSION))
    rows = centres[rng.integers(0, 40, count)] + 0.3 * rng.normal(size=(count, DIMENSION))
    # As they are stored in the database.
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f2").astype(np.float32)


def written(
    folder, ids, vectors, *, engine="exact", metric="cosine", space="s", watermark=7, milvus=None, **options
):
    folder.mkdir(parents=True)
    if milvus is not None:
        options["collection"] = Collection(milvus, f"test_{metric}_{folder.name}")
    chunks = [(ids[start : start + 500], vectors[start : start + 500]) for start in range(0, len(ids), 500)]
    snapshot_write(
        folder, space=space, dimension=DIMENSION, metric=metric, count=len(ids), watermark=watermark,
        mark="m", chunks=chunks, engine=engine, **options,
    )  # fmt: skip
    return Snapshot.open(folder, space=space, metric=metric, milvus=milvus)


@pytest.fixture(scope="module")
def milvus(tmp_path_factory):
    """Milvus Lite, in a folder of its own."""
    require_milvus()
    server = MilvusServer(str(tmp_path_factory.mktemp("milvus") / "lite.db"))
    yield server
    server.close()


@pytest.fixture(
    scope="module", params=[(engine, metric) for engine in ENGINES for metric in ("cosine", "l2")]
)
def pair(request, tmp_path_factory):
    """A snapshot and an exact index of the same 3,000 vectors, whose ids have gaps."""
    engine, metric = request.param
    server = request.getfixturevalue("milvus") if engine == "milvus" else None
    ids = np.arange(3000, dtype=np.int64) * 3 + 5
    vectors = clustered(3000)
    index = ExactIndex(DIMENSION, metric)
    index.add(ids, vectors)
    folder = tmp_path_factory.mktemp("pair") / "one"
    snapshot = written(folder, ids, vectors, engine=engine, metric=metric, milvus=server)
    yield snapshot, index
    # Otherwise none of these tests would have said anything about the engine.
    assert (snapshot.manifest.engine, snapshot.problem) == (engine, "")


def test_similarities_are_exact_and_nearly_all_of_the_nearest_are_found(pair):
    snapshot, index = pair
    queries = clustered(50, seed=1)
    scores, ids = snapshot.search(queries, 10)
    true_scores, true_ids = index.search(queries, 10)
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(ids, true_ids, strict=True)])
    assert recall >= 0.99
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores[:, 0], true_scores[:, 0], atol=1e-5)


def test_exactly_is_exact(pair):
    snapshot, index = pair
    queries = clustered(20, seed=2)
    np.testing.assert_array_equal(snapshot.search(queries, 10, exactly=True)[1], index.search(queries, 10)[1])


@pytest.mark.parametrize("share", [0.005, 0.9])
def test_a_filter_never_costs_results(pair, share, monkeypatch):
    monkeypatch.setattr("vision.engine.snapshots._GATHERED", 100)  # so that both ways are taken
    snapshot, index = pair
    rng = np.random.default_rng(3)
    allowed = rng.permutation(snapshot.ids)[: int(share * len(snapshot))]
    without = allowed[:3]
    queries = clustered(20, seed=4)
    ids = snapshot.search(queries, 10, allowed=allowed, without=without)[1]
    assert np.isin(ids, np.setdiff1d(allowed, without)).all()
    if share < 0.1:
        np.testing.assert_array_equal(ids, index.search(queries, 10, allowed=allowed, exclude=without)[1])


def test_a_filter_on_one_corner_of_the_library_gives_ten_of_ten(pair, monkeypatch):
    monkeypatch.setattr("vision.engine.snapshots._GATHERED", 5)
    snapshot, index = pair
    query = clustered(1, seed=5)
    farthest = index.search(query, len(snapshot))[1][0][-10:]
    assert set(snapshot.search(query, 10, allowed=farthest)[1][0]) == set(farthest)


def test_more_asked_than_there_is(pair):
    snapshot, _ = pair
    scores, ids = snapshot.search(clustered(1), 5, allowed=np.array([5, 8, 9999]))
    assert set(ids[0]) == {5, 8, -1}
    assert np.isneginf(scores[0][2:]).all()


def test_an_empty_snapshot_answers_nothing(tmp_path):
    empty = written(tmp_path / "none", np.empty(0, np.int64), np.empty((0, DIMENSION), np.float32))
    assert len(empty) == 0
    assert 5 not in empty
    assert empty.search(clustered(1), 3)[1].tolist() == [[-1, -1, -1]]


def test_membership(pair):
    snapshot, _ = pair
    assert 5 in snapshot
    assert 6 not in snapshot
    assert 10**9 not in snapshot


def test_the_engine_follows_the_count_and_is_never_a_server():
    assert engine_choose(10)[0] == "exact"
    assert engine_choose(10**6)[0] == "approximate"
    assert engine_choose(10**9)[0] == "approximate"


def test_ids_must_ascend(tmp_path):
    with pytest.raises(ValueError, match="ascend"):
        written(tmp_path / "one", np.array([3, 2]), clustered(2))


def _spoil_truncated(folder):
    path = folder / "vectors.faiss"
    path.write_bytes(path.read_bytes()[:-100])


def _spoil_flipped(folder):
    path = folder / "vectors.faiss"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


def _spoil_missing(folder):
    (folder / "checks.npy").unlink()


def _spoil_manifest(folder):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["watermark"] += 1
    path.write_text(json.dumps(content))


def _spoil_no_manifest(folder):
    (folder / "manifest.json").write_bytes(b"")


@pytest.mark.parametrize(
    "spoil", [_spoil_truncated, _spoil_flipped, _spoil_missing, _spoil_manifest, _spoil_no_manifest]
)
def test_what_is_damaged_is_refused(tmp_path, spoil):
    written(tmp_path / "one", np.arange(1000), clustered(1000))
    spoil(tmp_path / "one")
    with pytest.raises(SnapshotError):
        Snapshot.open(tmp_path / "one", space="s", metric="cosine")


def test_a_flipped_bit_in_a_large_snapshot_is_found_before_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("vision.engine.snapshots._HASHED_WHEN_OPENED", 0)
    vectors = clustered(1000)
    written(tmp_path / "one", np.arange(1000), vectors)
    _spoil_flipped(tmp_path / "one")
    snapshot = Snapshot.open(tmp_path / "one", space="s", metric="cosine")
    with pytest.raises(SnapshotError, match="not what was written"):
        snapshot.search(vectors, 5)
    with pytest.raises(SnapshotError, match="sha256"):
        snapshot.verify()


def test_a_file_that_is_cut_off_while_it_is_searched_is_found(tmp_path):
    vectors = clustered(1000)
    snapshot = written(tmp_path / "one", np.arange(1000), vectors, engine="approximate")
    os.truncate(tmp_path / "one" / "vectors.faiss", 1000)
    with pytest.raises(SnapshotError, match="not what was written"):
        snapshot.search(vectors, 5)


def mapped_bytes(path) -> int:
    """Bytes of a file that lie in this process's memory because it has mapped the file and touched them."""
    mapped, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = line.endswith(str(path))
        elif counts and line.startswith("Rss:"):
            mapped += 1024 * int(line.split()[1])
    return mapped


def test_an_approximate_search_does_not_fill_the_memory_with_vectors(tmp_path):
    count = 60_000
    snapshot = written(tmp_path / "one", np.arange(count), clustered(count), engine="approximate")
    for query in clustered(200, seed=1):
        snapshot.search(query, 10)
    file = tmp_path / "one" / "vectors.faiss"
    assert mapped_bytes(file) < 0.2 * file.stat().st_size
    snapshot.search(query, 10, exactly=True)
    assert mapped_bytes(file) > 0.8 * file.stat().st_size  # so the figure says something


def test_codes_that_name_too_few_get_more_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("vision.engine.candidates._DEPTHS", (1,))
    # Without clusters the next hundred are hardly farther than the nearest ten.
    vectors = np.random.default_rng(0).normal(size=(20_000, DIMENSION)).astype(np.float32)
    snapshot = written(tmp_path / "one", np.arange(20_000), vectors, engine="approximate")
    assert snapshot.manifest.parameters["bits"] > 1
    assert snapshot.manifest.parameters["recall"] >= 0.99


def test_files_swapped_with_those_of_another_snapshot_are_refused(tmp_path):
    written(tmp_path / "one", np.arange(1000), clustered(1000))
    written(tmp_path / "two", np.arange(1000), clustered(1000, seed=9))
    os.replace(tmp_path / "two" / "vectors.faiss", tmp_path / "one" / "vectors.faiss")
    with pytest.raises(SnapshotError, match="sha256"):
        Snapshot.open(tmp_path / "one", space="s", metric="cosine")


@pytest.mark.parametrize(("space", "metric"), [("other", "cosine"), ("s", "l2")])
def test_another_space_or_metric_is_refused(tmp_path, space, metric):
    written(tmp_path / "one", np.arange(10), clustered(10))
    with pytest.raises(SnapshotError, match="holds the space s"):
        Snapshot.open(tmp_path / "one", space=space, metric=metric)


def test_generations_are_numbered_quarantined_and_pruned(tmp_path):
    parent = tmp_path / "space"
    for _ in range(3):
        written(parent / ".unfinished", np.arange(10), clustered(10))
        newest = snapshot_publish(parent, parent / ".unfinished")
    assert [p.name for p in generations(parent)] == ["00000003", "00000002", "00000001"]
    snapshot_quarantine(newest)
    snapshot_quarantine(newest)  # as another process would, a moment later
    assert generations(parent)[0].name == "00000002"
    written(parent / ".unfinished", np.arange(10), clustered(10))
    assert snapshot_publish(parent, parent / ".unfinished").name == "00000004"
    snapshots_prune(parent, 1)
    assert [p.name for p in generations(parent)] == ["00000004"]


_BUILDER = """
import os, signal, sys
import numpy as np
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.vision.engine.test_snapshots import clustered, written
from vision.engine.snapshot_generations import snapshot_publish

def progress(step, done, total):
    print(step, flush=True)
    if step == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

parent = Path(sys.argv[2])
written(parent / ".unfinished", np.arange(2000), clustered(2000), engine="approximate", progress=progress)
snapshot_publish(parent, parent / ".unfinished")
"""


@pytest.mark.parametrize("step", ["collect", "write", "train", "fill", "calibrate", "seal"])
def test_a_builder_that_is_killed_leaves_the_older_generation(tmp_path, step):
    parent = tmp_path / "space"
    written(parent / ".first", np.arange(100), clustered(100))
    snapshot_publish(parent, parent / ".first")
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
    code = textwrap.dedent(_BUILDER.format(root=root))
    killed = subprocess.run(
        [sys.executable, "-c", code, step, str(parent)], capture_output=True, text=True, cwd=root, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p.name for p in generations(parent)] == ["00000001"]
    assert len(Snapshot.open(generations(parent)[0], space="s", metric="cosine")) == 100
