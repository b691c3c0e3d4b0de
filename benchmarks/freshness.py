"""How soon a new label is found by another process, and whether that depends on the size of the library.

    python benchmarks/freshness.py [--sizes 10000 1000000] [--deltas 0 5000] [--labels 30] [--json FILE]

For each size a data folder of its own with a real PostgreSQL is filled with vectors (512 numbers; the rows of
the library by COPY, as the services would have written them) and a snapshot is written. Then one process
labels an image through the service, and as soon as that is committed another one asks for its vector. The
sizes take turns, so that other work on the machine meets all of them alike. `--deltas` are the changes that
came in since the snapshot. One million vectors take some minutes, 5 GB of memory and 8 GB of disk.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from search import DIMENSION, clustered

TOP_K = 10
_CHUNK = 20_000


@contextmanager
def installation(data: Path):
    """Have this process work with a data folder, whose PostgreSQL and Redis run meanwhile."""
    os.environ |= {"FAULTDIAG_DATA": str(data), "DJANGO_SETTINGS_MODULE": "faultdiag.settings"}
    os.environ.pop("DATABASE_URL", None)
    os.environ.pop("REDIS_URL", None)
    from faultdiag.embedded import ensure_services, release_services

    ensure_services(data)
    try:
        import django

        django.setup()
        yield
    finally:
        release_services(data)


def rows_copied(cursor, model, source: str, values: dict[str, str]) -> None:
    """Insert rows of a model that a SELECT's source (FROM and WHERE) gives, `t` being the row to copy.

    `values` are SQL expressions of the columns that differ.
    """
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    given = ", ".join(values.get(column, f"t.{column}") for column in columns)
    cursor.execute(f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {given} {source}")


def library_fill(count: int, spare: int):
    """A space with `count` labelled images and `spare` without a label; returns it and their category."""
    import io

    from django.db import connection, transaction
    from PIL import Image

    from cases.models import Case, CaseImage, FaultCategory
    from cases.services.intake import Picture, case_create
    from vision.models import EmbeddingSpace, LibraryChange

    space = EmbeddingSpace.objects.create(
        slug="benchmark", backbone="none", weights_sha256="0", preprocessing="1", dimension=DIMENSION
    )
    category = FaultCategory.objects.create(code="BENCH", name="Benchmark", state="active")
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    first = case_create(pictures=[Picture("one.png", picture.getvalue())], status="closed", bulk=True)
    with transaction.atomic(), connection.cursor() as cursor:
        # Triggers and checks of a million rows would take longer than all that is measured.
        cursor.execute("SET LOCAL session_replication_role = replica")
        rows_copied(
            cursor,
            Case,
            f"FROM cases_case t, generate_series(1, {count + spare}) AS i WHERE t.id = {first.pk}",
            {"number": "'B' || i"},
        )
        rows_copied(
            cursor,
            CaseImage,
            f"FROM cases_caseimage t, cases_case c WHERE t.case_id = {first.pk} AND c.number LIKE 'B%' "
            "ORDER BY c.id",
            {
                "case_id": "c.id",
                "confirmed_category_id": f"CASE WHEN c.id <= {first.pk + count} THEN {category.pk} END",
            },
        )
        images = CaseImage.objects.exclude(case=first).order_by("pk")
        ids = np.fromiter(images.values_list("pk", flat=True).iterator(), np.int64)
        _vectors_copy(cursor, space, ids)
        rows_copied(
            cursor,
            LibraryChange,
            "FROM cases_caseimage t WHERE t.confirmed_category_id IS NOT NULL ORDER BY t.id",
            {"space_id": str(space.pk), "image_id": "t.id", "operation": "'add'", "made_at": "now()"},
        )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return space, category


def _vectors_copy(cursor, space, ids: np.ndarray) -> None:
    from django.utils import timezone

    from vision.services.embedding import vectors_pack

    now = timezone.now()
    columns = "COPY vision_embedding (image_id, space_id, vector, created_at) FROM STDIN (FORMAT BINARY)"
    with cursor.copy(columns) as copy:
        copy.set_types(["int8", "int8", "bytea", "timestamptz"])
        for start in tqdm(range(0, len(ids), _CHUNK), f"Filling {len(ids):,}", leave=False):
            chunk = ids[start : start + _CHUNK]
            packed = vectors_pack(clustered(len(chunk), start, of=len(ids)))
            for image_id, vector in zip(chunk.tolist(), packed, strict=True):
                copy.write_row((image_id, space.pk, vector, now))


def labelling(pipe, data: Path, count: int, spare: int) -> None:
    """The process that labels: makes a library and its snapshot, then labels as many images as it is told."""
    with installation(data):
        _label(pipe, count, spare)


def _label(pipe, count, spare):
    from django.core.management import call_command

    from cases.models import CaseImage
    from cases.services.labels import images_label
    from vision.models import Embedding
    from vision.services.embedding import vectors_unpack
    from vision.services.snapshots import snapshot_newest, snapshot_write_current

    call_command("migrate", verbosity=0)
    started = time.monotonic()
    space, category = library_fill(count, spare)
    filled = time.monotonic()
    with tqdm(leave=False) as bar:

        def progress(step, done, total):
            bar.set_description(f"Snapshot of {count:,}: {step}")
            bar.n, bar.total = done, total
            bar.refresh()

        snapshot_write_current(space, progress)
    pipe.send(
        {
            "engine": snapshot_newest(space)[1].engine,
            "fill_s": filled - started,
            "snapshot_s": time.monotonic() - filled,
        }
    )
    waiting = CaseImage.objects.filter(confirmed_category=None, embeddings__space=space).order_by("pk")
    while number := pipe.recv():
        images = list(waiting[:number])
        stored = Embedding.objects.get(image=images[-1], space=space).vector
        images_label(images, verdict="fault", category=category)
        pipe.send((time.monotonic(), images[-1].pk, vectors_unpack([stored], DIMENSION)[0]))


def searching(pipe, data: Path) -> None:
    """The process that searches: answers each vector with what it found, and when it began and ended."""
    with installation(data):
        _search(pipe)


def _search(pipe):
    from vision.models import EmbeddingSpace
    from vision.services.library import Library

    library = Library(EmbeddingSpace.objects.get())
    while (vector := pipe.recv()) is not None:
        started = time.monotonic()
        found = library.search(vector, TOP_K)
        pipe.send((found.image_ids.tolist(), started, time.monotonic()))


class Site:
    """One library with its two processes."""

    def __init__(self, folder: Path, count: int, spare: int):
        self.count, self._folder = count, folder
        self._labeller = _started(labelling, folder, count, spare)
        self.made = self._labeller.recv()
        self._searcher = _started(searching, folder)

    def label(self, number: int) -> tuple[float, int, np.ndarray]:
        """Label so many more images; when it was committed (monotonic seconds), the last one, its vector."""
        self._labeller.send(number)
        return self._labeller.recv()

    def search(self, vector: np.ndarray) -> tuple[list[int], float, float]:
        """Ids that the other process finds, and when its query began and ended (monotonic seconds)."""
        self._searcher.send(vector)
        return self._searcher.recv()

    def close(self) -> None:
        self._searcher.send(None)
        self._labeller.send(None)


def _started(role, *arguments):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=role, args=(theirs, *arguments)).start()
    theirs.close()
    return ours


def measure(sites: list[Site], labels: int, delta: int) -> list[dict]:
    """Figures of each site, whose searcher knows `delta` changes already."""
    times = {site: [] for site in sites}
    for _ in tqdm(range(labels), f"{delta:,} changes since the snapshot", leave=False):
        for site in sites:
            committed, image_id, vector = site.label(1)
            found, started, ended = site.search(vector)
            _, again, answered = site.search(vector)
            times[site].append((ended - committed, ended - started, answered - again, image_id in found))
    return [_figures(site, delta, np.array(rows)) for site, rows in times.items()]


def _figures(site, delta, rows) -> dict:
    since, first, unchanged, found = rows.T
    return {
        "count": site.count,
        "engine": site.made["engine"],
        "delta": delta,
        "labels": len(rows),
        "found_by_the_next_query": int(found.sum()),
        "commit_to_found_ms": _milliseconds(since),
        "next_query_ms": _milliseconds(first),
        "query_without_change_ms": _milliseconds(unchanged),
    }


def _milliseconds(seconds: np.ndarray) -> dict[str, float]:
    return {"p50": 1000 * float(np.median(seconds)), "p95": 1000 * float(np.percentile(seconds, 95))}


def report(results: list[dict]) -> None:
    """Print the table, and how the largest library compares with the smallest at each delta."""
    print(f"{'vectors':>10}{'delta':>8}  {'engine':13}{'found':>8}", end="")
    print(f"{'commit to found':>22}{'of that the query':>22}{'without a change':>22}")
    for row in results:
        print(f"{row['count']:>10,}{row['delta']:>8,}  {row['engine']:13}", end="")
        print(f"{row['found_by_the_next_query']:>5}/{row['labels']}", end="")
        for name in ("commit_to_found_ms", "next_query_ms", "query_without_change_ms"):
            print(f"{row[name]['p50']:>9.1f} (p95 {row[name]['p95']:>4.0f})", end="")
        print(" ms")
    for delta in dict.fromkeys(row["delta"] for row in results):
        rows = [row for row in results if row["delta"] == delta]
        small, large = (pick(rows, key=lambda row: row["count"]) for pick in (min, max))
        ratio = large["commit_to_found_ms"]["p50"] / small["commit_to_found_ms"]["p50"]
        print(f"{large['count']:,} take {ratio:.2f} times as long as {small['count']:,}, delta {delta:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000], metavar="N")
    parser.add_argument("--deltas", type=int, nargs="+", default=[0, 5_000], metavar="N")
    parser.add_argument("--labels", type=int, default=30, metavar="N", help="Labels for each figure.")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results, deltas = [], sorted(options.deltas)
    spare = deltas[-1] + len(deltas) * (options.labels + 1) + 1
    with tempfile.TemporaryDirectory(prefix="faultdiag-fresh-") as place:
        sites = [Site(Path(place) / str(size), size, spare) for size in options.sizes]
        for site in sites:
            print(f"{site.count:,}: filled in {site.made['fill_s']:.0f} s", end=", ")
            print(f"snapshot written in {site.made['snapshot_s']:.0f} s")
        changes = 0
        for delta in deltas:
            for site in sites:
                # The searcher has seen these, and is at rest.
                site.search(site.label(max(delta - changes, 1))[2])
            results += measure(sites, options.labels, delta)
            changes = max(delta, changes + 1) + options.labels
        for site in sites:
            site.close()
        for process in multiprocessing.active_children():
            process.join()
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
