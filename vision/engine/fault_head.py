"""A second opinion on a part: a small network that tells drawn faults from good surface, patch by patch.

PatchCore knows good parts and nothing of faults: what is merely new on a good part looks as bad to it as a
crack. The head learns the difference from faults drawn on the product's own good pictures, on the features
of a network that stays as it is (the idea of DRAEM: Zavrtanik et al., 2021, and CutPaste: Li et al., 2021).
Good patches that it mistakes for faults are looked for and learned again (hard negatives: Felzenszwalb et
al., 2010), since a picture is judged by its worst few.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.engine.array_folder import FolderError, folder_open, folder_write
from vision.engine.drawn_faults import Example
from vision.engine.patch_features import MappedPicture, PatchSpace, joined
from vision.engine.patchcore import Progress

KIND = "a head that knows drawn faults"
FORMAT = 1
#: Share of a patch that a fault covers where it is taken for faulty; of tiny faults the most covered are.
_COVERED, _MOST_COVERED = 0.25, 0.6
#: Patches of one picture: of its fault, good ones, good ones beside the fault, and mistaken ones a round.
_FAULTY, _GOOD, _BESIDE, _MISTAKEN = 20, 40, 10, 30
_BATCH = 2048
#: So often every patch is seen, and more often where there are too few for so many steps.
_EPOCHS, _STEPS = 8, 200
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-3
_DROPOUT = 0.2
#: Faulty patches together weigh this much of the good ones.
_FAULTY_WEIGHT = 0.25
_SETTINGS = ("hidden", "rounds", "top_share", "seed")


class FaultHead:
    """Learns to tell drawn faults from good surface. Safe to share once fitted.

    `space` names the layers of the pictures' maps, which `PatchFeatures.maps` gives.
    `hidden` is the number of units between patch and answer; good patches that look faulty are learned again
    `rounds` times. A picture's score is the mean logit of the `top_share` of its patches that look worst.

    Learned: `inner_` float32 (d + 1, hidden) and `outer_` float32 (hidden + 1, 1), the last row of each for
    what is added.
    """

    def __init__(
        self,
        space: PatchSpace,
        *,
        hidden: int = 64,
        rounds: int = 2,
        top_share: float = 0.003,
        seed: int = 0,
    ):
        if not 0 < top_share <= 1:
            raise ValueError(f"The share of patches that make the score lies in 0 to 1, not at {top_share}.")
        self.space = space
        self.hidden = hidden
        self.rounds = rounds
        self.top_share = top_share
        self.seed = seed

    def fit(self, examples: Sequence[Example], *, progress: Progress | None = None) -> "FaultHead":
        """Learn from good pictures and the faults drawn on them. Raises ValueError for none.

        About 10 seconds for 800 pictures of 256 x 256 pixels with two faults each, on one core.
        """
        if not any(example.faulty for example in examples):
            raise ValueError("There is no drawn fault to learn from.")
        report = progress or (lambda step, done, total: None)
        rng = np.random.default_rng(self.seed)
        good, faulty = self._patches(examples, rng)
        report("head", 1, self.rounds + 2)
        self._learn(good, faulty)
        for done in range(self.rounds):
            report("head", done + 2, self.rounds + 2)
            good = np.concatenate([good, *(self._mistaken(example) for example in examples)])
            self._learn(good, faulty)
        report("head", self.rounds + 2, self.rounds + 2)
        return self

    def grid(self, picture: MappedPicture) -> np.ndarray:
        """How faulty each patch looks, float32 (h, w): a logit, above 0 rather faulty than good."""
        return self._logits(joined(picture.maps))

    def score(self, grid: np.ndarray) -> float:
        """How faulty a picture looks, from its grid of logits."""
        count = max(1, round(self.top_share * grid.size))
        return float(np.partition(grid, -count, axis=None)[-count:].mean())

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder that does not exist yet. Raises FileExistsError, OSError."""
        about = {"space": self.space.as_dict(), "settings": {name: getattr(self, name) for name in _SETTINGS}}
        folder_write(folder, KIND, FORMAT, about, {"inner": self.inner_, "outer": self.outer_})

    @classmethod
    def open(cls, folder: Path, space: PatchSpace) -> "FaultHead":
        """What was saved. Raises FolderError: damaged, foreign, or learned in another space."""
        about, arrays = folder_open(folder, KIND, FORMAT)
        if about["space"] != space.as_dict():
            raise FolderError(f"{folder} was learned in another space of patches: fit it again.")
        head = cls(space, **about["settings"])
        head.inner_, head.outer_ = arrays["inner"], arrays["outer"]
        return head

    def _patches(
        self, examples: Sequence[Example], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Good and faulty patches (n, d) to begin with."""
        good, faulty = [], []
        for example in examples:
            patches = _rows(joined(example.good.maps))
            good.append(patches[rng.permutation(len(patches))[:_GOOD]])
            for drawn in example.faulty:
                patches = joined(drawn.picture.maps)
                covered = drawn.covered.ravel()
                patches = _rows(patches)
                least = min(_COVERED, _MOST_COVERED * float(covered.max()))
                faulty.append(patches[rng.permutation(np.flatnonzero(covered >= least))[:_FAULTY]])
                good.append(patches[rng.permutation(np.flatnonzero(covered == 0))[:_BESIDE]])
        return np.concatenate(good), np.concatenate(faulty)

    def _mistaken(self, example: Example) -> np.ndarray:
        """The good patches of a picture that look worst."""
        patches = joined(example.good.maps)
        return _rows(patches)[np.argsort(-self._logits(patches), axis=None, kind="stable")[:_MISTAKEN]]

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
    epochs = max(_EPOCHS, -(-_STEPS // batches))
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
