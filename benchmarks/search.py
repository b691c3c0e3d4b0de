"""How fast the similarity library answers, beside raw FAISS flat in the same run.

    python benchmarks/search.py [--sizes 100000 1000000] [--images DIR] [--json FILE]

Vectors are drawn in clusters (512 numbers); with --images the embeddings of those pictures, repeated with
noise. For each size it prints the time of a query (median and 95th percentile), recall@10 against the exact
answer, the throughput of 64 clients at once and what gathering their queries would give, the memory of a
second process that opens the same snapshot, how long a restart takes, and what the memory bandwidth of the
machine would allow at best for an exact scan.
One million vectors take about 7 GB of memory and a few minutes to build.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import faiss
import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vision.engine.backbones import DEFAULT_BACKBONE
from vision.engine.embedder import Embedder
from vision.engine.images import EXTENSIONS, load_image
from vision.engine.snapshots import Snapshot, snapshot_write
from vision.engine.weight_files import find_weights

TOP_K = 10
QUERIES = 200
RAW_QUERIES = 40
CLIENTS = 64
BATCHES = (8, 16, 64)
GATHERED = 256
QUERIES_A_CLIENT = {"raw": 2, "library": 40}
DIMENSION = 512
#: Vectors of a cluster; a category of a plant's library has as many.
CLUSTER = 100
NOISE = 0.6
_CHUNK = 50_000


def clustered(count: int, seed: int, of: int | None = None) -> np.ndarray:
    """Unit vectors (count, 512) around common centres, float32; other seeds draw from the same centres.

    They are as many as a library `of` so many vectors has; by default of `count`.
    """
    shape = (max((of or count) // CLUSTER, 100), DIMENSION)
    centres = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return _scattered(centres, count, NOISE * DIMENSION**0.5, seed)


def repeated(embeddings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Unit vectors (count, d) around real embeddings, float32."""
    nearest = np.sort(embeddings[:500] @ embeddings[:500].T, axis=1)[:, -2]
    distance = float(np.sqrt(2 - 2 * np.median(nearest)))
    return _scattered(embeddings, count, 0.7 * distance, seed)


def _scattered(centres, count, length, seed):
    rng = np.random.default_rng([seed, 1])
    rows = np.empty((count, centres.shape[1]), np.float32)
    for start in range(0, count, _CHUNK):
        chosen = centres[rng.integers(0, len(centres), len(rows[start : start + _CHUNK]))]
        noise = rng.standard_normal(chosen.shape, dtype=np.float32) * np.float32(
            length / centres.shape[1] ** 0.5
        )
        rows[start : start + _CHUNK] = chosen + noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def embedded(folder: Path) -> np.ndarray:
    """Embeddings of all pictures below a folder, float32 (n, d)."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix[1:].lower() in EXTENSIONS)
    with tempfile.TemporaryDirectory() as cache:
        embedder = Embedder(
            DEFAULT_BACKBONE, find_weights(DEFAULT_BACKBONE, ROOT / "var"), cache_dir=Path(cache), threads=2
        )
        rows = []
        for start in tqdm(range(0, len(paths), 32), "Embedding", unit="batch"):
            pictures = [
                load_image(path.read_bytes(), fit=embedder.spec.input_size)
                for path in paths[start : start + 32]
            ]
            rows.append(embedder.embed(pictures))
    return np.concatenate(rows)


def timed(search, queries: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Milliseconds of single queries, one after another, and the ids that they found."""
    for query in queries[:5]:
        search(query[None])
    times, ids = [], []
    for query in queries:
        start = time.perf_counter()
        found = search(query[None])[1]
        times.append(1000 * (time.perf_counter() - start))
        ids.append(found[0])
    return {"p50_ms": float(np.median(times)), "p95_ms": float(np.percentile(times, 95))}, np.array(ids)


def throughput(search, queries: np.ndarray, each: int, *, clients: int = CLIENTS, batch: int = 1) -> float:
    """Queries a second of so many threads that make `each` searches, for `batch` queries at a time."""
    ready = threading.Barrier(clients + 1)

    def ask(client: int) -> None:
        ready.wait()
        for number in range(each):
            rows = (client * each + number) * batch + np.arange(batch)
            search(queries[rows % len(queries)])

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return clients * each * batch / (time.perf_counter() - start)


