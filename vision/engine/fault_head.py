"""A second opinion on a part: a small network that tells drawn faults from good surface, patch by patch.

PatchCore knows good parts and nothing of faults: what is merely new on a good part looks as bad to it as a
crack. The head learns the difference from faults drawn on the product's own good pictures, on the features
of a network that stays as it is (the idea of DRAEM: Zavrtanik et al., 2021, and CutPaste: Li et al., 2021).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.array_folder import FolderError, folder_open, folder_write
from vision.engine.drawn_faults import Example
from vision.engine.mapped_pictures import MappedPicture
from vision.engine.patch_features import PatchSpace

KIND = "a head that knows drawn faults"
FORMAT = 1
#: Share of a patch that a fault covers where it is taken for faulty; of tiny faults the most covered are.
_COVERED, _MOST_COVERED = 0.25, 0.6
#: Patches of one picture: of its fault, good ones, and good ones beside the fault.
_FAULTY, _GOOD, _BESIDE = 20, 40, 10
_BATCH = 2048
#: Steps of the optimiser: one for so many patches, but not fewer and not more than these.
_PATCHES_A_STEP, _STEPS = 50, (100, 400)
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-3
_DROPOUT = 0.2
#: Faulty patches together weigh this much of the good ones.
_FAULTY_WEIGHT = 0.25
_SETTINGS = ("hidden", "seed")


class FaultHead:
    """Learns to tell drawn faults from good surface. Safe to share once fitted.

    `spaces` are those of the pictures' maps, see `PictureMapper`; `hidden` is the number of units between
    patch and answer.

    Learned: `inner_` float32 (d + 1, hidden) and `outer_` float32 (hidden + 1, 1), the last row of each for
    what is added.
    """

    def __init__(
        self,
        spaces: Sequence[PatchSpace],
        *,
        hidden: int = 64,
        seed: int = 0,
    ):
        self.spaces = [space.as_dict() for space in spaces]
        self.hidden = hidden
        self.seed = seed

    def fit(self, examples: Sequence[Example]) -> "FaultHead":
        """Learn from good pictures and the faults drawn on them. Raises ValueError for none.

        About 4 seconds for 300 pictures with two faults each, on two cores.
        """
        if not any(example.faulty for example in examples):
            raise ValueError("There is no drawn fault to learn from.")
        self._learn(*self._patches(examples, np.random.default_rng(self.seed)))
        return self

    def grid(self, picture: MappedPicture) -> np.ndarray:
        """How faulty each patch looks, float32 (h, w): a logit, above 0 rather faulty than good."""
        return self._logits(picture.all_layers())

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder that does not exist yet. Raises FileExistsError, OSError."""
        about = {"spaces": self.spaces, "settings": {name: getattr(self, name) for name in _SETTINGS}}
        folder_write(folder, KIND, FORMAT, about, {"inner": self.inner_, "outer": self.outer_})

    @classmethod
    def open(cls, folder: Path, spaces: Sequence[PatchSpace]) -> "FaultHead":
        """What was saved. Raises FolderError: damaged, foreign, or learned in another space."""
        about, arrays = folder_open(folder, KIND, FORMAT)
        head = cls(spaces, **about["settings"])
        if about["spaces"] != head.spaces:
            raise FolderError(f"{folder} was learned in another space of patches: fit it again.")
        head.inner_, head.outer_ = arrays["inner"], arrays["outer"]
        return head

    def _patches(
        self, examples: Sequence[Example], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Good and faulty patches (n, d)."""
        good, faulty = [], []
        for example in examples:
            patches = _rows(example.good.all_layers())
            good.append(patches[rng.permutation(len(patches))[:_GOOD]])
            for drawn in example.faulty:
                patches = drawn.picture.all_layers()
                covered = drawn.covered.ravel()
                patches = _rows(patches)
                least = min(_COVERED, _MOST_COVERED * float(covered.max()))
                faulty.append(patches[rng.permutation(np.flatnonzero(covered >= least))[:_FAULTY]])
                good.append(patches[rng.permutation(np.flatnonzero(covered == 0))[:_BESIDE]])
        return np.concatenate(good), np.concatenate(faulty)

    def _logits(self, patches: np.ndarray) -> np.ndarray:
        inner = np.maximum(_rows(patches) @ self.inner_[:-1] + self.inner_[-1], 0)
        return (inner @ self.outer_[:-1] + self.outer_[-1]).reshape(patches.shape[:2])

    def _learn(self, good: np.ndarray, faulty: np.ndarray) -> None:
        patches = torch.from_numpy(np.concatenate([good, faulty]))
        answers = torch.cat([torch.zeros(len(good)), torch.ones(len(faulty))])
        mean, spread = patches.mean(0), patches.std(0) + 1e-4
        patches = (patches - mean) / spread
        weight = torch.tensor(_FAULTY_WEIGHT * len(good) / len(faulty))
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(self.seed)
            network = _trained(patches, answers, self.hidden, weight)
        inner, outer = network[0], network[-1]
        # The measure of each number becomes part of the first layer.
        matrix = inner.weight.detach() / spread
        added = inner.bias.detach() - matrix @ mean
        self.inner_ = _with_added(matrix, added)
        self.outer_ = _with_added(outer.weight.detach(), outer.bias.detach())


def _trained(patches: Tensor, answers: Tensor, hidden: int, weight: Tensor) -> nn.Sequential:
    network = nn.Sequential(
        nn.Linear(patches.shape[1], hidden), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(hidden, 1)
    )
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    batches = -(-len(patches) // _BATCH)
    epochs = -(-int(np.clip(len(patches) / _PATCHES_A_STEP, *_STEPS)) // batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, epochs * batches)
    for _ in range(epochs):
        for chosen in torch.randperm(len(patches)).split(_BATCH):
            logits = network(patches[chosen])[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, answers[chosen], pos_weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network


def _rows(patches: np.ndarray) -> np.ndarray:
    return patches.reshape(-1, patches.shape[-1])


def _with_added(matrix: Tensor, added: Tensor) -> np.ndarray:
    return np.ascontiguousarray(torch.cat([matrix, added[:, None]], dim=1).T.numpy(), np.float32)
