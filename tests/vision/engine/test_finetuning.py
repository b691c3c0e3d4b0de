"""The whole network learns from labelled pictures, goes on where it was left, and writes usable weights."""

import numpy as np
import pytest
import torch
from PIL import Image

from vision.engine.backbones import build_network, get_backbone
from vision.engine.finetuning import Tuning, TuningPlan, supervised_contrast
from vision.engine.weight_files import SHIPPED, sha256_of

WEIGHTS = SHIPPED["faultnet"]


def pictures():
    """Stripes of two directions, which a mirror image does not change into each other."""
    random = np.random.default_rng(0)
    reads, labels = [], []
    for number in range(12):
        stripes = np.tile(np.sin(np.arange(64) * 0.8 + random.uniform(0, 6)), (64, 1))
        stripes = stripes if number % 2 else stripes.T
        pixels = (128 + 60 * stripes + random.normal(0, 10, (64, 64))).clip(0, 255).astype(np.uint8)
        reads.append(lambda pixels=pixels: Image.fromarray(pixels))
        labels.append("across" if number % 2 else "along")
    return reads, np.array(labels)


def tuning(path, steps=4):
    plan = TuningPlan(steps=steps, categories=2, pictures=2)
    return Tuning("faultnet", WEIGHTS, *pictures(), plan, path / "checkpoint.pt")


def test_it_goes_on_where_it_was_left_and_ends_with_the_same_weights(tmp_path):
    whole = tuning(tmp_path / "whole")
    assert whole.run()
    left = tuning(tmp_path / "left")
    assert not left.run(seconds=0)
    first = tuning(tmp_path / "left")
    shares = []
    with pytest.raises(KeyboardInterrupt):
        first.run(watch=lambda share: shares.append(share) or (len(shares) == 2 and interrupt()))
    assert shares == [0.5, 0.75]
    again = tuning(tmp_path / "left")
    assert again.share == 0.25, "what was not saved is done again"
    assert again.run()
    assert whole.write(tmp_path)[1] == again.write(tmp_path)[1]


def interrupt():
    raise KeyboardInterrupt


def test_the_weights_load_and_are_named_by_their_hash(tmp_path):
    tuned = tuning(tmp_path, steps=2)
    tuned.run()
    path, digest = tuned.write(tmp_path / "kept")
    assert path.name == f"{digest}.safetensors"
    assert sha256_of(path) == digest != sha256_of(WEIGHTS)
    build_network(get_backbone("faultnet"), path)
    assert [entry.name for entry in (tmp_path / "kept").iterdir()] == [path.name]


def test_a_damaged_checkpoint_is_begun_anew(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    assert tuning(tmp_path).share == 0


def test_like_pictures_attract_and_a_lone_one_counts_for_nothing():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]), dim=1)
    apart = supervised_contrast(vectors, torch.tensor([0, 0, 1, 1]))
    mixed = supervised_contrast(vectors, torch.tensor([0, 1, 0, 1]))
    assert apart < 0.1 < 1 < mixed
    alone = torch.cat([vectors, torch.tensor([[-1.0, 0]])])
    assert torch.isfinite(supervised_contrast(alone, torch.tensor([0, 0, 1, 1, 2])))