def batching(search, queries: np.ndarray) -> dict[str, float]:
    """Queries a second when 8, 16 or 64 were gathered before each search, by a thread for each core.

    Nobody waits here for a batch to fill, so it is the most that gathering could give. Medians of three, in
    turns with 64 threads that ask one at a time, whose figure is "1".
    """
    ways = {"1": (CLIENTS, 1)} | {str(batch): (os.cpu_count(), batch) for batch in BATCHES}
    rates = {name: [] for name in ways}
    for _ in range(3):
        for name, (clients, batch) in ways.items():
            each = max(1, GATHERED // (clients * batch))
            rates[name].append(throughput(search, queries, each, clients=clients, batch=batch))
    return {name: float(np.median(values)) for name, values in rates.items()}


def bandwidth() -> float:
    """Bytes a second that one core reads from memory: the sum of an array far larger than the caches."""
    block = np.ones(2**26, np.float64)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        block.sum()
        times.append(time.perf_counter() - start)
    return block.nbytes / min(times)


_SECOND = """
import json, sys, time
start = time.perf_counter()
sys.path.insert(0, {root!r})
from pathlib import Path
import numpy as np
from vision.engine.snapshots import Snapshot
imported = time.perf_counter()
snapshot = Snapshot.open(Path(sys.argv[1]), space="benchmark", metric="cosine")
opened = time.perf_counter()
queries = np.load(sys.argv[2])
snapshot.search(queries[:1], 10)
answered = time.perf_counter()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
first = int(status["VmRSS"].split()[0]) * 1024
for query in queries:
    snapshot.search(query[None], 10)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
rollup = dict(line.split(":", 1) for line in list(open("/proc/self/smaps_rollup"))[1:])
kib = {{name: int(size.split()[0]) for name, size in rollup.items()}}
print(json.dumps({{
    "import_s": imported - start, "open_ms": 1000 * (opened - imported),
    "first_answer_ms": 1000 * (answered - opened), "resident_bytes": first,
    "resident_after_queries_bytes": int(status["VmRSS"].split()[0]) * 1024,
    "own_bytes": (kib["Private_Clean"] + kib["Private_Dirty"]) * 1024, "pss_bytes": kib["Pss"] * 1024,
}}))
"""


def second_process(folder: Path, queries: np.ndarray) -> dict[str, float]:
    """What another process that opens the same snapshot needs: time, and resident memory."""
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "queries.npy", queries)
        answer = subprocess.run(
            [sys.executable, "-c", _SECOND.format(root=str(ROOT)), folder, f"{place}/queries.npy"],
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(answer.stdout)


def measure(name: str, vectors: np.ndarray, queries: np.ndarray, folder: Path) -> dict:
    """All figures for one library."""
    count, dimension = vectors.shape
    print(f"\n{name}: {count:,} vectors of {dimension}")
    raw = faiss.IndexFlatIP(dimension)
    raw.add(vectors)
    raw_times, _ = timed(partial(raw.search, k=TOP_K), queries[:RAW_QUERIES])
    true = raw.search(queries, TOP_K)[1]
    raw_rate = throughput(partial(raw.search, k=TOP_K), queries, QUERIES_A_CLIENT["raw"])
    raw.reset()
    folder.mkdir()
    bar = tqdm(leave=False)

    def progress(step, done, total):
        bar.set_description(step)
        bar.n, bar.total = done, total
        bar.refresh()

    start = time.perf_counter()
    manifest = snapshot_write(
        folder,
        space="benchmark",
        dimension=dimension,
        metric="cosine",
        count=count,
        watermark=0,
        mark="",
        chunks=(
            (np.arange(at, min(at + _CHUNK, count)), vectors[at : at + _CHUNK])
            for at in range(0, count, _CHUNK)
        ),
        progress=progress,
    )
    bar.close()
    build_s = time.perf_counter() - start
    snapshot = Snapshot.open(folder, space="benchmark", metric="cosine")
    times, found = timed(lambda query: snapshot.search(query, TOP_K), queries)
    recall = np.mean([len(np.intersect1d(a, b)) / TOP_K for a, b in zip(found, true, strict=True)])
    exact_times, _ = timed(lambda query: snapshot.search(query, TOP_K, exactly=True), queries[:RAW_QUERIES])
    rate = throughput(lambda query: snapshot.search(query, TOP_K), queries, QUERIES_A_CLIENT["library"])
    gathered = batching(lambda query: snapshot.search(query, TOP_K), queries)
    second = second_process(folder, queries)
    speed = bandwidth()
    figures = {
        "engine": manifest.engine,
        "parameters": manifest.parameters,
        "build_s": build_s,
        "raw_flat": raw_times | {"clients_64_per_s": raw_rate},
        "library": times | {"recall_at_10": float(recall), "clients_64_per_s": rate},
        "gathered_per_s": gathered,
        "exact_scan": exact_times,
        "ratio_p50": raw_times["p50_ms"] / times["p50_ms"],
        "ratio_throughput": rate / raw_rate,
        "p95_over_p50": times["p95_ms"] / times["p50_ms"],
        "second_process": second,
        "resident_share": second["resident_after_queries_bytes"] / vectors.nbytes,
        "floor_ms": {
            "float32": 1000 * vectors.nbytes / speed,
            "float16": 500 * vectors.nbytes / speed,
            "gb_per_s": speed / 1e9,
        },
    }
    _print(figures)
    return figures


def _print(figures: dict) -> None:
    raw, library, second = figures["raw_flat"], figures["library"], figures["second_process"]
    rows = [
        ("raw FAISS flat, one query", f"{raw['p50_ms']:.1f} ms (p95 {raw['p95_ms']:.1f})"),
        (
            f"library ({figures['engine']}), one query",
            f"{library['p50_ms']:.2f} ms (p95 {library['p95_ms']:.2f}): 1/{figures['ratio_p50']:.0f}",
        ),
        ("recall@10", f"{library['recall_at_10']:.4f}  {figures['parameters']}"),
        ("exact scan of the snapshot", f"{figures['exact_scan']['p50_ms']:.1f} ms"),
        (
            "64 clients, queries a second",
            f"raw {raw['clients_64_per_s']:.0f}, library {library['clients_64_per_s']:.0f}: "
            f"{figures['ratio_throughput']:.1f} times",
        ),
        (
            "gathered, queries a second",
            ", ".join(
                f"{batch}: {rate:.0f} ({rate / figures['gathered_per_s']['1']:.2f})"
                for batch, rate in figures["gathered_per_s"].items()
            ),
        ),
        (
            "second process",
            f"open {second['open_ms']:.0f} ms, first answer {second['first_answer_ms']:.0f} ms, imports "
            f"{second['import_s']:.1f} s",
        ),
        (
            "its resident memory",
            f"{second['resident_bytes'] / 2**20:.0f} MiB, after {QUERIES} queries "
            f"{second['resident_after_queries_bytes'] / 2**20:.0f} MiB ({figures['resident_share']:.1%} of "
            f"the vectors); PSS {second['pss_bytes'] / 2**20:.0f}, USS {second['own_bytes'] / 2**20:.0f} MiB",
        ),
        (
            "floor of an exact scan",
            f"{figures['floor_ms']['float32']:.0f} ms in float32, {figures['floor_ms']['float16']:.0f} ms in "
            f"float16 at {figures['floor_ms']['gb_per_s']:.1f} GB/s of one core",
        ),
        ("building", f"{figures['build_s']:.0f} s"),
    ]
    for title, value in rows:
        print(f"  {title:32}{value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--images", type=Path, metavar="DIR", help="Measure real embeddings as well.")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = {}
    embeddings = embedded(options.images) if options.images else None
    with tempfile.TemporaryDirectory(prefix="faultdiag-search-") as place:
        for size in options.sizes:
            name = f"clustered_{size}"
            results[name] = measure(
                name, clustered(size, 1), clustered(size, 2)[:QUERIES].copy(), Path(place) / name
            )
            if embeddings is not None:
                name = f"real_{size}"
                results[name] = measure(
                    name,
                    repeated(embeddings, size, 1),
                    repeated(embeddings, QUERIES, 2),
                    Path(place) / name,
                )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
