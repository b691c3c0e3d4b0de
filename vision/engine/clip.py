"""CLIP: one space for pictures and for words (Radford et al. 2021, Learning Transferable Visual Models From
Natural Language Supervision, https://arxiv.org/abs/2103.00020).

The networks are those of open_clip, which also brings the vocabulary: an optional extra, imported when a
network is built. The image side is a backbone like any other; here is the text side.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision.engine.backbones import WeightsError, build_network, get_backbone

if TYPE_CHECKING:
    from torch import nn

#: What is said around the words of a query. The mean over several sentences is a steadier direction than any
#: one of them (section 3.1.4 of the paper); these are for photographs of parts, and not tuned on any.
TEMPLATES = (
    "{}",
    "a photo of {}.",
    "a close-up photo of {}.",
    "a photo of a part with {}.",
    "an inspection photo of a surface with {}.",
)
#: Characters of a query that are sure to count: the network reads 77 tokens, about 300 letters.
MOST_CHARACTERS = 200


def build_vit_b_32(*, quick_gelu: bool) -> nn.Module:
    """CLIP with ViT-B/32: pixels (n, 3, 224, 224) and tokens (n, 77) to (n, 512), at random.

    OpenAI's weights were trained with the sigmoid approximation of GELU, most others with GELU itself; the
    tensors have the same names and shapes, so which it is cannot be seen in a file.
    """
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(image_size=224, layers=12, width=768, patch_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=512, heads=8, layers=12)
    return CLIP(512, vision, text, quick_gelu=quick_gelu)


class TextEncoder:
    """Words to vectors in the space of a CLIP backbone's pictures. Safe to share between threads.

    `weights` is the backbone's local file, the same that its pictures are embedded with; without it the
    weights are random, from `random_seed`. Runs in torch on the CPU, in a fraction of a second a query: the
    tokenizer imports torch anyhow. Raises WeightsError.
    """

    def __init__(self, backbone: str, weights: Path | None, *, random_seed: int = 0):
        self.spec = get_backbone(backbone)
        if not self.spec.understands_text:
            raise WeightsError(f"{self.spec.title} understands no words: only CLIP's backbones do.")
        network = build_network(self.spec, weights, random_seed=random_seed)
        import torch
        from open_clip.tokenizer import SimpleTokenizer

        # Only the text side stays in memory. The mask is in no file, and a network made for one lacks it.
        del network.visual
        length = network.context_length
        network.attn_mask = torch.full((length, length), float("-inf")).triu_(1)
        self._network = network
        self._tokens = SimpleTokenizer(context_length=length)
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed n texts: float32 (n, dimension), rows of unit length, each the mean over TEMPLATES."""
        import torch

        vectors = np.empty((len(texts), self.spec.dimension), np.float32)
        for place, text in enumerate(texts):
            sentences = [template.format(text) for template in TEMPLATES]
            with self._lock, torch.inference_mode():
                each = self._network.encode_text(self._tokens(sentences), normalize=True)
                vectors[place] = torch.nn.functional.normalize(each.mean(dim=0), dim=0).numpy()
        return vectors
