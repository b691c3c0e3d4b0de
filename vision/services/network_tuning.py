"""The long way of an adaptation: the network's own weights, tuned to the pictures in steps of a minute."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.conf import settings

from cases.models import CaseImage
from cases.services.jobs import JobProgress
from vision.engine.backbones import WeightsError
from vision.engine.embedder import Embedder
from vision.engine.embedder import EmbeddingSpace as Described
from vision.engine.images import ImageError, load_image
from vision.models import EmbeddingSpace
from vision.services.adaptation_data import AdaptationRefused, data_split, labelled_vectors
from vision.services.embedding import embedder_for, vectors_project
from vision.services.weights import kept_folder, weights_of

#: After so long the worker may do something else; a kill costs no more than this.
_STEP_SECONDS = 60
#: Pictures that are embedded between two signs of life.
_BATCH = 32


@dataclass(frozen=True)
class TunedNetwork:
    """A tuned network and its vectors of the held-out images, beside those of the active space."""

    space: Described
    vectors: np.ndarray
    vectors_before: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    learned_from: list[int]
    held_out: list[int]
    data_sha256: str
    parameters: dict
    weights: Path
    workplace: Path

    def clean(self, *, keep_weights: bool) -> None:
        """Remove what is no longer needed once the attempt is on record."""
        shutil.rmtree(self.workplace, ignore_errors=True)
        if not keep_weights:
            self.weights.unlink(missing_ok=True)


def network_tune(progress: JobProgress, active: EmbeddingSpace) -> TunedNetwork | None:
    """Tune for a minute; None while there is more to do. What was done outlives a killed worker."""
    from vision.engine.finetuning import Tuning, TuningPlan  # torch, only where it is needed

    workplace = settings.FAULTDIAG_DATA / "tuning" / str(progress.job.pk)
    data = _data(workplace, active)
    network = active.network
    plan = TuningPlan(minutes=progress.job.parameters["minutes"], threads=settings.THREADS or 1)
    images = _images(data["train"])
    labels = np.array(data["labels"])
    present = [place for place, image_id in enumerate(data["train"]) if image_id in images]
    try:
        weights = weights_of(network.backbone, network.weights_sha256)
        tuning = Tuning(
            network.backbone,
            weights,
            [lambda image=images[data["train"][place]]: _read(image) for place in present],
            labels[present],
            plan,
            workplace / "checkpoint.pt",
        )
        progress.start(100, "Tuning the network", done=int(90 * tuning.share))
        if not tuning.run(_STEP_SECONDS, lambda share: progress.advance(int(90 * share))):
            return None
        path, _ = tuning.write(kept_folder())
        made = Embedder(network.backbone, path, threads=settings.THREADS or None)
    except (WeightsError, ImageError, OSError) as error:
        raise AdaptationRefused(f"The network can't be tuned: {error}") from error
    progress.advance(92, "Judging by held-out cases")
    return _judged(progress, active, data, plan, made, path, workplace)


def _data(workplace: Path, active: EmbeddingSpace) -> dict:
    """Which images are learned from and which are held out: settled once, whatever is labelled meanwhile."""
    file = workplace / "data.json"
    if file.is_file():
        return json.loads(file.read_text())
    data = labelled_vectors(active.network)
    train, test = data_split(data, active)
    settled = {
        "train": data.image_ids[train].tolist(),
        "labels": data.labels[train].tolist(),
        "test": data.image_ids[test].tolist(),
        "test_labels": data.labels[test].tolist(),
        "test_groups": data.groups[test].tolist(),
        "sha256": data.sha256(),
    }
    workplace.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(settled))
    part.replace(file)
    return settled


def _images(image_ids: Sequence[int]) -> dict[int, CaseImage]:
    return CaseImage.objects.select_related("file").in_bulk(list(image_ids))


def _read(image: CaseImage):
    with image.file.original.open("rb") as original:
        return load_image(original.read(), fit=512)


def _judged(progress, active, data, plan, made, path, workplace) -> TunedNetwork:
    images = _images(data["test"])
    present = [place for place, image_id in enumerate(data["test"]) if image_id in images]
    after, before = [], []
    for start in range(0, len(present), _BATCH):
        pictures = [_read(images[data["test"][place]]) for place in present[start : start + _BATCH]]
        after.append(made.embed(pictures))
        before.append(vectors_project(active, embedder_for(active).embed(pictures)))
        progress.advance(92)
    return TunedNetwork(
        space=made.space,
        vectors=np.concatenate(after),
        vectors_before=np.concatenate(before),
        labels=np.array(data["test_labels"])[present],
        groups=np.array(data["test_groups"])[present],
        learned_from=data["train"],
        held_out=[data["test"][place] for place in present],
        data_sha256=data["sha256"],
        parameters={"minutes": plan.minutes, "learning_rate": plan.learning_rate},
        weights=path,
        workplace=workplace,
    )
