"""The head: learns drawn faults, finds their place, is repeatable and survives the disk."""

import json

import numpy as np
import pytest
import torch

from vision.engine.array_folder import FolderError
from vision.engine.drawn_faults import Drawn, Example
from vision.engine.fault_head import FaultHead
from vision.engine.patch_features import MappedPicture, PatchSpace

SPACE = PatchSpace("faultnet", "0" * 64, ("fine", "coarse"), 64)
GRID = 12


def picture(rng: np.random.Generator, fault: tuple[int, int] | None = None) -> MappedPicture:
    """Noise of 8 + 4 numbers a patch; a fault shows in two of them. Rarely one is high by itself."""
    fine = rng.normal(0, 1, (GRID, GRID, 8))
    fine[..., 0] += 3 * (rng.uniform(size=(GRID, GRID)) < 0.03)
    if fault:
        row, column = fault
        fine[row : row + 2, column : column + 2, :2] += 3
    return MappedPicture.of([fine, rng.normal(0, 1, (GRID // 2, GRID // 2, 4))], (96, 96))


def examples(count: int, seed: int = 0) -> list[Example]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        row, column = (int(at) for at in rng.integers(0, GRID - 2, 2))
        covered = np.zeros((GRID, GRID), np.float32)
        covered[row : row + 2, column : column + 2] = 1
        made.append(Example(picture(rng), (Drawn(picture(rng, (row, column)), covered, "pit"),)))
    return made


@pytest.fixture(scope="module")
def head() -> FaultHead:
    return FaultHead(SPACE, top_share=0.03).fit(examples(60))


def test_faulty_pictures_score_higher_and_the_place_is_found(head):
    higher, found = [], []
    for example in examples(20, seed=7):
        good, faulty = head.grid(example.good), head.grid(example.faulty[0].picture)
        assert good.shape == (GRID, GRID)
        higher.append(head.score(faulty) > head.score(good))
        found.append(example.faulty[0].covered.ravel()[faulty.argmax()] == 1)
    assert np.mean(higher) >= 0.9
    assert np.mean(found) >= 0.9


def test_learning_its_mistakes_again_lowers_what_good_patches_score():
    held = examples(40, seed=9)
    worst = []
    for rounds in (0, 2):
        head = FaultHead(SPACE, rounds=rounds, top_share=0.01).fit(examples(60))
        good = np.array([head.score(head.grid(one.good)) for one in held])
        faulty = np.array([head.score(head.grid(one.faulty[0].picture)) for one in held])
        worst.append(np.quantile(good, 0.9) - np.median(faulty))
    assert worst[1] < worst[0]


def test_the_same_examples_give_the_same_head_and_leave_the_chance_of_others_alone(head):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = FaultHead(SPACE, top_share=0.03).fit(examples(60))
    assert torch.rand(1) == expected
    assert np.allclose(again.inner_, head.inner_, atol=1e-5)
    assert not np.allclose(FaultHead(SPACE, seed=1).fit(examples(60)).inner_, head.inner_, atol=1e-3)


def test_a_head_survives_the_disk_and_refuses_another_space(head, tmp_path):
    head.save(tmp_path / "head")
    opened = FaultHead.open(tmp_path / "head", SPACE)
    one = examples(1, seed=3)[0].good
    assert (opened.grid(one) == head.grid(one)).all()
    assert opened.top_share == 0.03
    with pytest.raises(FolderError, match="another space"):
        FaultHead.open(tmp_path / "head", PatchSpace("faultnet", "1" * 64, ("fine", "coarse"), 64))
    manifest = tmp_path / "head" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "kind": "something else"}))
    with pytest.raises(FolderError, match="digest"):
        FaultHead.open(tmp_path / "head", SPACE)


def test_without_a_drawn_fault_nothing_can_be_learned():
    good = Example(examples(1)[0].good)
    with pytest.raises(ValueError, match="no drawn fault"):
        FaultHead(SPACE).fit([good])
    with pytest.raises(ValueError, match="share"):
        FaultHead(SPACE, top_share=0)


def test_progress_ends_where_it_said_it_would():
    told = []
    FaultHead(SPACE, rounds=1).fit(examples(4), progress=lambda *step: told.append(step))
    assert told[-1] == ("head", 3, 3)
