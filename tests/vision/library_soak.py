"""The processes of the soak of the library: `python -m tests.vision.library_soak ROLE NUMBER`.

Each goes on until its standard input ends, and then prints what it did as one line of JSON.
"""

import json
import sys
import threading
import time
import traceback
from collections import defaultdict

import django

django.setup()

import numpy as np  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from cases.models import CaseImage, FaultCategory  # noqa: E402
from cases.services.labels import images_label  # noqa: E402
from tests.vision.plain_library import DIMENSION, images_add, images_store, vector  # noqa: E402
from vision.models import Embedding, LibraryChange  # noqa: E402
from vision.services.embedding import space_current  # noqa: E402
from vision.services.library import library_current  # noqa: E402
from vision.services.snapshots import snapshot_write_current  # noqa: E402

TOP_K = 10
_TOLD = 5
#: What is in the library, and the newest change: one statement, so both are of the same moment.
_STATE = """
SELECT (SELECT coalesce(max(id), 0) FROM vision_librarychange WHERE space_id = %(space)s),
       array(SELECT i.id FROM vision_embedding e JOIN cases_caseimage i ON i.id = e.image_id
             WHERE e.space_id = %(space)s AND i.confirmed_category_id IS NOT NULL AND i.role <> 'label')
"""


class Writer:
    """Changes the library in every way in which people and commands change it."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.space = space_current()
        self.categories = list(FaultCategory.objects.all())
        self.done = defaultdict(int)

    def step(self) -> None:
        actions = [self.label, self.unlabel, self.role, self.embed_anew, self.replace, self.undo, self.bulk]
        action = self.random.choice(actions, p=[0.4, 0.25, 0.1, 0.08, 0.08, 0.06, 0.03])
        action(self._some(int(self.random.integers(1, 6))))
        self.done[action.__name__] += 1
        time.sleep(self.random.uniform(0, 0.02))

    def label(self, images):
        images_label(images, verdict="fault", category=self.random.choice(self.categories))

    def unlabel(self, images):
        images_label(images, verdict="unknown")

    def role(self, images):
        roles = [CaseImage.Role.LABEL, CaseImage.Role.CLOSE_UP, CaseImage.Role.OVERVIEW]
        CaseImage.objects.filter(pk__in=[image.pk for image in images]).update(
            role=str(self.random.choice(roles))
        )

    def embed_anew(self, images):
        Embedding.objects.filter(image__in=images).delete()
        images_store(self.space, images)

    def replace(self, images):
        for image in images:
            image.delete()
        images_label(
            images_add(self.space, len(images)), verdict="fault", category=self.random.choice(self.categories)
        )

    def undo(self, images):
        with transaction.atomic():
            self.label(images)
            self.replace(images)
            transaction.set_rollback(True)

    def bulk(self, images):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE cases_caseimage SET confirmed_category_id = %s WHERE id %% 17 = %s",
                [
                    self.random.choice([None, self.categories[0].pk], p=[0.3, 0.7]),
                    int(self.random.integers(17)),
                ],
            )

    def _some(self, count):
        ids = np.array(CaseImage.objects.values_list("pk", flat=True))
        return list(CaseImage.objects.filter(pk__in=self.random.choice(ids, count, replace=False).tolist()))

    def told(self):
        return {"steps": dict(self.done), "changes": LibraryChange.objects.count()}


class Builder:
    """Writes one snapshot after another, while the writer goes on."""

    def __init__(self, seed: int):
        self.built = 0

    def step(self) -> None:
        snapshot_write_current(space_current())
        self.built += 1
        time.sleep(0.5)

    def told(self):
        return {"built": self.built}


class Reader:
    """Asks the library as every process does, and compares each answer with all rows at its watermark."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.vectors: dict[int, np.ndarray] = {}
        self.counts = defaultdict(int)
        self.generations = set()
        self.times = []

    def step(self) -> None:
        library = library_current()
        before, members = self._state(library)
        query = self._query(before, members)
        exactly = bool(self.random.integers(2))
        allowed = None
        if self.random.random() < 0.3:
            ids = np.array(sorted(members), np.int64)
            allowed = self.random.choice(ids, len(ids) // 2, replace=False)
        started = time.perf_counter()
        answer = library.search(query, TOP_K, allowed=allowed, exactly=exactly)
        self.times.append(time.perf_counter() - started)
        after, members_after = self._state(library)
        changes = LibraryChange.objects.filter(space=library.space, pk__gt=before, pk__lte=after)
        changes = list(changes.order_by("pk").values_list("pk", "image_id", "operation"))

        assert before <= answer.watermark <= after, "the answer is older than what was committed before it"
        assert applied(members, changes) == members_after, "the log does not lead from one state to the other"
        state = applied(members, [change for change in changes if change[0] <= answer.watermark])
        later = [change for change in changes if change[0] > answer.watermark]
        sure = state - {image_id for _, image_id, _ in later}
        possible = state | {image_id for _, image_id, operation in later if operation == "add"}
        if allowed is not None:
            sure, possible = sure & set(allowed.tolist()), possible & set(allowed.tolist())
        self._compare(query, answer, sure, possible, exactly)
        if not later:
            assert answer.library_size == len(state), "the size is wrong"
            self.counts["undisturbed"] += 1
        self.generations.add(library.snapshot.folder.name if library.snapshot else "none")
        self.counts["queries"] += 1

    def _compare(self, query, answer, sure, possible, exactly):
        found = answer.image_ids.tolist()
        assert len(set(found)) == len(found), "an image is named twice"
        assert set(found) <= possible, f"{set(found) - possible} was not in the library"
        true = np.array([self._vector(image_id) @ query for image_id in found])
        assert np.abs(true - answer.similarities).max(initial=0) < 1e-5, "a similarity is wrong"
        assert (np.diff(answer.similarities) <= 0).all(), "the nearest is not the first"
        farthest = answer.similarities[-1] + 1e-5 if len(found) == TOP_K else -2
        ids = sorted(sure - set(found))
        nearer = [image_id for image_id in ids if self._vector(image_id) @ query > farthest]
        if exactly:
            assert not nearer, f"{nearer} are missing at change {answer.watermark}: {found}"
        else:
            self.counts["asked"] += len(found)
            self.counts["missed"] += len(nearer[:TOP_K])

    def _query(self, newest, members):
        """Beside an image that has just come or gone, or beside any: there a stale answer shows."""
        recent = LibraryChange.objects.filter(pk__gt=newest - 20).values_list("image_id", flat=True)
        ids = list(recent) if self.random.integers(2) else []
        image_id = int(self.random.choice(ids or sorted(members) or [1]))
        query = vector(image_id) + self.random.normal(0, 0.02, DIMENSION).astype(np.float32)
        return (query / np.linalg.norm(query)).astype(np.float32)

    def _state(self, library) -> tuple[int, set[int]]:
        with connection.cursor() as cursor:
            cursor.execute(_STATE, {"space": library.space.pk})
            watermark, ids = cursor.fetchone()
        return watermark, set(ids)

    def _vector(self, image_id):
        if image_id not in self.vectors:
            self.vectors[image_id] = vector(image_id)
        return self.vectors[image_id]

    def told(self):
        middle, slow = (np.percentile(self.times, [50, 99]) * 1000).round(1) if self.times else (0, 0)
        generations = sorted(self.generations)
        return {**self.counts, "generations": generations, "ms": float(middle), "ms99": float(slow)}


def applied(members: set[int], changes) -> set[int]:
    """Members after these changes (number, image, operation), in their order."""
    after = set(members)
    for _, image_id, operation in changes:
        (after.add if operation == "add" else after.discard)(image_id)
    return after


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(role: str, number: int) -> None:
    over = threading.Event()
    process = {"writer": Writer, "builder": Builder, "reader": Reader}[role](number)
    errors = []
    tell("ready")

    def wait_for_the_end():
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    while not over.is_set():
        try:
            process.step()
        except Exception:
            errors.append(traceback.format_exc())
    tell(json.dumps({**process.told(), "failed": len(errors), "errors": errors[:_TOLD]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
