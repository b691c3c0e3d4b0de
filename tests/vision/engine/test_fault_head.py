"""The head: learns drawn faults, finds their place, is repeatable and survives the disk."""

import json

import numpy as np
import pytest
import torch

from vision.engine.array_folder import FolderError
from vision.engine.drawn_faults import Drawn, Example
from vision.engine.fault_head import FaultHead
from vision.engine.inspection_measures import top_mean
from vision.engine.mapped_pictures import MappedPicture
from vision.engine.patch_features import PatchSpace

SPACES = (
    PatchSpace("faultnet", "0" * 64, ("middle", "deep"), 64),
    PatchSpace("faultnet", "0" * 64, ("shallow", "middle"), 96),
)
GRID = 12


def picture(rng: np.random.Generator, fault: tuple[int, int] | None = None) -> MappedPicture:
    """Noise of 8 + 4 numbers a patch; a fault shows in two of them. Rarely one is high by itself."""
    fine = rng.normal(0, 1, (GRID, GRID, 8))
    fine[..., 0] += 3 * (rng.uniform(size=(GRID, GRID)) < 0.03)
    if fault:
        row, column = fault
        fine[row : row + 2, column : column + 2, :2] += 3
    half = rng.normal(0, 1, (GRID // 2, GRID // 2, 4))
    return MappedPicture({"coarse": [half, half[::2, ::2]], "fine": [fine, half]}, (96, 96))


def examples(count: int, seed: int = 0) -> list[Example]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        row, column = (int(at) for at in rng.integers(0, GRID - 2, 2))
        covered = np.zeros((GRID, GRID), np.float32)
        covered[row : row + 2, column : column + 2] = 1
        made.append(Example(len(made), picture(rng), (Drawn(picture(rng, (row, column)), covered, "pit"),)))
    return made


@pytest.fixture(scope="module")
def head() -> FaultHead:
    return FaultHead(SPACES).fit(examples(60))


def test_faulty_pictures_score_higher_and_the_place_is_found(head):
    higher, found = [], []
    for example in examples(20, seed=7):
        good, faulty = head.grid(example.good), head.grid(example.faulty[0].picture)
        assert good.shape == (GRID, GRID)
        higher.append(top_mean(faulty, 0.03) > top_mean(good, 0.03))
        found.append(example.faulty[0].covered.ravel()[faulty.argmax()] == 1)
    assert np.mean(higher) >= 0.9
    assert np.mean(found) >= 0.9


def test_the_same_examples_give_the_same_head_and_leave_the_chance_of_others_alone(head):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = FaultHead(SPACES).fit(examples(60))
    assert torch.rand(1) == expected
    assert np.allclose(again.inner_, head.inner_, atol=1e-5)
    assert not np.allclose(FaultHead(SPACES, seed=1).fit(examples(60)).inner_, head.inner_, atol=1e-3)


def test_a_head_survives_the_disk_and_refuses_another_space(head, tmp_path):
    head.save(tmp_path / "head")
    opened = FaultHead.open(tmp_path / "head", SPACES)
    one = examples(1, seed=3)[0].good
    assert (opened.grid(one) == head.grid(one)).all()
    with pytest.raises(FolderError, match="another space"):
        FaultHead.open(tmp_path / "head", SPACES[::-1])
    manifest = tmp_path / "head" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "kind": "something else"}))
    with pytest.raises(FolderError, match="digest"):
        FaultHead.open(tmp_path / "head", SPACES)


def test_without_a_drawn_fault_nothing_can_be_learned():
    good = Example(0, examples(1)[0].good, ())
    with pytest.raises(ValueError, match="no drawn fault"):
        FaultHead(SPACES).fit([good])
